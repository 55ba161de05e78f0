"""`audit export` and `audit verify`, on a real ledger's directory and on what a server answers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest
from tests.conformance.ledger.audit import random_life
from tests.conformance.ledger.bench import PLATFORM, USD, all_entries, budget, commit, daily
from tests.server.cli.conftest import CannedServer, Cli

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import Entry
from smartconnectors_server.ledger.chain import GENESIS, link
from smartconnectors_server.ledger.configured import described
from smartconnectors_server.ledger.export import json_line
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.messages import entry_message


async def _life(directory: Path) -> list[Entry]:
    ledger = SqliteLedger(directory, ManualClock())
    await ledger.open([budget(), budget("total", 900 * USD)])
    await commit(ledger, "first", 75 * USD)
    await random_life(ledger, seed=1, steps=40)
    lines = await all_entries(ledger)
    await ledger.close()
    return lines


@pytest.fixture
def lines(tmp_path: Path) -> list[Entry]:
    """The lines of the ledger in `state`."""
    return asyncio.run(_life(tmp_path / "state"))


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_what_was_exported_is_verified_and_one_changed_digit_is_named(
    cli: Cli, tmp_path: Path, lines: list[Entry], file_format: str
) -> None:
    state, file = str(tmp_path / "state"), tmp_path / f"audit.{file_format}"
    ended = cli(
        "audit", "export", "--format", file_format, "--output", str(file), "--state-dir", state
    )
    assert (ended.exit_code, ended.out) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600, "it tells of money"
    assert ended.err == f"{len(lines)} lines, head {lines[-1].hash}\n"

    ended = cli("audit", "verify", str(file), "--head", lines[-1].hash)
    assert ended.exit_code == 0
    assert ended.out.splitlines()[-1] == f"{len(lines)} lines hang together, head {lines[-1].hash}"
    assert ended.out.splitlines()[0].split()[:2] == ["budget", "committed"]
    assert "Note the head" not in ended.err
    assert "Note the head" in cli("audit", "verify", str(file)).err

    file.write_text(file.read_text().replace("75000000", "74000000", 1))
    ended = cli("audit", "verify", str(file))
    assert ended.exit_code == 1
    assert ended.err.startswith("BROKEN: line 3: its hash does not fit")
    document = cli("audit", "verify", str(file), "--json").document
    assert (document["ok"], document["line"]) == (False, 3)


def test_a_zone_that_is_not_known_here_is_said_and_is_no_damage(cli: Cli, tmp_path: Path) -> None:
    of_calendar = budget(PLATFORM, 100 * USD, daily(50 * USD, "Asia/Nowhere"))
    line = Entry(0, "configure", (PLATFORM,), "", "", "", 100 * USD, "USD", described(of_calendar))
    reserve = Entry(1, "reserve", (PLATFORM,), "h000000000002", PLATFORM, "r", USD, "USD")
    lines, head = [], GENESIS
    for sequence, each in enumerate((line, reserve), 1):
        numbered = dataclasses.replace(each, sequence=sequence)
        head = link(head, numbered)
        lines.append(dataclasses.replace(numbered, hash=head))
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(f"{json_line(each)}\n" for each in lines))
    ended = cli("audit", "verify", str(file))
    assert ended.exit_code == 2
    assert "NOT CHECKED: calendar limits in time zones that this system does not know" in ended.err
    assert "BROKEN" not in ended.err
    assert "2 lines hang together" in ended.out
    document = cli("audit", "verify", str(file), "--json").document
    assert document["unknown_time_zones"] == ["Asia/Nowhere"]
    assert document["balances"][0]["limits"][1]["committed_micros"] is None


def test_an_end_that_was_cut_off_is_seen_with_the_head(
    cli: Cli, tmp_path: Path, lines: list[Entry]
) -> None:
    exported = cli("audit", "export", "--state-dir", str(tmp_path / "state")).out
    file = tmp_path / "short.jsonl"
    file.write_text("".join(exported.splitlines(keepends=True)[:-1]))
    assert cli("audit", "verify", str(file)).exit_code == 0
    ended = cli("audit", "verify", str(file), "--head", lines[-1].hash)
    assert ended.exit_code == 1
    assert "lines are missing at the end" in ended.err


def test_a_state_directory_and_a_server_are_verified_too(
    cli: Cli, tmp_path: Path, lines: list[Entry], server: CannedServer
) -> None:
    of_directory = cli("audit", "verify", "--state-dir", str(tmp_path / "state"), "--json").document
    pages = [lines[:10], lines[10:]]
    server.will(
        "ListLedgerEntries",
        *(
            pb.ListLedgerEntriesResponse(
                entries=[entry_message(entry) for entry in page], next_page_token=token
            )
            for page, token in zip(pages, ["10", ""], strict=True)
        ),
    )
    of_server = cli("audit", "verify", "--target", server.target, "--json").document
    assert of_server == of_directory
    assert of_server["ok"] is True
    assert [balance["budget_id"] for balance in of_server["balances"]] == [PLATFORM, "total"]
    assert [request.page_token for request in server.requests] == ["", "10"]


def test_an_export_of_a_server_is_what_the_hashes_are_over(
    ask: Cli, server: CannedServer, lines: list[Entry]
) -> None:
    page = pb.ListLedgerEntriesResponse(entries=[entry_message(entry) for entry in lines])
    server.will("ListLedgerEntries", page)
    exported = [json.loads(line) for line in ask("audit", "export").out.splitlines()]
    assert [line["hash"] for line in exported] == [line.hash for line in lines]
    assert [line["note"] for line in exported] == [line.note for line in lines]


def test_what_cannot_be_read_or_written_is_said_and_nothing_is_overwritten(
    cli: Cli, tmp_path: Path, lines: list[Entry]
) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text("precious")
    state = str(tmp_path / "state")
    ended = cli("audit", "export", "--state-dir", state, "--output", str(kept))
    assert (ended.exit_code, kept.read_text()) == (2, "precious")
    assert "exists already" in ended.err
    for arguments, said in (
        (("--state-dir", str(tmp_path / "nowhere")), "there is no ledger in"),
        ((str(tmp_path / "nowhere.jsonl"),), "cannot be read"),
        ((str(kept), "--state-dir", state), "not both"),
    ):
        ended = cli("audit", "verify", *arguments)
        assert ended.exit_code == 2
        assert said in ended.err
    for text in ("", "precious", '{"sequence": 1}\n'):
        kept.write_text(text)
        assert cli("audit", "verify", str(kept)).exit_code == 1
