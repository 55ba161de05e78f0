"""A platform that keeps a journal of what it applied, and does with a change what chance says.

What it promises, as real ones do: a change is applied at most once, and not later than twice the
timeout after it was sent.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.world import VirtualClock

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.call import Call, Plan, Priced
from smartconnectors_server.connector import Context, Finding, OneByOne, Platform, QuotaSignal, Sent
from smartconnectors_server.errors import (
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
)
from smartconnectors_server.platforms import PLATFORMS

TIMEOUT_S = 2.0
LATEST_S = 2 * TIMEOUT_S
FAULTS = (
    "refuse",
    "reject",
    "lose",
    "hang",
    "apply_then_hang",
    "apply_late",
    "apply_then_crash",
    "quota",
    "slow",
)


@dataclass(frozen=True)
class Applied:
    """One change that took effect."""

    at_s: float
    request_id: str
    campaign_id: str
    target: str
    amount: int


@dataclass
class ScriptedPlatform:
    """The platform's side. It outlives every server."""

    chance: random.Random
    clock: VirtualClock
    weights: dict[str, float] = field(default_factory=dict)
    read_fails: float = 0.0
    journal: list[Applied] = field(default_factory=list)
    arriving: list[Applied] = field(default_factory=list)
    setting: dict[str, str] = field(default_factory=dict)
    """Target -> whose change it shows."""
    under_way: dict[str, Applied] = field(default_factory=dict)
    calls_at_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What a server did that it must never do."""

    def settle_arrivals(self) -> None:
        """Lets what was on its way until now arrive."""
        now_s = self.clock.now_s()
        due = sorted((a for a in self.arriving if a.at_s <= now_s), key=lambda a: a.at_s)
        self.arriving = [a for a in self.arriving if a.at_s > now_s]
        for change in due:
            self._apply(change)

    def _apply(self, change: Applied) -> None:
        if any(a.request_id == change.request_id for a in self.journal):
            self.wrong.append(f"{change.request_id} was applied twice")
        self.journal.append(change)
        self.setting[change.target] = change.request_id

    def later(self, change: Applied, delay_s: float) -> None:
        """Applies it after a while."""
        self.arriving.append(dataclasses.replace(change, at_s=self.clock.now_s() + delay_s))

    def cut(self) -> None:
        """The server died: what was under way may have arrived, may still, or never does."""
        for change in self.under_way.values():
            decided = {c.request_id for c in (*self.arriving, *self.journal)}
            if change.request_id not in decided and self.chance.random() < 0.6:
                self.later(change, self.chance.uniform(0.0, TIMEOUT_S))
        self.under_way.clear()

    def somebody_else_changes(self, target: str) -> None:
        """A person, in the platform's own pages."""
        self.settle_arrivals()
        self.setting[target] = f"person {self.clock.now_s()}"

    # What the server asks for

    def show(self, target: str) -> str:
        self.settle_arrivals()
        return self.setting.get(target, "nobody")

    async def take(self, change: Applied, connector: ScriptedConnector) -> None:
        """Does with one change what chance says. Raises what the server is to see."""
        self.settle_arrivals()
        self.calls_at_s.append(self.clock.now_s())
        for other in (*self.under_way.values(), *self.arriving):
            if other.target == change.target or other.request_id == change.request_id:
                self.wrong.append(f"{change.request_id} was sent while {other.request_id} may act")
        self.under_way[change.target] = change
        try:
            await self._act(change, connector)
        finally:
            if self.under_way.get(change.target) is change:
                del self.under_way[change.target]

    async def _act(self, change: Applied, connector: ScriptedConnector) -> None:
        kinds = ["well", *FAULTS]
        weights = [1.0, *(self.weights.get(kind, 0.0) for kind in FAULTS)]
        (kind,) = self.chance.choices(kinds, weights)
        latency_s = self.chance.uniform(0.005, 0.2)
        if kind == "refuse":
            raise PlatformUnavailable("connection refused")
        await asyncio.sleep(latency_s)
        if kind == "reject":
            raise PlatformRejected("the bid is too low for this campaign")
        if kind == "quota":
            connector.context.gate.tighten(QuotaSignal(retry_after_s=self.chance.uniform(1, 9)))
            raise RateLimited("too many calls", retry_after_s=1.0)
        if kind == "slow":
            await asyncio.sleep(self.chance.uniform(0.5, TIMEOUT_S - 0.3))
        if kind == "apply_late":
            self.later(change, self.chance.uniform(0.0, LATEST_S - latency_s))
        elif kind not in {"lose", "hang"}:
            self._apply(dataclasses.replace(change, at_s=self.clock.now_s()))
        if kind in {"hang", "apply_then_hang", "apply_late"}:
            await asyncio.sleep(TIMEOUT_S - latency_s)
            raise OutcomeUnknown("no answer within the timeout")
        if kind == "lose":
            raise OutcomeUnknown("the connection was reset")
        if kind == "apply_then_crash":
            raise RuntimeError("the connector has a bug behind the call")


class ScriptedConnector(OneByOne):
    """One server's side of it."""

    def __init__(self, platform: ScriptedPlatform, context: Context) -> None:
        self.platform = platform
        self.context = context

    async def connect(self) -> None:
        await asyncio.sleep(0.3)

    async def close(self) -> None:
        """Nothing to close."""

    def target_of(self, campaign_id: str) -> str:
        """Two campaigns share a strategy, which only the platform knows."""
        return "portfolios/1" if campaign_id in {"4", "5"} else f"campaigns/{campaign_id}"

    def offline_target(self, request: Any) -> str:
        return f"campaigns/{request.bid.campaign_id}"

    async def _read(self) -> None:
        async with self.context.gate.read("campaign"):
            self.platform.calls_at_s.append(self.platform.clock.now_s())
            await asyncio.sleep(self.platform.chance.uniform(0.002, 0.1))
            if self.platform.chance.random() < self.platform.read_fails:
                raise PlatformUnavailable("cannot be read")

    async def plan(self, request: Any, priced: Priced) -> Plan:
        if self.platform.chance.random() < 0.2:
            await self._read()
        target = self.target_of(request.bid.campaign_id)
        return Plan(
            target=target,
            amount_micros=priced.bid_micros,
            before=self.platform.show(target),
            wire=0 if request.bid.reduce_only else priced.bid_micros,
            before_value=100,
            after_value=90 if request.bid.reduce_only else 110,
            lowers_exposure=request.bid.reduce_only,
        )

    async def lookup(self, sent: Sent) -> Finding:
        await self._read()
        assert isinstance(sent.request, ads_pb2.PlaceBidRequest)
        shown = self.platform.show(sent.target)
        if shown == sent.request.bid.request_id:
            return Finding.APPLIED
        return Finding.NOT_APPLIED if shown == sent.before else Finding.INCONCLUSIVE

    async def PlaceBid(  # noqa: N802 - its name on the wire
        self, request: ads_pb2.PlaceBidRequest, call: Call
    ) -> ads_pb2.PlaceBidResponse:
        if call.validate_only:
            return ads_pb2.PlaceBidResponse()
        plan = call.plan
        assert plan is not None
        common = request.bid
        change = Applied(0.0, common.request_id, common.campaign_id, plan.target, plan.wire)
        await self.platform.take(change, self)
        return ads_pb2.PlaceBidResponse()


def registered(platform: ScriptedPlatform) -> Platform:
    """The entry for the registry of platforms."""
    return dataclasses.replace(
        PLATFORMS["google_ads"], connector=lambda context: ScriptedConnector(platform, context)
    )
