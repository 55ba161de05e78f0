"""`alerts`: the newest at one glance, and each as it is recorded."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from tests.server.cli.conftest import CannedServer, Cli

from smartconnectors.budgets.v1 import budget_service_pb2 as pb

ALERT = pb.Alert(
    alert_id="alert-12",
    kind=pb.ALERT_KIND_BUDGET_WARNING,
    at=Timestamp(seconds=1_795_521_600),
    budget_ids=["google_ads"],
    text="budget google_ads is at WARNING: $85.00 of $100.00 committed",
    stands=True,
    severity=pb.ALERT_SEVERITY_WARNING,
)


def test_alerts_are_a_table_newest_first(ask: Cli, server: CannedServer) -> None:
    server.will("ListAlerts", pb.ListAlertsResponse(alerts=[ALERT], next_after_id="alert-12"))
    header, row = ask("alerts").out.splitlines()
    assert header.split() == ["at", "alert", "severity", "kind", "stands", "what"]
    assert row.split()[2:7] == ["alert-12", "warning", "budget", "warning", "yes"]
    assert row.endswith(ALERT.text)
    (request,) = server.requests
    assert (request.newest_first, request.page_size) == (True, 20)


def test_alerts_after_one_are_oldest_first_and_say_how_to_go_on(
    ask: Cli, server: CannedServer
) -> None:
    server.will("ListAlerts", pb.ListAlertsResponse(alerts=[ALERT], next_after_id="alert-12"))
    assert ask("alerts", "--after", "alert-0").out.splitlines()[-1] == "more: --after alert-12"
    (request,) = server.requests
    assert (request.newest_first, request.after_id) == (False, "alert-0")


def test_alerts_can_be_json(ask: Cli, server: CannedServer) -> None:
    server.will("ListAlerts", pb.ListAlertsResponse(alerts=[ALERT]))
    assert ask("alerts", "--json").document["alerts"][0]["alert_id"] == "alert-12"


def test_it_is_said_that_there_are_none(ask: Cli, server: CannedServer) -> None:
    server.will("ListAlerts", pb.ListAlertsResponse())
    assert ask("alerts").out == "No alerts.\n"


def test_alerts_are_followed_one_line_each(ask: Cli, server: CannedServer) -> None:
    server.will("WatchAlerts", [pb.WatchAlertsResponse(), pb.WatchAlertsResponse(alert=ALERT)])
    shown = ask("alerts", "--watch", "--after", "alert-3", "--count", "1")
    assert shown.out == f"2026-11-24 12:00:00.000Z alert-12 warning: {ALERT.text}\n"
    (request,) = server.requests
    assert request.after_id == "alert-3"
