"""What comes from outside reaches no terminal as an escape sequence and makes no rows of its own in
a pipe, and no cell of an export is a formula.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from rich.console import Console
from tests.server.access.people import Person, bid
from tests.server.access.stage import Accepts, application, entry, refusal_of
from tests.server.cli.conftest import CannedServer, canned_server

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1 import bid_pb2, budget_pb2, campaign_pb2, connector_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.cli import output, run
from smartconnectors_server.ledger.export import csv_row, read
from smartconnectors_server.ledger.records import Entry

EVIL = "\x1b[2J\x1b[H\x1b]0;pwned\x07\r\n99  2026-01-01 settle \x9b2J \u202egnp\u2028"
"""Clears a terminal, sets its title, forges a row, and turns the direction of writing."""
EVIL_ID = "1\x1b[2J\nx"
ACTED_ON = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]")


# Recorded


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Person]:
    file = tmp_path / "tokens.toml"
    file.write_text(entry("operator", "operate", "operator"))
    google = Accepts()
    google.loses = True
    app = application(
        tmp_path,
        access={"tokens_file": str(file)},
        connectors={"google_ads": google},
        total_budget={"limit": "1000"},
    )
    person = Person((await app.start()).grpc_address, "operator")
    yield person
    await person.channel.close()
    await app.stop()


async def notes(operator: Person) -> str:
    """All that the audit ledger and the open holds say in free text."""
    request = pb.ListLedgerEntriesRequest(page_size=1000)
    page = await operator.ask(operator.budgets.ListLedgerEntries, request)
    holds = await operator.ask(operator.budgets.ListHolds, pb.ListHoldsRequest())
    said = [*page.entries, *holds.holds]
    return "".join(f"{one.note}{''.join(one.budget_ids)}" for one in said)


@pytest.mark.parametrize(
    "request_",
    [
        pb.PauseBudgetRequest(budget_id="all", reason=EVIL),
        pb.ResumeBudgetRequest(budget_id="all", reason=EVIL),
        pb.UpdateBudgetRequest(budget_id="meta", limit_micros=1_000_000, reason=EVIL),
        pb.PauseCampaignsRequest(platform="google_ads", campaign_ids=["1"], reason=EVIL),
        pb.EraseCustomerRequest(customer_id="c", reason=EVIL),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_a_reason_is_recorded_as_one_printable_line(operator: Person, request_: Any) -> None:
    method = type(request_).__name__.removesuffix("Request")
    await operator.ask(getattr(operator.budgets, method), request_)
    said = await notes(operator)
    assert not ACTED_ON.search(said)
    assert "\n" not in said
    if method != "PauseCampaigns":  # this platform has no such campaign to pause
        assert "pwned" in said


async def test_a_pause_is_told_to_bidders_in_one_printable_line(operator: Person) -> None:
    await operator.ask(
        operator.budgets.PauseBudget, pb.PauseBudgetRequest(budget_id="all", reason=EVIL)
    )
    placed = operator.ask(operator.ads.PlaceBid, bid("ads", "r", "1"))
    _, message = await refusal_of(placed)
    assert "pwned" in message
    assert not ACTED_ON.search(message)
    assert "\n" not in message


async def test_the_reason_of_a_resolution_is_recorded_as_one_printable_line(
    operator: Person,
) -> None:
    await refusal_of(operator.ask(operator.ads.PlaceBid, bid("ads", "r", "1")))
    (hold,) = (await operator.ask(operator.budgets.ListHolds, pb.ListHoldsRequest())).holds
    request = pb.ResolveHoldRequest(hold_id=hold.hold_id, state=pb.HOLD_STATE_SETTLED, reason=EVIL)
    answer = await operator.ask(operator.budgets.ResolveHold, request)
    assert "pwned" in answer.hold.note
    assert not ACTED_ON.search(answer.hold.note + await notes(operator))


@pytest.mark.parametrize(
    ("service", "request_", "field"),
    [
        (
            "ads",
            ads_pb2.PlaceBidRequest(
                bid=bid_pb2.BidRequest(
                    request_id="r", campaign_id=EVIL_ID, bid_micros=1, predicted_ltv_micros=1
                )
            ),
            "bid.campaign_id",
        ),
        (
            "ads",
            ads_pb2.UpdateCampaignBudgetRequest(
                update=campaign_pb2.CampaignBudgetUpdate(
                    request_id="r", campaign_id=EVIL_ID, daily_budget_micros=1
                )
            ),
            "update.campaign_id",
        ),
        (
            "ads",
            ads_pb2.PauseCampaignRequest(
                update=connector_pb2.CampaignStatusUpdate(campaign_id=EVIL_ID)
            ),
            "update.campaign_id",
        ),
        (
            "budgets",
            pb.PauseCampaignsRequest(
                platform="google_ads", campaign_ids=["1", EVIL_ID], reason="stop"
            ),
            "campaign_ids",
        ),
        (
            "budgets",
            pb.PauseBudgetRequest(budget_id=f"meta/campaigns/{EVIL_ID}", reason="stop"),
            "budget_id",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Message) else None,
)
async def test_an_id_with_a_control_character_is_refused_by_its_field(
    operator: Person, service: str, request_: Any, field: str
) -> None:
    method = type(request_).__name__.removesuffix("Request")
    call = operator.ask(getattr(getattr(operator, service), method), request_)
    code, message = await refusal_of(call)
    assert code == "INVALID_ARGUMENT"
    assert message.startswith(f"{field}: has a line break or a control character")
    assert "stop" not in await notes(operator)


# Shown


def poisoned(message: Any, depth: int = 0) -> Any:
    """The message with this text in every field of text, and one of everything that repeats."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.file.package.startswith(
            "smartconnectors"
        ):
            if depth < 4 and not field.message_type.GetOptions().map_entry:
                inner = getattr(message, field.name)
                poisoned(inner.add() if field.is_repeated else inner, depth + 1)
        elif field.type == field.TYPE_STRING:
            if field.name.endswith("currency_code"):
                setattr(message, field.name, "USD")
            elif field.is_repeated:
                getattr(message, field.name).append(EVIL)
            else:
                setattr(message, field.name, EVIL)
    return message


@pytest.fixture
def server() -> Iterator[CannedServer]:
    with canned_server() as canned:
        yield canned


COMMANDS: list[tuple[list[str], str, Any]] = [
    (["audit"], "ListLedgerEntries", pb.ListLedgerEntriesResponse),
    (["holds"], "ListHolds", pb.ListHoldsResponse),
    (["alerts"], "ListAlerts", pb.ListAlertsResponse),
    (["alerts", "--watch", "--count", "1"], "WatchAlerts", pb.WatchAlertsResponse),
    (["watch", "--count", "1"], "WatchBudgetStats", pb.WatchBudgetStatsResponse),
    (["status"], "ListBudgetStats", pb.ListBudgetStatsResponse),
    (["spend"], "ListReportedSpend", pb.ListReportedSpendResponse),
    (["shadow"], "GetShadowReport", pb.GetShadowReportResponse),
    (["pause", "meta", "--reason", "x"], "PauseBudget", pb.PauseBudgetResponse),
    (["resume", "meta", "--reason", "x"], "ResumeBudget", pb.ResumeBudgetResponse),
    (
        ["budget", "set", "meta", "--limit", "1", "--reason", "x"],
        "UpdateBudget",
        pb.UpdateBudgetResponse,
    ),
    (
        ["holds", "resolve", "h", "settled", "--reason", "x"],
        "ResolveHold",
        pb.ResolveHoldResponse,
    ),
    (
        ["audit", "erase", "--customer", "c", "--reason", "x"],
        "EraseCustomer",
        pb.EraseCustomerResponse,
    ),
    (["get", "google_ads", "r"], "GetBid", ads_pb2.GetBidResponse),
    (["campaign", "pause", "google_ads", "1"], "PauseCampaign", ads_pb2.PauseCampaignResponse),
    (
        ["bid", "google_ads", "--campaign", "1", "--amount", "1"],
        "PlaceBid",
        ads_pb2.PlaceBidResponse,
    ),
]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    ("arguments", "method", "answer"), COMMANDS, ids=[" ".join(one[0]) for one in COMMANDS]
)
def test_no_command_prints_what_a_terminal_acts_on(
    server: CannedServer,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    method: str,
    answer: Any,
    as_json: bool,
) -> None:
    said = poisoned(answer())
    server.will(method, [said] if method.startswith("Watch") else said)
    status = poisoned(ads_pb2.GetConnectorStatusResponse())
    server.will("GetConnectorStatus", status)
    run([*arguments, *(["--json"] if as_json else []), "--target", server.target])
    shown = capsys.readouterr()
    assert shown.out
    assert not ACTED_ON.search(shown.out + shown.err)
    forged = [line for line in shown.out.splitlines() if line.startswith("99 ")]
    assert not forged


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_refusal_is_shown_without_what_a_terminal_acts_on(
    server: CannedServer, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    import grpc

    server.refuses(
        "ListHolds",
        grpc.StatusCode.FAILED_PRECONDITION,
        "BUDGET_PAUSED\n99 reason",
        EVIL,
        metadata={"why": EVIL},
        violations={"field\n99 field": EVIL},
    )
    run(["holds", *(["--json"] if as_json else []), "--target", server.target])
    shown = capsys.readouterr()
    assert "pwned" in shown.out + shown.err
    assert not ACTED_ON.search(shown.out + shown.err)
    assert not [line for line in (shown.out + shown.err).splitlines() if line.startswith("99 ")]


def test_a_table_on_a_terminal_has_no_escape_sequence_of_a_cell() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system=None, width=200)
    console.print(output.rich_table(("a",), [[EVIL]]))
    assert "pwned" in file.getvalue()
    assert not ACTED_ON.search(file.getvalue())


def test_json_is_read_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    stats = budget_pb2.BudgetStats(budget_id=f"naïve {EVIL} \U000e0001 €")
    output.print_json(stats)
    printed = capsys.readouterr().out
    assert json.loads(printed)["budget_id"] == stats.budget_id
    assert printed.count("\n") == 1
    assert "naïve" in printed
    assert "€" in printed


# Exported


def line(note: str) -> Entry:
    return Entry(
        at_ns=1,
        verb="pause",
        budget_ids=("all",),
        hold_id="",
        platform="",
        request_id="",
        amount_micros=0,
        currency_code="",
        note=note,
        sequence=1,
    )


@pytest.mark.parametrize(
    "before", ["", " ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u200b", "\ufeff", "\x0b", " \n\t "]
)
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "＝", "＋", "－", "＠"])
def test_no_cell_of_an_export_is_a_formula_whatever_is_before_it(before: str, sign: str) -> None:
    import csv

    note = f"{before}{sign}HYPERLINK(A1)"
    (row,) = csv.reader(io.StringIO(csv_row(line(note)), newline=""))
    assert f"'{note}" in row
    assert note not in row


@pytest.mark.parametrize("note", ["'=1", " '=1", "'", " ' ", "a=1", " a", "\n", ""])
def test_a_cell_is_read_back_as_it_was(note: str) -> None:
    from smartconnectors_server.ledger.export import csv_header

    text = io.StringIO(csv_header() + csv_row(line(note)), newline="")
    (again,) = read(text)
    assert again.note == note
