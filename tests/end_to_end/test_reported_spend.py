"""What the platform billed, from its sandbox to a budget's figures, whatever ails the report."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import budget_pb2
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words

SEARCH = "SearchStream"


async def reported(
    server: Server, say: Words, budget_id: str, micros: int
) -> budget_pb2.BudgetStats:
    """Waits until the budget shows this."""
    seen: budget_pb2.BudgetStats = await say.eventually(
        lambda: server.stats(budget_id),
        lambda stats: (
            stats.HasField("reported_spend_micros") and stats.reported_spend_micros == micros
        ),
    )
    return seen


@pytest.mark.parametrize("name", sorted(PLATFORMS))
async def test_what_the_sandbox_bills_is_shown_with_its_age_and_kept_over_a_restart(
    stage: Stage, say: Words, name: str
) -> None:
    today = datetime.now(UTC).date()
    stage.sandboxes[name].billed.time_zone = "UTC"
    stage.sandboxes[name].billed.bill("1001", today, 12_340_000)
    often: dict[str, Any] = {"each": {name: {"reported_spend": {"enabled": True, "interval_s": 1}}}}
    server = await stage.serve(**often)
    stats = await reported(server, say, name, 12_340_000)
    assert stats.reported_period == f"{today} UTC"
    assert 0 <= stats.as_of.ToNanoseconds() - stats.reported_as_of.ToNanoseconds() < 10 * 10**9
    assert stats.committed_micros == 0
    request = budgets_pb2.ListReportedSpendRequest(platform=name)
    (row,) = (await server.budgets.ListReportedSpend(request)).spend
    assert (row.campaign_id, row.day, row.spend_micros) == ("1001", f"{today}", 12_340_000)
    await server.stop()
    # The platform cannot be asked now, so this is what was kept.
    off: dict[str, Any] = {"each": {name: {"reported_spend": {"enabled": False}}}}
    server = await stage.serve(**off)
    again = await server.stats(name)
    assert (again.reported_spend_micros, again.reported_period) == (12_340_000, f"{today} UTC")
    assert again.reported_as_of.ToNanoseconds() >= stats.reported_as_of.ToNanoseconds()


async def test_a_report_that_hangs_opens_no_breaker_and_delays_no_bid(
    stage: Stage, say: Words
) -> None:
    stage.sandbox.billed.time_zone = "UTC"
    server = await stage.serve(
        circuit_breaker={"slow_call_ms": 1500, "failure_threshold": 1},
        reported_spend={"enabled": True, "interval_s": 1, "timeout_ms": 2000},
    )
    await reported(server, say, "google_ads", 0)
    await server.place(say.bid("before"))  # its campaign is known now, so bids read nothing
    await stage.fault(FaultKind.HANG, method=SEARCH)
    stage.sandbox.billed.bill("1001", datetime.now(UTC).date(), 5_000_000)
    # The figure arrives with the report after the one that hung.
    arrival = asyncio.ensure_future(reported(server, say, "google_ads", 5_000_000))
    count = 0
    while not arrival.done():
        await server.place(say.bid(f"during-{count}", 16 + count / 100))
        count += 1
        await asyncio.wait([arrival], timeout=0.1)
    await arrival
    assert count > 2, "a bid that waits for the report would be the only one"
    assert server.core.runtimes["google_ads"].breaker.open_count == 0
    assert len(stage.mutates()) == count + 1
