"""The audit ledger after the fact: every balance anew, and any change to any line is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ledger.audit import random_life
from tests.conformance.ledger.bench import (
    PLATFORM,
    all_entries,
    budget,
    daily,
)
from tests.server.ledger.lived import BUDGETS, chained, lived

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import Budget, Entry
from smartconnectors_server.ledger.audit import Audit, Broken
from smartconnectors_server.ledger.configured import described
from smartconnectors_server.ledger.export import csv_header, csv_row, json_line, read
from smartconnectors_server.ledger.sqlite import SqliteLedger


def audited(lines: Iterable[Entry]) -> Audit:
    audit = Audit()
    for line in lines:
        audit.take(line)
    return audit


def as_json(lines: Iterable[Entry]) -> str:
    return "".join(f"{json_line(line)}\n" for line in lines)


def as_csv(lines: Iterable[Entry]) -> str:
    return csv_header() + "".join(map(csv_row, lines))


WRITTEN: dict[str, Callable[[Iterable[Entry]], str]] = {"jsonl": as_json, "csv": as_csv}


def text_lines(data: bytes) -> list[str]:
    return data.decode(errors="surrogateescape").splitlines(keepends=True)


async def test_every_balance_follows_from_the_lines_alone(
    tmp_path: Path, clock: ManualClock
) -> None:
    audit = audited(await lived(tmp_path, clock))
    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open(BUDGETS)
    await random_life(ledger, seed=5, steps=30, first=1000)
    again = audited(await all_entries(ledger))  # what was held is in doubt now
    assert again.lines > audit.lines > 100
    assert [balance.budget_id for balance in again.balances()] == [PLATFORM, "total"]
    for balance in again.balances():
        state = ledger.state(balance.budget_id)
        assert balance.limits == tuple(limit.limit for limit in state.limits)
        assert balance.committed == tuple(limit.committed_micros for limit in state.limits)
        open_sums = (balance.held, balance.deferred, balance.in_doubt)
        assert open_sums == (state.held_micros, state.deferred_micros, state.in_doubt_micros)
    assert (again.balances()[1].committed[0] or 0) > 0
    assert again.balances()[1].in_doubt > 0
    await ledger.close()


@pytest.mark.parametrize("kind", WRITTEN)
async def test_an_export_is_read_back_as_it_was(
    tmp_path: Path, clock: ManualClock, kind: str
) -> None:
    lines = await lived(tmp_path, clock)
    odd = dataclasses.replace(lines[-1], note='=cmd|"/c calc"!A1,\n\r\n \'naïve €\x7f')
    lines = chained([*lines[:-1], odd])
    assert list(read(text_lines(WRITTEN[kind](lines).encode()))) == lines


def test_no_cell_of_a_csv_export_is_a_formula() -> None:
    notes = ["=1+1", "+1", "-1", "@a", "\t=1", "'=1", "'", "a=1", ""]
    lines = chained(entry("limit", note=note) for note in notes)
    cells = [row.split(",")[-4] for row in as_csv(lines).splitlines()[1:]]
    assert cells == ["'=1+1", "'+1", "'-1", "'@a", "'\t=1", "''=1", "''", "a=1", ""]
    assert [line.note for line in read(text_lines(as_csv(lines).encode()))] == notes


@pytest.mark.parametrize("kind", WRITTEN)
async def test_any_byte_of_an_export_that_is_changed_is_found(
    tmp_path: Path, clock: ManualClock, kind: str
) -> None:
    lines = await lived(tmp_path, clock, steps=3)
    whole = WRITTEN[kind](lines).encode()
    assert audited(read(text_lines(whole))).head == lines[-1].hash
    unseen = []
    for at, byte in enumerate(whole):
        for other in {byte ^ 1, ord("\n"), ord('"'), 0xFF} - {byte}:
            broken = whole[:at] + bytes([other]) + whole[at + 1 :]
            try:
                audited(read(text_lines(broken)))
            except Broken:
                continue
            unseen.append((at, other))
    assert unseen == []


async def test_a_line_that_is_gone_added_or_moved_is_named(
    tmp_path: Path, clock: ManualClock
) -> None:
    lines = await lived(tmp_path, clock, steps=20)
    other = dataclasses.replace(lines[5], amount_micros=1)
    for wrong, number in (
        (lines[:5] + lines[6:], 6),
        ([*lines[:5], other, *lines[6:]], 6),
        ([*lines[:5], lines[6], lines[5], *lines[7:]], 6),
        ([*lines[:5], lines[5], *lines[5:]], 7),
        (lines[1:], 1),
    ):
        with pytest.raises(Broken) as caught:
            audited(wrong)
        assert caught.value.sequence == number


async def test_an_end_that_was_cut_off_or_written_anew_is_seen_by_who_noted_the_head(
    tmp_path: Path, clock: ManualClock
) -> None:
    lines = await lived(tmp_path, clock, steps=20)
    audited(lines).check_head(lines[-1].hash)
    told = dataclasses.replace(lines[0], note=lines[0].note.replace("200", "201", 1))
    for changed in (lines[:-1], chained([told, *lines[1:]])):
        audit = audited(changed)
        with pytest.raises(Broken, match="missing at the end"):
            audit.check_head(lines[-1].hash)


# What hangs together and yet cannot be


def entry(verb: str, amount: int = 0, *, hold: int = 0, at_s: float = 0, **changed: Any) -> Entry:
    fields: dict[str, Any] = {
        "at_ns": round(at_s * 1e9),
        "verb": verb,
        "budget_ids": (PLATFORM,),
        "hold_id": f"h{hold:012d}" if hold else "",
        "platform": PLATFORM if hold else "",
        "request_id": f"r{hold}" if hold else "",
        "amount_micros": amount,
        "currency_code": "USD",
    }
    return Entry(**{**fields, **changed})


def configured(limit: int = 100, *more: Any, paused: bool = False) -> Entry:
    described_budget: Budget = budget(PLATFORM, limit, *more, paused=paused)
    return entry("configure", limit, note=described(described_budget))


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([entry("reserve", 1, hold=1)], "never configured"),
        ([configured(), entry("reserve", 101, hold=2)], "makes 101 of 100"),
        (
            [
                configured(),
                entry("reserve", 60, hold=2),
                entry("settle", 60, hold=2),
                entry("reserve", 41, hold=4, at_s=599.99),
            ],
            "makes 101 of 100",
        ),
        (
            [configured(), entry("reserve", 60, hold=2), entry("defer", 41, hold=3)],
            "makes 101 of 100",
        ),
        (
            [
                configured(1000, daily(100)),
                entry("reserve", 60, hold=2),
                entry("settle", 60, hold=2),
                entry("reserve", 41, hold=4, at_s=80_000),
            ],
            "makes 101 of 100",
        ),
        (
            [configured(), entry("limit", 50), entry("reserve", 51, hold=3)],
            "makes 51 of 50",
        ),
        ([configured(paused=True), entry("reserve", 1, hold=2)], "was paused"),
        (
            [
                configured(),
                entry("defer", 9, hold=2),
                entry("pause"),
                entry("dispatch", 9, hold=2),
            ],
            "was paused",
        ),
        (
            [
                configured(),
                entry("pause", budget_ids=("google_ads/campaigns/1",)),
                entry("reserve", 9, hold=3, budget_ids=("google_ads", "google_ads/campaigns/1")),
            ],
            "while google_ads/campaigns/1 was paused",
        ),
        (
            [configured(), entry("pause", budget_ids=("all",)), entry("reserve", 9, hold=3)],
            "while all was paused",
        ),
        ([configured(), entry("settle", 9, hold=2)], "not open"),
        (
            [configured(), entry("defer", 9, hold=2), entry("settle", 9, hold=2)],
            "stands as 'deferred'",
        ),
        (
            [
                configured(),
                entry("reserve", 9, hold=2),
                entry("release", 9, hold=2),
                entry("release", 9, hold=2),
            ],
            "stands as 'given back'",
        ),
        (
            [configured(), entry("reserve", 9, hold=2), entry("settle", 8, hold=2)],
            "8 of a hold of 9",
        ),
        (
            [configured(), entry("reserve", 9, hold=2), entry("defer", 10, hold=2)],
            "10 of a hold of 9",
        ),
        (
            [
                configured(),
                entry("reserve", 9, hold=2),
                entry("doubt", 9, hold=2, request_id="other"),
            ],
            "another request",
        ),
        (
            [
                configured(),
                entry("reserve", 9, hold=2),
                entry("settle", 9, hold=2),
                entry("reserve", 9, hold=4, request_id="r2"),
            ],
            "a second time",
        ),
        ([configured(), entry("reserve", 9, hold=7)], "begins a hold called h000000000007"),
        ([configured(), entry("reserve", -9, hold=2)], "less than nothing"),
        ([configured(), entry("resume", at_s=9), entry("pause", at_s=8)], "older than the line"),
        ([entry("limit", 9)], "never configured"),
        ([entry("shrug")], "nothing that is done to a budget"),
        ([configured(), entry("shrug", hold=2)], "which is not open"),
        ([dataclasses.replace(configured(), note="{")], "nothing that can be understood"),
    ],
)
def test_lines_that_no_ledger_would_write_are_found_though_their_hashes_fit(
    lines: list[Entry], why: str
) -> None:
    written = chained(lines)
    with pytest.raises(Broken, match=why) as caught:
        audited(written)
    audited(written[:-1])
    assert caught.value.sequence == len(written)


def test_a_calendar_whose_zone_is_not_known_here_is_no_damage_and_not_checked() -> None:
    lines = [
        configured(100, daily(50, "Asia/Nowhere"), daily(60)),
        entry("reserve", 55, hold=2),
        entry("settle", 55, hold=2),
    ]
    audit = audited(chained(lines))
    assert audit.unknown_zones == {"Asia/Nowhere"}
    (balance,) = audit.balances()
    assert balance.committed == (55, None, 55)
    # The other limits are.
    with pytest.raises(Broken, match="makes 61 of 60"):
        audited(chained([*lines, entry("reserve", 6, hold=4)]))


def test_what_has_left_the_window_and_what_was_given_back_makes_room() -> None:
    audit = audited(
        chained(
            [
                configured(),
                entry("reserve", 100, hold=2),
                entry("settle", 100, hold=2),
                entry("reserve", 100, hold=4, at_s=600),
                entry("release", 100, hold=4, at_s=600),
                entry("reserve", 100, hold=6, at_s=600, request_id="r4"),
                entry("defer", 40, hold=6, at_s=600, request_id="r4"),
                entry("supersede", 40, hold=6, at_s=600, request_id="r4"),
                entry("settle_late", 100, hold=4, at_s=600),
            ]
        )
    )
    (balance,) = audit.balances()
    assert (balance.committed, balance.deferred) == ((100,), 0)
