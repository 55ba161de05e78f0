"""A Meta sandbox on a real socket, a connector on it, and a hand-moved clock for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.call import Call, MethodSpec, Plan, Priced
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector import Context, Finding, Mode, QuotaSignal, Sent, Traffic
from smartconnectors_server.connector.sandbox import JournalEntry
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.platforms import meta
from smartconnectors_server.platforms.meta.options import MetaOptions
from smartconnectors_server.platforms.meta.sandbox import MetaSandbox
from smartconnectors_server.platforms.meta.sandbox_access import ACCESS_TOKEN
from smartconnectors_server.platforms.meta.servicer import MetaConnector

TIMEOUT_MS = 10_000
"""Long, so that a busy machine is no failure of ours; tests of what never answers ask for less."""


class OpenGate:
    """Lets every read through unless told otherwise, and remembers what it was told."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.signals: list[QuotaSignal] = []
        self.failures: list[str] = []
        self.refuses: ConnectorError | None = None

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic = Traffic.READS) -> AsyncIterator[None]:
        del traffic
        if self.refuses is not None:
            raise self.refuses
        self.reads.append(what)
        try:
            yield
        except ConnectorError as error:
            self.failures.append(type(error).__name__)
            raise

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
    method: str,
    *,
    plan: Plan | None = None,
    priced: Priced | None = None,
    validate_only: bool = False,
) -> Call:
    spec = MethodSpec.of(meta.PLATFORM.service.methods_by_name[method])
    return Call(spec, 0, plan=plan, priced=priced, validate_only=validate_only)


@dataclass
class Rig:
    """The chain's part, played by hand."""

    sandbox: MetaSandbox
    connector: MetaConnector
    gate: OpenGate
    clock: ManualClock
    currency_code: str = "USD"

    def request(
        self, campaign_id: str = "1001", request_id: str = "bid-1", **bid: Any
    ) -> pb.PlaceBidRequest:
        fields = {"bid_micros": 15_000_000, "predicted_ltv_micros": 30_000_000, **bid}
        request = pb.PlaceBidRequest()
        request.bid.request_id, request.bid.campaign_id = request_id, campaign_id
        for name, value in fields.items():
            setattr(request.bid, name, value)
        return request

    def budget(self, units: int, campaign_id: str = "1001") -> pb.UpdateCampaignBudgetRequest:
        request = pb.UpdateCampaignBudgetRequest()
        request.update.request_id, request.update.campaign_id = f"b-{units}", campaign_id
        request.update.daily_budget_micros = units * 1_000_000
        return request

    def priced(self, request: Any) -> Priced:
        if isinstance(request, pb.UpdateCampaignBudgetRequest):
            return Priced(request.update.request_id, 0, 0, self.currency_code)
        bid = request.bid
        return Priced(bid.request_id, bid.bid_micros, bid.predicted_ltv_micros, self.currency_code)

    async def plan(self, request: Any) -> Plan:
        return await self.connector.plan(request, self.priced(request))

    async def send(
        self, request: pb.PlaceBidRequest, plan: Plan, *, validate_only: bool = False
    ) -> pb.PlaceBidResponse:
        call = call_of("PlaceBid", plan=plan, validate_only=validate_only)
        return await self.connector.PlaceBid(request, call)

    async def bid(self, request: pb.PlaceBidRequest) -> pb.PlaceBidResponse:
        return await self.send(request, await self.plan(request))

    async def set_budget(self, units: int, campaign_id: str = "1001") -> Any:
        request = self.budget(units, campaign_id)
        call = call_of("UpdateCampaignBudget", plan=await self.plan(request))
        return await self.connector.UpdateCampaignBudget(request, call)

    async def place_many(self, *requests: pb.PlaceBidRequest, **call: Any) -> list[Any]:
        planned = [
            (request, call_of("PlaceBid", plan=await self.plan(request), **call))
            for request in requests
        ]
        return list(await self.connector.place_many(planned))

    async def look(self, request: Any, plan: Plan) -> Finding:
        sent = Sent(request, self.priced(request), plan.target, plan.before)
        return await self.connector.lookup(sent)

    def posts(self) -> list[JournalEntry]:
        return [entry for entry in self.sandbox.journal() if entry.changes]

    def gets(self) -> list[JournalEntry]:
        return [entry for entry in self.sandbox.journal() if not entry.changes]


MakeRig = Callable[..., Awaitable[Rig]]


@pytest.fixture
async def sandbox(clock: ManualClock) -> AsyncIterator[MetaSandbox]:
    made = MetaSandbox(clock)
    yield made
    await made.close()


@pytest.fixture
async def endpoint(sandbox: MetaSandbox) -> str:
    return await sandbox.start()


@pytest.fixture
async def make_rig(
    sandbox: MetaSandbox, endpoint: str, clock: ManualClock
) -> AsyncIterator[MakeRig]:
    made: list[MetaConnector] = []

    async def make(currency_code: str = "USD", timeout_ms: int = TIMEOUT_MS, **options: Any) -> Rig:
        gate = OpenGate()
        context = Context(Mode.SANDBOX, MetaOptions(**options), endpoint, timeout_ms, gate, clock)
        connector = MetaConnector(context)
        await connector.connect()
        made.append(connector)
        return Rig(sandbox, connector, gate, clock, currency_code)

    yield make
    for connector in made:
        await connector.close()


@pytest.fixture
async def rig(make_rig: MakeRig) -> Rig:
    return await make_rig()


@dataclass
class Raw:
    """The wire itself, for requests that our connector would never send."""

    session: aiohttp.ClientSession
    url: str

    async def get(self, path: str, **params: str) -> tuple[int, Any]:
        async with self.session.get(self.url + path, params=params) as response:
            return response.status, await response.json()

    async def post(self, path: str, **form: str) -> tuple[int, Any]:
        async with self.session.post(self.url + path, data=form) as response:
            return response.status, await response.json()

    async def headers(self, path: str, **params: str) -> Mapping[str, str]:
        async with self.session.get(self.url + path, params=params) as response:
            return {name.lower(): value for name, value in response.headers.items()}


@pytest.fixture
async def raw(endpoint: str) -> AsyncIterator[Raw]:
    token = ACCESS_TOKEN.get_secret_value()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        yield Raw(session, f"http://{endpoint}/v26.0")
