"""A Google Ads sandbox on a real socket, a connector on it, and a hand-moved clock for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from smartconnectors.common.v1.connector_pb2 import CampaignStatusResult
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Call, MethodSpec, Plan, Priced
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector import Context, Finding, Mode, QuotaSignal, Sent, Traffic
from smartconnectors_server.connector.sandbox import JournalEntry
from smartconnectors_server.platforms import google_ads
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.sandbox import GoogleAdsSandbox
from smartconnectors_server.platforms.google_ads.servicer import GoogleAdsConnector
from smartconnectors_server.platforms.google_ads.transport import Transport

TIMEOUT_MS = 1_000


class OpenGate:
    """Lets every read through, and remembers what it was told."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.signals: list[QuotaSignal] = []

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic = Traffic.READS) -> AsyncIterator[None]:
        del traffic
        self.reads.append(what)
        yield

    @asynccontextmanager
    async def report(self, what: str) -> AsyncIterator[None]:
        async with self.read(what):
            yield

    @contextmanager
    def urgent(self) -> Iterator[None]:
        yield

    def tighten(self, signal: QuotaSignal) -> None:
        self.signals.append(signal)


def call_of(method: str, *, plan: Plan | None = None, validate_only: bool = False) -> Call:
    spec = MethodSpec.of(google_ads.PLATFORM.service.methods_by_name[method])
    return Call(spec, 0, plan=plan, validate_only=validate_only)


@dataclass
class Rig:
    """The chain's part, played by hand."""

    sandbox: GoogleAdsSandbox
    connector: GoogleAdsConnector
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

    def priced(self, request: Any) -> Priced:
        bid = request.bid
        return Priced(bid.request_id, bid.bid_micros, bid.predicted_ltv_micros, self.currency_code)

    async def plan(self, request: Any) -> Plan:
        return await self.connector.plan(request, self.priced(request))

    async def send(
        self, request: Any, plan: Plan, *, validate_only: bool = False
    ) -> pb.PlaceBidResponse:
        call = call_of("PlaceBid", plan=plan, validate_only=validate_only)
        return await self.connector.PlaceBid(request, call)

    async def bid(self, request: Any) -> pb.PlaceBidResponse:
        return await self.send(request, await self.plan(request))

    async def look(self, request: Any, plan: Plan) -> Finding:
        sent = Sent(request, self.priced(request), plan.target, plan.before)
        return await self.connector.lookup(sent)

    async def set_budget(
        self, request: pb.UpdateCampaignBudgetRequest, plan: Plan
    ) -> pb.UpdateCampaignBudgetResponse:
        call = call_of("UpdateCampaignBudget", plan=plan)
        return await self.connector.UpdateCampaignBudget(request, call)

    async def set_audience(
        self, request: pb.UpdateTargetAudienceRequest
    ) -> pb.UpdateTargetAudienceResponse:
        return await self.connector.UpdateTargetAudience(request, call_of("UpdateTargetAudience"))

    async def send_as(self, method: str, request: Any, plan: Plan | None) -> Any:
        return await getattr(self.connector, method)(request, call_of(method, plan=plan))

    def batch(self, planned: Sequence[tuple[Any, Plan]]) -> list[tuple[Any, Call]]:
        return [(request, call_of("PlaceBid", plan=plan)) for request, plan in planned]

    async def plan_all(self, requests: Sequence[Any]) -> list[tuple[Any, Plan]]:
        plans = await asyncio.gather(*(self.plan(request) for request in requests))
        return list(zip(requests, plans, strict=True))

    async def pause(self, campaign_id: str, *, validate_only: bool = False) -> CampaignStatusResult:
        request = pb.PauseCampaignRequest()
        request.update.campaign_id = campaign_id
        request.update.validate_only = validate_only
        answer = await self.connector.PauseCampaign(request, call_of("PauseCampaign"))
        return answer.result

    async def resume(
        self, campaign_id: str, *, validate_only: bool = False
    ) -> CampaignStatusResult:
        request = pb.ResumeCampaignRequest()
        request.update.campaign_id = campaign_id
        request.update.validate_only = validate_only
        answer = await self.connector.ResumeCampaign(request, call_of("ResumeCampaign"))
        return answer.result

    def searches(self) -> list[JournalEntry]:
        return [entry for entry in self.sandbox.journal() if entry.method == "SearchStream"]

    def mutates(self) -> list[JournalEntry]:
        return [entry for entry in self.sandbox.journal() if entry.changes]


MakeRig = Callable[..., Awaitable[Rig]]


@pytest.fixture
async def sandbox(clock: ManualClock) -> AsyncIterator[GoogleAdsSandbox]:
    made = GoogleAdsSandbox(clock)
    yield made
    await made.close()


@pytest.fixture
async def endpoint(sandbox: GoogleAdsSandbox) -> str:
    return await sandbox.start()


@pytest.fixture
async def make_rig(
    sandbox: GoogleAdsSandbox, endpoint: str, clock: ManualClock
) -> AsyncIterator[MakeRig]:
    made: list[GoogleAdsConnector] = []

    async def make(currency_code: str = "USD", timeout_ms: int = TIMEOUT_MS, **options: Any) -> Rig:
        gate = OpenGate()
        context = Context(
            Mode.SANDBOX, GoogleAdsOptions(**options), endpoint, timeout_ms, gate, clock
        )
        connector = GoogleAdsConnector(context)
        await connector.connect()
        made.append(connector)
        return Rig(sandbox, connector, gate, clock, currency_code)

    yield make
    for connector in made:
        await connector.close()


@pytest.fixture
async def rig(make_rig: MakeRig) -> Rig:
    return await make_rig()


@pytest.fixture
async def transport(endpoint: str) -> AsyncIterator[Transport]:
    """Google's own client, for requests that our connector would never send."""
    made = Transport(
        GoogleAdsOptions(),
        customer_id="1000000001",
        endpoint=endpoint,
        timeout_s=TIMEOUT_MS / 1000,
        on_quota=lambda _: None,
    )
    await made.open()
    yield made
    await made.close()
