"""What every platform reports of spend, asked of its sandbox by its real client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.conformance.platforms.conftest import Bench

from smartconnectors_server.connector import SpendRow
from smartconnectors_server.connector.sandbox import Fault, FaultKind
from smartconnectors_server.errors import ConnectorError, PlatformUnavailable

TODAY = datetime.now(UTC).date()
SINCE = TODAY - timedelta(days=3)


async def test_what_the_platform_billed_is_reported_by_campaign_and_day(bench: Bench) -> None:
    bench.sandbox.billed.time_zone = "UTC"
    bench.sandbox.billed.bill("1001", TODAY, 12_340_000)
    bench.sandbox.billed.bill("1001", SINCE, 500_000_000)
    bench.sandbox.billed.bill("1002", TODAY, 10_000)
    bench.sandbox.billed.bill("1001", SINCE - timedelta(days=1), 1_000_000)
    report = await bench.connector.reported_spend(SINCE)
    assert report is not None
    assert report.time_zone == "UTC"
    assert set(report.rows) == {
        SpendRow("1001", TODAY, 12_340_000, "USD"),
        SpendRow("1001", SINCE, 500_000_000, "USD"),
        SpendRow("1002", TODAY, 10_000, "USD"),
    }


async def test_reports_go_through_the_share_of_reports_alone(bench: Bench) -> None:
    await bench.connector.reported_spend(SINCE)
    assert bench.gate.reads == []
    assert 1 <= len(bench.gate.reports) <= 2


async def test_a_correction_replaces_what_was_said(bench: Bench) -> None:
    bench.sandbox.billed.time_zone = "UTC"
    for micros in (2_000_000, 1_500_000):
        bench.sandbox.billed.bill("1001", TODAY, micros)
        report = await bench.connector.reported_spend(SINCE)
        assert report is not None
        assert [row.spend_micros for row in report.rows] == [micros]


@pytest.mark.parametrize(
    "kind", [FaultKind.SERVER_ERROR, FaultKind.MALFORMED, FaultKind.QUOTA, FaultKind.HANG]
)
async def test_a_report_that_fails_is_a_typed_error_and_the_next_one_is_read(
    bench: Bench, kind: FaultKind
) -> None:
    await bench.connector.reported_spend(SINCE)
    await bench.sandbox.add_fault(Fault(kind, delay_ms=100))
    with pytest.raises(ConnectorError):
        await bench.connector.reported_spend(SINCE)
    assert await bench.connector.reported_spend(SINCE) is not None


async def test_a_platform_that_cannot_be_reached_reports_nothing(bench: Bench) -> None:
    await bench.sandbox.add_fault(Fault(FaultKind.REFUSE))
    with pytest.raises(PlatformUnavailable):
        await bench.connector.reported_spend(SINCE)
