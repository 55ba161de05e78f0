"""One platform of the registry at a time: its sandbox on a real socket, its connector on that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from smartconnectors_server.call import Call, MethodSpec, Plan, Priced
from smartconnectors_server.clock import SystemClock
from smartconnectors_server.connector import (
    Connector,
    Context,
    Finding,
    Mode,
    Placed,
    Platform,
    QuotaSignal,
    Sent,
    Traffic,
)
from smartconnectors_server.connector.sandbox import Sandbox
from smartconnectors_server.errors import ConnectorError, PlatformUnavailable
from smartconnectors_server.platforms import PLATFORMS

CAMPAIGNS = tuple(str(campaign_id) for campaign_id in range(1001, 1011))
TIMEOUT_MS = 500
"""Short, because some faults are nothing but waiting; long enough for a busy machine."""


ACCOUNTS = {"trade_desk": {"advertiser_id": "adv-usd"}}
"""What a platform has to be told before it tells anything of an account."""


class OpenGate:
    """Lets every read through, and remembers what it was told."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.reports: list[str] = []
        self.signals: list[QuotaSignal] = []

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic = Traffic.READS) -> AsyncIterator[None]:
        del traffic
        self.reads.append(what)
        yield

    @asynccontextmanager
    async def report(self, what: str) -> AsyncIterator[None]:
        self.reports.append(what)
        yield

    @contextmanager
    def urgent(self) -> Iterator[None]:
        yield

    def tighten(self, signal: QuotaSignal) -> None:
        self.signals.append(signal)


Planned = tuple[Any, Priced, Plan]


@dataclass
class Bench:
    """A connector in front of its sandbox, and the chain's part played by hand."""

    platform: Platform
    sandbox: Sandbox
    connector: Connector
    gate: OpenGate
    sent: list[Planned] = field(default_factory=list)

    def request(self, campaign_id: str, request_id: str, bid_micros: int = 15_000_000) -> Any:
        """The barest bid there is."""
        spec = self._spec()
        request: Any = spec.request_class()
        request.bid.request_id = request_id
        request.bid.campaign_id = campaign_id
        request.bid.bid_micros = bid_micros
        request.bid.predicted_ltv_micros = 30_000_000
        return request

    async def plan(self, request: Any) -> tuple[Priced, Plan]:
        priced = Priced(
            request_id=request.bid.request_id,
            bid_micros=request.bid.bid_micros,
            ltv_micros=request.bid.predicted_ltv_micros,
            currency_code="USD",
        )
        return priced, await self.connector.plan(request, priced)

    async def send(self, request: Any, priced: Priced, plan: Plan) -> Any:
        call = Call(self._spec(), 0, request_id=priced.request_id, priced=priced, plan=plan)
        self.sent.append((request, priced, plan))
        connector: Any = self.connector
        return await connector.PlaceBid(request, call)

    async def send_many(self, planned: Sequence[Planned]) -> list[Placed]:
        """What became of each, whether the platform said it of one or of all."""
        calls = [
            (request, Call(self._spec(), 0, request_id=priced.request_id, priced=priced, plan=plan))
            for request, priced, plan in planned
        ]
        try:
            return list(await self.connector.place_many(calls))
        except ConnectorError as error:
            return [error] * len(planned)

    async def set_paused(
        self, campaign_id: str, *, paused: bool, validate_only: bool = False
    ) -> Any:
        """The result of PauseCampaign or ResumeCampaign."""
        method = "PauseCampaign" if paused else "ResumeCampaign"
        spec = MethodSpec.of(self.platform.service.methods_by_name[method])
        request: Any = spec.request_class()
        request.update.campaign_id = campaign_id
        request.update.validate_only = validate_only
        response = await getattr(self.connector, method)(request, Call(spec, 0))
        return response.result

    async def bid(self, campaign_id: str, request_id: str, bid_micros: int = 15_000_000) -> Any:
        request = self.request(campaign_id, request_id, bid_micros)
        return await self.send(request, *await self.plan(request))

    async def look(self, planned: Planned | None = None) -> Finding:
        """Asks after a change; None: the one that was sent last."""
        request, priced, plan = planned or self.sent[-1]
        sent = Sent(request, priced, plan.target, plan.before)
        try:
            return await self.connector.lookup(sent)
        except PlatformUnavailable:
            # A connection may break a moment after it was reset; the reconciler asks again, too.
            return await self.connector.lookup(sent)

    def applied(self) -> int:
        """How many changes the sandbox says it applied."""
        return sum(entry.changes and entry.applied for entry in self.sandbox.journal())

    def _spec(self) -> MethodSpec:
        return MethodSpec.of(self.platform.service.methods_by_name["PlaceBid"])


@pytest.fixture(params=sorted(PLATFORMS))
def platform(request: pytest.FixtureRequest) -> Platform:
    return PLATFORMS[request.param]


@pytest.fixture
async def bench(platform: Platform) -> AsyncIterator[Bench]:
    async with opened(platform, {}) as made:
        yield made


@pytest.fixture
async def telling_bench(platform: Platform) -> AsyncIterator[Bench]:
    """One whose connector knows which account is meant."""
    async with opened(platform, ACCOUNTS.get(platform.name, {})) as made:
        yield made


@asynccontextmanager
async def opened(platform: Platform, values: Mapping[str, str]) -> AsyncIterator[Bench]:
    """A bench with these of the platform's own settings."""
    sandbox = platform.sandbox()
    endpoint = await sandbox.start()
    gate = OpenGate()
    options = platform.options.model_validate(values)
    context = Context(Mode.SANDBOX, options, endpoint, TIMEOUT_MS, gate, SystemClock(), TIMEOUT_MS)
    connector = platform.connector(context)
    await connector.connect()
    try:
        yield Bench(platform, sandbox, connector, gate)
    finally:
        await connector.close()
        await sandbox.close()
