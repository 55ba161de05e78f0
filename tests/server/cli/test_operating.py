"""Budgets, holds and the audit ledger from the command line: what an operator sees and does."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1.bid_pb2 import BID_SOURCE_AI, CIRCUIT_STATE_OPEN
from smartconnectors.common.v1.budget_pb2 import (
    ALERT_LEVEL_NONE,
    ALERT_LEVEL_WARNING,
    BudgetStats,
)
from smartconnectors.common.v1.connector_pb2 import (
    CONNECTOR_MODE_SANDBOX,
    PLATFORM_STATE_CIRCUIT_OPEN,
    CampaignStatusResult,
    CampaignStatusUpdate,
    ConnectorStatus,
)
from smartconnectors.meta.v1.meta_service_pb2 import (
    GetConnectorStatusResponse,
    PauseCampaignRequest,
    PauseCampaignResponse,
    ResumeCampaignResponse,
)
from smartconnectors_server.cli.budgets import Tables

if TYPE_CHECKING:
    from tests.server.cli.conftest import CannedServer, Cli

NOON = Timestamp(seconds=1_767_268_800)


def stats(committed: int, *, paused: bool = False, in_doubt: int = 0) -> BudgetStats:
    """A budget of $500 with so many whole dollars committed."""
    result = BudgetStats(
        budget_id="google_ads",
        limit_micros=500_000_000,
        committed_micros=committed * 1_000_000,
        in_doubt_micros=in_doubt * 1_000_000,
        remaining_micros=(500 - committed - in_doubt) * 1_000_000,
        currency_code="USD",
        alert_level=ALERT_LEVEL_WARNING if committed >= 400 else ALERT_LEVEL_NONE,
        paused=paused,
        accepted_count=3,
        vetoed_count=1,
        as_of=NOON,
    )
    result.window.seconds = 600
    return result


def a_connector() -> ConnectorStatus:
    """Meta, with an open circuit."""
    one = ConnectorStatus(
        platform="meta",
        mode=CONNECTOR_MODE_SANDBOX,
        connected=True,
        circuit_state=CIRCUIT_STATE_OPEN,
        rate_limit_calls=200,
        used_calls=12,
        headroom_calls=188,
        deferred_count=3,
        in_doubt_count=1,
        state=PLATFORM_STATE_CIRCUIT_OPEN,
        refusals={"CIRCUIT_OPEN_NO_FALLBACK": 2, "INVALID_BID": 1},
    )
    one.state_retry_after.FromMilliseconds(2500)
    one.circuit_retry_after.FromMilliseconds(2500)
    one.rate_limit_window.seconds = 3600
    return one


def columns_of(text: str) -> list[dict[str, str]]:
    """The rows of a plain table, by column name."""
    header, *rows = text.splitlines()
    names = [name for name in header.split("  ") if name.strip()]
    starts = [header.index(name) for name in names]
    return [
        {
            name.strip(): row[start:end].strip()
            for name, start, end in zip(names, starts, [*starts[1:], None], strict=True)
        }
        for row in rows
    ]


@pytest.mark.parametrize(
    ("bids_s", "reports_s", "said"),
    [
        (0, 1800, "; reports are throttled for 30 min, bids are not"),
        (60, 0, "; bids are throttled for 1 min"),
        (60, 1800, "; bids are throttled for 1 min; reports are throttled for 30 min"),
    ],
)
def test_status_says_what_a_platform_throttles(
    ask: Cli, server: CannedServer, bids_s: int, reports_s: int, said: str
) -> None:
    one = a_connector()
    if bids_s:
        one.bids_throttled_for.FromSeconds(bids_s)
    if reports_s:
        one.reports_throttled_for.FromSeconds(reports_s)
    server.will("ListBudgetStats", pb.ListBudgetStatsResponse())
    server.will("meta/GetConnectorStatus", GetConnectorStatusResponse(status=one))
    connectors = ask("status").out.split("\n", 1)[1].split("\n\n")[0]
    assert columns_of(connectors)[0]["calls"] == f"12 of 200 in 1 h{said}"


def test_status_shows_health_and_every_budget(ask: Cli, server: CannedServer) -> None:
    server.will(
        "ListBudgetStats",
        pb.ListBudgetStatsResponse(stats=[stats(225), stats(400, in_doubt=50)]),
    )
    server.will("meta/GetConnectorStatus", GetConnectorStatusResponse(status=a_connector()))
    ended = ask("status")
    assert ended.exit_code == 0
    health, rest = ended.out.split("\n", 1)
    assert health == f"{server.target}: SERVING, 1 of 1 platform down"
    connectors, table = rest.split("\n\n")
    # Only a platform that the server has is shown.
    assert columns_of(connectors) == [
        {
            "platform": "meta",
            "mode": "sandbox",
            "state": "circuit open, tries again in 2.5 s",
            "calls": "12 of 200 in 1 h",
            "waiting": "3",
            "refused": "3",
            "in doubt": "1",
        }
    ]
    first, second = columns_of(table)
    assert first == {
        "budget": "google_ads",
        "committed": "$225.00",
        "held": "$0.00",
        "deferred": "$0.00",
        "in doubt": "$0.00",
        "remaining": "$275.00",
        "limit": "$500.00",
        "used": "45 %",
        "window": "10 min",
        "accepted": "3",
        "vetoed": "1",
        "reported": "",
        "state": "ok",
    }
    assert (second["in doubt"], second["used"], second["state"]) == ("$50.00", "90 %", "warning")


def test_status_as_json_has_health_and_the_contracts_fields(ask: Cli, server: CannedServer) -> None:
    server.will("ListBudgetStats", pb.ListBudgetStatsResponse(stats=[stats(225)]))
    server.will("meta/GetConnectorStatus", GetConnectorStatusResponse(status=a_connector()))
    document = ask("status", "--json").document
    assert document["health"] == "SERVING"
    assert [one["platform"] for one in document["connectors"]] == ["meta"]
    assert document["connectors"][0]["used_calls"] == "12"
    assert document["stats"][0]["committed_micros"] == "225000000"


def test_watch_on_a_terminal_shows_platforms_above_their_budgets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with Tables() as tables:
        tables.show(stats(225))
        tables.show_connectors([a_connector()])
        tables.show(stats(400, paused=True))
    shown = capsys.readouterr().out
    for text in ("meta", "sandbox", "open, tries again in 2.5 s", "12 of 200 in 1 h"):
        assert text in shown
    assert shown.index("meta") < shown.index("google_ads")
    assert "$400.00" in shown
    assert "$225.00" not in shown


def test_watch_prints_a_line_for_each_change_and_ends_after_its_count(
    ask: Cli, server: CannedServer
) -> None:
    changes = [pb.WatchBudgetStatsResponse(stats=stats(n)) for n in (0, 75, 150)]
    server.will("WatchBudgetStats", changes)
    ended = ask("watch", "google_ads", "--count", "2")
    assert ended.exit_code == 0
    start = "2026-01-01 12:00:00.000Z google_ads:"
    assert ended.out.splitlines() == [
        f"{start} $0.00 of $500.00 committed (0 %), $500.00 remaining",
        f"{start} $75.00 of $500.00 committed (15 %), $425.00 remaining",
    ]
    assert list(server.requests[0].budget_ids) == ["google_ads"]


def test_watch_as_json_is_one_document_a_line(ask: Cli, server: CannedServer) -> None:
    changes = [pb.WatchBudgetStatsResponse(stats=stats(n)) for n in (0, 75)]
    server.will("WatchBudgetStats", changes)
    lines = ask("watch", "--count", "2", "--json").out.splitlines()
    assert [json.loads(line)["committed_micros"] for line in lines] == ["0", "75000000"]


def test_watch_says_when_the_server_ends_the_stream(ask: Cli, server: CannedServer) -> None:
    server.will("WatchBudgetStats", [pb.WatchBudgetStatsResponse(stats=stats(0))])
    ended = ask("watch")
    assert ended.exit_code == 3
    assert "shutting down" in ended.err


def test_resume_and_budget_send_their_reason(ask: Cli, server: CannedServer) -> None:
    server.will("ResumeBudget", pb.ResumeBudgetResponse(stats=stats(225)))
    server.will("UpdateBudget", pb.UpdateBudgetResponse(stats=stats(225)))
    assert ask("resume", "google_ads", "--reason", "calm").exit_code == 0
    ended = ask("budget", "set", "google_ads", "--limit", "500.00", "--reason", "q3", "--json")
    assert ended.document["stats"]["limit_micros"] == "500000000"
    assert server.requests == [
        pb.ResumeBudgetRequest(budget_id="google_ads", reason="calm"),
        pb.UpdateBudgetRequest(budget_id="google_ads", limit_micros=500_000_000, reason="q3"),
    ]


@pytest.mark.parametrize("command", ["pause", "resume", "budget set"])
def test_a_change_without_a_reason_is_not_made(
    ask: Cli, server: CannedServer, command: str
) -> None:
    limit = ("--limit", "1.00") if command == "budget set" else ()
    ended = ask(*command.split(), "google_ads", *limit)
    assert ended.exit_code == 2
    assert "--reason" in ended.err
    assert server.requests == []


@pytest.mark.parametrize(
    ("options", "changed", "words"),
    [
        ((), True, "(changed)"),
        ((), False, "(it was already)"),
        (("--validate-only",), True, "(would be changed)"),
        (("--validate-only",), False, "(as it is already)"),
    ],
)
def test_a_campaign_is_paused_on_the_platform_that_is_named(
    ask: Cli, server: CannedServer, options: tuple[str, ...], changed: bool, words: str
) -> None:
    result = CampaignStatusResult(campaign_id="1001", paused=True, changed=changed)
    server.will("meta/PauseCampaign", PauseCampaignResponse(result=result))
    ended = ask("campaign", "pause", "meta", "1001", *options)
    assert ended.out == f"meta: campaign 1001 is paused {words}\n"
    update = CampaignStatusUpdate(campaign_id="1001", validate_only=bool(options))
    assert server.requests == [PauseCampaignRequest(update=update)]


def test_a_campaign_is_resumed_and_told_in_json(ask: Cli, server: CannedServer) -> None:
    result = CampaignStatusResult(campaign_id="1001", paused=False, changed=True)
    server.will("meta/ResumeCampaign", ResumeCampaignResponse(result=result))
    ended = ask("campaign", "resume", "meta", "1001", "--json")
    assert ended.document["result"] == {
        "campaign_id": "1001",
        "paused": False,
        "changed": True,
        "shadowed": False,
    }


def test_a_campaign_of_no_platform_asks_nobody(ask: Cli, server: CannedServer) -> None:
    ended = ask("campaign", "pause", "mega", "1001")
    assert ended.exit_code == 2
    assert "google_ads, meta, trade_desk" in ended.err
    assert server.requests == []


def a_hold(state: pb.HoldState.ValueType) -> pb.Hold:
    return pb.Hold(
        hold_id="h1",
        request_id="r1",
        platform="google_ads",
        target="campaigns/1001",
        amount_micros=75_000_000,
        currency_code="USD",
        state=state,
        source=BID_SOURCE_AI,
        created_at=NOON,
        note="no answer in 5 s",
        caller="bidder",
    )


def test_holds_are_listed_with_where_they_stand_and_how_to_see_more(
    ask: Cli, server: CannedServer
) -> None:
    server.will(
        "ListHolds",
        pb.ListHoldsResponse(holds=[a_hold(pb.HOLD_STATE_IN_DOUBT)], next_page_token="p2"),
    )
    ended = ask("holds", "--budget", "google_ads", "--page-size", "1", "--page-token", "p1")
    table, _, more = ended.out.rstrip().rpartition("\n")
    assert columns_of(table) == [
        {
            "hold": "h1",
            "state": "in doubt",
            "amount": "$75.00",
            "platform": "google_ads",
            "target": "campaigns/1001",
            "caller": "bidder",
            "request": "r1",
            "source": "ai",
            "since": "2026-01-01 12:00:00.000Z",
            "note": "no answer in 5 s",
        }
    ]
    assert more == "more: --page-token p2"
    assert server.requests == [
        pb.ListHoldsRequest(budget_id="google_ads", page_size=1, page_token="p1")
    ]


def test_no_open_holds_is_said_in_words(ask: Cli, server: CannedServer) -> None:
    server.will("ListHolds", pb.ListHoldsResponse())
    assert ask("holds").out == "No open holds.\n"


@pytest.mark.parametrize(
    ("word", "state"), [("settled", pb.HOLD_STATE_SETTLED), ("released", pb.HOLD_STATE_RELEASED)]
)
def test_a_hold_is_resolved_by_an_operators_word(
    ask: Cli, server: CannedServer, word: str, state: pb.HoldState.ValueType
) -> None:
    server.will("ResolveHold", pb.ResolveHoldResponse(hold=a_hold(state)))
    ended = ask("holds", "resolve", "h1", word, "--reason", "seen in the account")
    assert columns_of(ended.out)[0]["state"] == word
    assert server.requests == [
        pb.ResolveHoldRequest(hold_id="h1", state=state, reason="seen in the account")
    ]


def test_audit_lists_what_was_done_to_money(ask: Cli, server: CannedServer) -> None:
    entries = [
        pb.LedgerEntry(
            sequence=7,
            at=NOON,
            verb="settle",
            budget_ids=["google_ads", "total"],
            hold_id="h1",
            request_id="r1",
            amount_micros=75_000_000,
            currency_code="USD",
        ),
        pb.LedgerEntry(sequence=8, at=NOON, verb="pause", budget_ids=["google_ads"], note="fast"),
    ]
    server.will("ListLedgerEntries", pb.ListLedgerEntriesResponse(entries=entries))
    settled, paused = columns_of(ask("audit", "--request-id", "r1").out)
    assert (settled["verb"], settled["amount"], settled["budgets"], settled["request"]) == (
        "settle",
        "$75.00",
        "google_ads total",
        "r1",
    )
    assert (paused["no."], paused["verb"], paused["note"]) == ("8", "pause", "fast")
    assert server.requests[0].request_id == "r1"


def test_a_refusal_of_any_command_ends_with_1(ask: Cli, server: CannedServer) -> None:
    server.refuses("ListHolds", grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "no budget is called x")
    ended = ask("holds", "--budget", "x")
    assert ended.exit_code == 1
    assert ended.err.splitlines() == ["no budget is called x", "reason: NOT_FOUND"]


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("watch",),
        ("holds",),
        ("audit",),
        ("pause", "google_ads", "--reason", "x"),
        ("bid", "google_ads", "--campaign", "1001"),
        ("get", "meta", "r1"),
        ("campaign", "pause", "trade_desk", "1001"),
    ],
)
def test_without_a_server_every_command_says_how_to_start_one(
    cli: Cli, command: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = f"127.0.0.1:{taken.getsockname()[1]}"
    ended = cli(*command, "--target", target)
    assert ended.exit_code == 3
    assert target in ended.err
    assert "smart-connectors serve" in ended.err
    ended = cli(*command, "--target", target, "--json")
    assert ended.exit_code == 3
    assert ended.document["error"]["code"] == "UNAVAILABLE"
