"""`spend`, and what every view of a budget says of reported spend."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from tests.server.cli.conftest import CannedServer, Cli

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors_server.cli import output

NOON = Timestamp(seconds=1_795_521_600)
ROW = pb.ReportedSpend(
    platform="google_ads",
    campaign_id="1001",
    day="2026-11-24",
    spend_micros=12_500_000,
    currency_code="USD",
    time_zone="Europe/Berlin",
    as_of=NOON,
)


def test_spend_is_a_table_that_says_reported(ask: Cli, server: CannedServer) -> None:
    answer = pb.ListReportedSpendResponse(spend=[ROW], next_page_token="1")
    server.will("ListReportedSpend", answer)
    lines = ask("spend", "google_ads", "--days", "7").out.splitlines()
    assert lines[0].split() == [
        "day",
        "platform",
        "campaign",
        "reported",
        "time",
        "zone",
        "as",
        "of",
    ]
    assert lines[1].split()[:5] == ["2026-11-24", "google_ads", "1001", "$12.50", "Europe/Berlin"]
    assert lines[2] == "more: --page-token 1"
    (request,) = server.requests
    assert (request.platform, request.days) == ("google_ads", 7)


def test_spend_says_so_when_nothing_is_reported(ask: Cli, server: CannedServer) -> None:
    server.will("ListReportedSpend", pb.ListReportedSpendResponse())
    assert ask("spend").out == "Nothing is reported.\n"


def test_spend_can_be_json(ask: Cli, server: CannedServer) -> None:
    server.will("ListReportedSpend", pb.ListReportedSpendResponse(spend=[ROW]))
    document = ask("spend", "--json").document
    assert document["spend"][0]["day"] == "2026-11-24"


def test_a_budget_says_what_is_committed_and_what_is_reported_with_its_age() -> None:
    stats = BudgetStats(
        budget_id="google_ads",
        limit_micros=500_000_000,
        committed_micros=10_000_000,
        remaining_micros=490_000_000,
        currency_code="USD",
        reported_spend_micros=12_500_000,
        reported_period="2026-11-24 Europe/Berlin",
        reported_as_of=NOON,
        as_of=Timestamp(seconds=NOON.seconds + 180),
    )
    said = "$12.50 on 2026-11-24 Europe/Berlin, 3 min old"
    assert output.budget_text(stats) == (
        f"$10.00 of $500.00 committed (2 %), $490.00 remaining, reported: {said}"
    )
    assert said in output.stats_row(stats)
    stats.ClearField("reported_spend_micros")
    assert "reported" not in output.budget_text(stats)
