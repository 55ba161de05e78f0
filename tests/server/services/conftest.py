"""The budget service over a real ledger, called as the chain calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from smartconnectors_server.budget import Candidates, Keeper, Tallies, Watch
from smartconnectors_server.call import Call
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import (
    Budget,
    Hold,
    Limit,
    Reservation,
    SlidingWindow,
)
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.services.budgets import BudgetServicer
from smartconnectors_server.services.shadow_report import ShadowReports

USD = 1_000_000


class Counter:
    """The service, and a keeper to hold money with.

    Attributes:
        service: called with a request, by anybody.
        keeper: of the same ledger.
    """

    def __init__(self, keeper: Keeper, watch: Watch, reports: ShadowReports) -> None:
        self.keeper = keeper
        self.watch = watch
        self._service = BudgetServicer(keeper, watch, reports)
        self._call = Call(spec=cast("Any", None), started_ns=0)

    async def ask(self, method: str, request: Any) -> Any:
        """What the method answers. Raises ConnectorError."""
        return await getattr(self._service, method)(request, self._call)

    def stream(self, request: Any) -> Any:
        return self._service.WatchBudgetStats(request, self._call)

    async def hold(self, request_id: str, usd: int, budget: str = "google_ads") -> Hold:
        """Holds so much."""
        return await self.keeper.reserve(
            Reservation(
                platform=budget.partition("/")[0],
                request_id=request_id,
                fingerprint="f",
                method="/m",
                target=f"campaigns/{request_id}",
                budget_ids=(budget,),
                amount_micros=usd * USD,
                currency_code="USD",
                source="ai",
                request=b"",
            )
        )


@pytest.fixture
async def counter(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Counter]:
    """Two budgets: $100 in ten minutes, and $50."""
    ledger = SqliteLedger(tmp_path, clock)
    window = SlidingWindow(600.0)
    await ledger.open(
        [
            Budget("google_ads", "USD", (Limit(100 * USD, window),)),
            Budget("meta", "USD", (Limit(50 * USD, window),)),
        ]
    )
    watch = Watch(ledger, clock)
    keeper, tallies = Keeper(ledger, watch), Tallies(ledger, clock)
    books = {name: name for name in ("google_ads", "meta")}
    reports = ShadowReports(keeper, tallies, Candidates(ledger, tallies, {}), books)
    yield Counter(keeper, watch, reports)
    await ledger.close()


Ask = Callable[..., Awaitable[Any]]
