"""A sandbox on a real socket, a connector on it, and a hand-moved clock for both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as pb
from smartconnectors_server.call import Call, MethodSpec, Plan, Priced
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector import Context, Finding, Mode, QuotaSignal, Sent, Traffic
from smartconnectors_server.connector.sandbox import JournalEntry
from smartconnectors_server.platforms.trade_desk import PLATFORM
from smartconnectors_server.platforms.trade_desk.options import TradeDeskOptions
from smartconnectors_server.platforms.trade_desk.sandbox import TradeDeskSandbox
from smartconnectors_server.platforms.trade_desk.servicer import TradeDeskConnector

TIMEOUT_MS = 1_000


class OpenGate:
    """Lets every read through, and remembers what it was told."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.traffics: list[Traffic] = []
        self.signals: list[QuotaSignal] = []
        self.while_reading: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic = Traffic.READS) -> AsyncIterator[None]:
        self.traffics.append(traffic)
        self.reads.append(what)
        yield
        self.while_reading()

    @asynccontextmanager
    async def report(self, what: str) -> AsyncIterator[None]:
        async with self.read(what):
            yield

    @contextmanager
    def urgent(self) -> Iterator[None]:
        yield

    def tighten(self, signal: QuotaSignal) -> None:
        self.signals.append(signal)


def call_of(
    method: str, *, plan: Plan | None = None, validate_only: bool = False, started_ns: int = 0
) -> Call:
    spec = MethodSpec.of(PLATFORM.service.methods_by_name[method])
    return Call(spec, started_ns, plan=plan, validate_only=validate_only)


@dataclass
class Rig:
    """The chain's part, played by hand."""

    sandbox: TradeDeskSandbox
    connector: TradeDeskConnector
    gate: OpenGate
    clock: ManualClock
    currency_code: str = "USD"

    def request(self, campaign_id: str = "1001", request_id: str = "bid-1", **bid: Any) -> Any:
        fields = {"bid_micros": 15_000_000, "predicted_ltv_micros": 30_000_000, **bid}
        request = pb.PlaceBidRequest()
        request.bid.request_id, request.bid.campaign_id = request_id, campaign_id
        for name, value in fields.items():
            setattr(request.bid, name, value)
        return request

    def auction(self, campaign_id: str = "1001", request_id: str = "bid-1", **fields: Any) -> Any:
        """A bid on an auction for a banner of 300x250."""
        imp = {"id": "imp-1", "banner": {"w": 300, "h": 250}}
        document = {"id": "auction-1", "imp": [imp], "site": {}, **fields}
        request = self.request(campaign_id, request_id)
        request.open_rtb.bid_request_json = json.dumps(document)
        request.open_rtb.price_cpm_micros = 8_500_000
        return request

    def priced(self, request: Any) -> Priced:
        bid = request.bid
        return Priced(bid.request_id, bid.bid_micros, bid.predicted_ltv_micros, self.currency_code)

    async def plan(self, request: Any) -> Plan:
        return await self.connector.plan(request, self.priced(request))

    async def send(
        self,
        request: Any,
        plan: Plan,
        *,
        validate_only: bool = False,
        started_ns: int | None = None,
    ) -> pb.PlaceBidResponse:
        call = call_of(
            "PlaceBid",
            plan=plan,
            validate_only=validate_only,
            started_ns=self.clock.monotonic_ns() if started_ns is None else started_ns,
        )
        return await self.connector.PlaceBid(request, call)

    async def bid(self, request: Any) -> pb.PlaceBidResponse:
        return await self.send(request, await self.plan(request))

    async def look(self, request: Any, plan: Plan) -> Finding:
        sent = Sent(request, self.priced(request), plan.target, plan.before)
        return await self.connector.lookup(sent)

    async def set_budget(
        self, micros: int, campaign_id: str = "1001", *, validate_only: bool = False
    ) -> tuple[pb.UpdateCampaignBudgetResponse, Plan, Finding]:
        """(the answer, the plan, what a lookup finds afterwards)."""
        request = pb.UpdateCampaignBudgetRequest()
        request.update.request_id, request.update.campaign_id = "budget-1", campaign_id
        request.update.daily_budget_micros = micros
        priced = Priced("budget-1", 0, 0, self.currency_code)
        plan = await self.connector.plan(request, priced)
        call = call_of("UpdateCampaignBudget", plan=plan, validate_only=validate_only)
        answer = await self.connector.UpdateCampaignBudget(request, call)
        sent = Sent(request, priced, plan.target, plan.before)
        return answer, plan, await self.connector.lookup(sent)

    async def set_audience(
        self, campaign_id: str = "1001", *, add: str = "", remove: str = ""
    ) -> pb.UpdateTargetAudienceResponse:
        request = pb.UpdateTargetAudienceRequest()
        request.update.campaign_id = campaign_id
        request.update.add_audience_ids[:] = [add] if add else []
        request.update.remove_audience_ids[:] = [remove] if remove else []
        return await self.connector.UpdateTargetAudience(request, call_of("UpdateTargetAudience"))

    async def pause(self, campaign_id: str = "1001") -> pb.PauseCampaignResponse:
        request = pb.PauseCampaignRequest()
        request.update.campaign_id = campaign_id
        return await self.connector.PauseCampaign(request, call_of("PauseCampaign"))

    async def resume(self, campaign_id: str = "1001") -> pb.ResumeCampaignResponse:
        request = pb.ResumeCampaignRequest()
        request.update.campaign_id = campaign_id
        return await self.connector.ResumeCampaign(request, call_of("ResumeCampaign"))

    def changes(self) -> list[JournalEntry]:
        return [entry for entry in self.sandbox.journal() if entry.changes]

    def call(self, plan: Plan) -> Call:
        return call_of("PlaceBid", plan=plan)


MakeRig = Callable[..., Awaitable[Rig]]


@pytest.fixture
def gate() -> OpenGate:
    return OpenGate()


@pytest.fixture
async def sandbox(clock: ManualClock) -> AsyncIterator[TradeDeskSandbox]:
    made = TradeDeskSandbox(clock)
    yield made
    await made.close()


@pytest.fixture
async def make_rig(sandbox: TradeDeskSandbox, clock: ManualClock) -> AsyncIterator[MakeRig]:
    made: list[TradeDeskConnector] = []
    endpoint = await sandbox.start()

    async def make(
        currency_code: str = "USD",
        *,
        mode: Mode = Mode.SANDBOX,
        timeout_ms: int = TIMEOUT_MS,
        **options: Any,
    ) -> Rig:
        gate = OpenGate()
        context = Context(mode, TradeDeskOptions(**options), endpoint, timeout_ms, gate, clock)
        connector = TradeDeskConnector(context)
        await connector.connect()
        made.append(connector)
        return Rig(sandbox, connector, gate, clock, currency_code)

    yield make
    for connector in made:
        await connector.close()


@pytest.fixture
async def rig(make_rig: MakeRig) -> Rig:
    return await make_rig()
