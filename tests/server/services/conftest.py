"""The budget service over a real ledger, called as the chain calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors_server.access import Caller, Role
from smartconnectors_server.budget import CampaignStanding, Candidates, Keeper, Tallies, Watch
from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.customers import Customers
from smartconnectors_server.ledger import (
    Budget,
    Hold,
    Limit,
    Reservation,
    SlidingWindow,
)
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.services.alerts import AlertReader
from smartconnectors_server.services.budgets import BudgetServicer
from smartconnectors_server.services.shadow_report import ShadowReports

USD = 1_000_000
_SERVICE = pb.DESCRIPTOR.services_by_name["BudgetService"]


class Campaigns:
    """Stands for what pauses campaigns: keeps what it was asked, and answers `standings`."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.standings: list[CampaignStanding] = []

    async def pause(
        self,
        platform: str,
        campaign_ids: Sequence[str] | None,
        reason: str,
        actor: str = "",
        *,
        within_s: float = 0.0,
    ) -> list[CampaignStanding]:
        self.asked.append(("pause", platform, campaign_ids, reason, actor, within_s))
        return self.standings

    async def resume(
        self,
        platform: str,
        campaign_ids: Sequence[str] | None,
        reason: str,
        actor: str = "",
        *,
        within_s: float = 0.0,
    ) -> list[CampaignStanding]:
        self.asked.append(("resume", platform, campaign_ids, reason, actor, within_s))
        return self.standings


class Counter:
    """The service, and a keeper to hold money with.

    Attributes:
        service: called with a request, by anybody.
        keeper: of the same ledger.
    """

    def __init__(
        self, ledger: SqliteLedger, keeper: Keeper, watch: Watch, reports: ShadowReports
    ) -> None:
        customers = Customers(None, ledger._directory)
        customers.open()
        self.ledger = ledger
        self.keeper = keeper
        self.watch = watch
        self.campaigns = Campaigns()
        self._service = BudgetServicer(
            keeper,
            watch,
            ledger.reported,
            self.campaigns,
            reports,
            customers,
            AlertReader(ledger.alerts),
        )

    async def ask(self, method: str, request: Any, *, deadline_s: float | None = None) -> Any:
        """What the method answers. Raises ConnectorError."""
        spec = MethodSpec.of(_SERVICE.methods_by_name[method])
        deadline_ns = None if deadline_s is None else round(deadline_s * 1e9)
        caller = Caller("carol", Role.OPERATE)
        return await getattr(self._service, method)(
            request, Call(spec, 0, deadline_ns, caller=caller)
        )

    def stream(self, request: Any) -> Any:
        name = type(request).__name__.removesuffix("Request")
        spec = MethodSpec.of(_SERVICE.methods_by_name[name])
        return getattr(self._service, name)(request, Call(spec, 0))

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
    yield Counter(ledger, keeper, watch, reports)
    await ledger.close()


Ask = Callable[..., Awaitable[Any]]
