"""The whole chain around a platform that does what a test says, without a network between."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from smartconnectors.common.v1 import bid_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.call import Call, Plan
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector import Context, Finding, OneByOne, Platform
from smartconnectors_server.errors import ConnectorError, PlatformRejected, PlatformUnavailable
from smartconnectors_server.interceptors import compose
from smartconnectors_server.ledger import NO_ADOPTION, Adoption, BudgetState, HoldState
from smartconnectors_server.platforms import PLATFORMS

USD = 1_000_000
GOOGLE = PLATFORMS["google_ads"]
PATH = "/smartconnectors.google_ads.v1.GoogleAdsService/"


class Script(OneByOne):
    """A connector. What it does is in its attributes; what it was asked is in `log`.

    Attributes:
        plans: awaited for each plan; returns it or raises.
        sends: awaited for each change, `dispatched` said; returns or raises.
        finding: what a lookup says.
        connects: awaited for each attempt to connect; returns or raises.
        deferrable: whether its bids may wait.
    """

    def __init__(self) -> None:
        self.context: Context | None = None
        self.log: list[str] = []
        self.plans: Callable[[Any, Any], Awaitable[Plan]] = self._plan
        self.sends: Callable[[Any, Call], Awaitable[None]] = self._send
        self.connects: Callable[[], Awaitable[None]] = self._connect
        self.deferrable = True
        self.finding = Finding.INCONCLUSIVE
        self.before_value: int | None = 100
        self.after_value = 90
        self.roas_millionths = 0
        self.beside: tuple[tuple[int, int], ...] = ()
        self.marker = ""
        """The request id that the platform shows."""
        self.target = ""
        """Empty: the campaign."""
        self.status: dict[str, bool] = {}
        """Campaign -> whether it runs; those that are not there do."""
        self.sees = True
        """Whether it can be read which campaigns run."""

    async def _plan(self, request: Any, priced: Any) -> Plan:
        amount = priced.bid_micros
        if isinstance(request, ads_pb2.UpdateCampaignBudgetRequest):
            amount = max(0, request.update.daily_budget_micros - 100 * USD)
        return Plan(
            target=self.target or self.offline_target(request),
            amount_micros=amount,
            before_value=self.before_value,
            after_value=self.after_value,
            roas_millionths=self.roas_millionths,
            beside=self.beside,
            lowers_exposure=bool(self.before_value) and self.after_value < (self.before_value or 0),
            marker=self.marker,
        )

    async def _send(self, request: Any, call: Call) -> None:
        return None

    async def _connect(self) -> None:
        return None

    # What a connector has

    async def connect(self) -> None:
        self.log.append("connect")
        await self.connects()

    def defers(self, request: Any) -> bool:
        return self.deferrable

    async def close(self) -> None:
        self.log.append("close")

    async def plan(self, request: Any, priced: Any) -> Plan:
        self.log.append("plan")
        return await self.plans(request, priced)

    def offline_target(self, request: Any) -> str:
        common = request.bid if isinstance(request, ads_pb2.PlaceBidRequest) else request.update
        return f"campaigns/{common.campaign_id}"

    async def lookup(self, sent: Any) -> Finding:
        self.log.append("lookup")
        return self.finding

    async def PlaceBid(self, request: Any, call: Call) -> Any:  # noqa: N802
        self.log.append(f"send {request.bid.request_id}")
        await self.sends(request, call)
        return ads_pb2.PlaceBidResponse()

    async def UpdateCampaignBudget(self, request: Any, call: Call) -> Any:  # noqa: N802
        self.log.append(f"send {request.update.request_id}")
        await self.sends(request, call)
        return ads_pb2.UpdateCampaignBudgetResponse()

    async def UpdateTargetAudience(self, request: Any, call: Call) -> Any:  # noqa: N802
        self.log.append("audience")
        await self.sends(request, call)
        return ads_pb2.UpdateTargetAudienceResponse()

    async def running(self, campaign_ids: Any) -> Any:
        self.log.append("look which run")
        if not self.sees:
            raise PlatformUnavailable("cannot be read")
        return {one: self.status.get(one, True) for one in campaign_ids}

    async def PauseCampaign(self, request: Any, call: Call) -> Any:  # noqa: N802
        return await self._set_running(request, call, ads_pb2.PauseCampaignResponse(), runs=False)

    async def ResumeCampaign(self, request: Any, call: Call) -> Any:  # noqa: N802
        return await self._set_running(request, call, ads_pb2.ResumeCampaignResponse(), runs=True)

    async def _set_running(self, request: Any, call: Call, response: Any, *, runs: bool) -> Any:
        campaign_id = request.update.campaign_id
        self.log.append(f"{'resume' if runs else 'pause'} {campaign_id}")
        await self.sends(request, call)
        response.result.paused = not runs
        response.result.changed = self.status.get(campaign_id, True) != runs
        if not request.update.validate_only:
            self.status[campaign_id] = runs
        return response

    async def prefetch(self, requests: Any) -> None:
        self.log.append(f"prefetch {len(requests)}")

    async def place_many(self, planned: Any) -> Any:
        """All at once; `sends` is asked of each."""
        self.log.append("many " + " ".join(request.bid.request_id for request, _ in planned))
        placed: list[Any] = []
        for request, call in planned:
            try:
                await self.sends(request, call)
            except PlatformRejected as error:
                placed.append(error)
            else:
                placed.append(ads_pb2.PlaceBidResponse())
        return placed

    @property
    def batches(self) -> list[list[str]]:
        """The ids of the requests that were sent together, in order."""
        return [line.split()[1:] for line in self.log if line.startswith("many ")]

    @property
    def sent(self) -> list[str]:
        """The ids of the requests that were sent, in order."""
        return [line.removeprefix("send ") for line in self.log if line.startswith("send ")]


def bid(request_id: str, usd: int | None = 15, campaign: str = "1", **fields: Any) -> Any:
    """A bid of so many dollars, with an LTV of $20 unless said otherwise."""
    common = {"predicted_ltv_micros": 20 * USD, **fields}
    message = bid_pb2.BidRequest(request_id=request_id, campaign_id=campaign, **common)
    if usd is not None:
        message.bid_micros = usd * USD
    return ads_pb2.PlaceBidRequest(bid=message)


class House:
    """An application whose chain is called directly."""

    def __init__(self, app: Application, script: Script, clock: ManualClock) -> None:
        self.app = app
        self.core = app.core
        self.script = script
        self.clock = clock
        self.runtime = app.core.runtimes["google_ads"]
        self._inner = app.core.chain[1:]  # inside the boundary to gRPC: messages and exceptions

    async def call(self, request: Any, *, deadline_s: float | None = None) -> Any:
        """What the method that takes this request answers. Raises ConnectorError."""
        name = type(request).__name__.removesuffix("Request")
        spec = self.core.methods.get(PATH + name)
        assert spec is not None
        now_ns = self.clock.monotonic_ns()
        deadline_ns = None if deadline_s is None else now_ns + round(deadline_s * 1e9)
        chain = compose(self._inner, spec, getattr(self.core.servicers["google_ads"], name))
        return await chain(request, Call(spec=spec, started_ns=now_ns, deadline_ns=deadline_ns))

    def stream(self, raws: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """What StreamBids answers to these messages."""
        spec = self.core.methods.get(PATH + "StreamBids")
        assert spec is not None
        call = Call(spec=spec, started_ns=self.clock.monotonic_ns())
        return self.core.servicers["google_ads"].StreamBids(raws, call)

    def begin(self, request: Any, *, deadline_s: float | None = None) -> asyncio.Task[Any]:
        """The same as a task."""
        return asyncio.ensure_future(self.call(request, deadline_s=deadline_s))

    async def status(self, request: Any) -> str:
        """What became of it, without the prefix."""
        answer = await self.call(request)
        return bid_pb2.BidStatus.Name(answer.result.status).removeprefix("BID_STATUS_")

    async def refused(self, request: Any, *, deadline_s: float | None = None) -> ConnectorError:
        """Why it is refused."""
        with pytest.raises(ConnectorError) as caught:
            await self.call(request, deadline_s=deadline_s)
        return caught.value

    @property
    def state(self) -> BudgetState:
        return self.core.keeper.state("google_ads")

    def money(self, budget_id: str = "google_ads") -> dict[str, int]:
        """What the budget counts, in micros; what is zero is left out."""
        state = self.core.keeper.state(budget_id)
        figures = {
            "committed": state.limits[0].committed_micros,
            "held": state.held_micros,
            "deferred": state.deferred_micros,
            "in_doubt": state.in_doubt_micros,
        }
        return {name: micros for name, micros in figures.items() if micros}

    def holds(self, state: HoldState | None = None) -> int:
        return len(self.core.keeper.open_holds(state))

    async def until(self, holds: Callable[[], Any], *, passing_s: float = 0.0) -> None:
        """Lets others run until it holds. `passing_s`: of the clock's time, meanwhile, each time
        that they have had a chance.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + 120
        while not holds():
            assert loop.time() < give_up_at, f"it never came to hold: {self.money()}"
            for _ in range(20):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)  # the disk's thread needs the machine, too
            self.clock.advance(passing_s)

    async def pass_time(self, seconds: float) -> None:
        """Advances the clock, step by step, so that background work wakes as often as it would."""
        for _ in range(20):
            self.clock.advance(seconds / 20)
            for _ in range(50):
                await asyncio.sleep(0)

    def open_breaker(self) -> None:
        """Opens it as so many failed calls would."""
        while self.runtime.breaker.would_admit():
            self.runtime.breaker.acquire().fail()


Build = Callable[..., Awaitable[House]]


@pytest.fixture
async def build(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Build]:
    """Builds houses; overrides are the platform's settings, but for the sections beside it, and
    `adopt`, whether the ledger is adopted for them.
    """
    houses: list[House] = []

    async def build_one(
        *,
        credentials: bool = False,
        adopt: bool = False,
        connects: Callable[[], Awaitable[None]] | None = None,
        **overrides: Any,
    ) -> House:
        script = Script()
        if connects is not None:
            script.connects = connects

        def connector(context: Context) -> Any:
            script.context = context
            return script

        platform: Platform = dataclasses.replace(
            GOOGLE,
            connector=connector,
            missing_credentials=lambda _: () if credentials else ("GOOGLE_ADS_CUSTOMER_ID",),
        )
        server = {
            "state_dir": str(tmp_path / "state"),
            "grpc_port": 0,
            "drain_pause_s": 0,
            **overrides.pop("server", {}),
        }
        where = {} if credentials else {"endpoint": "127.0.0.1:1"}
        theirs: dict[str, Any] = {
            "rate_limit": {"calls": 100_000},
            "budget": {"limit": "100"},
            **where,
            **overrides,
        }
        beside = ("total_budget", "reconciler", "alerts")
        sections: dict[str, Any] = {name: theirs.pop(name) for name in beside if name in theirs}
        sections |= {"server": server, "platforms": {"google_ads": theirs}}
        app = Application(
            load_settings(None, {}, sections), platforms={"google_ads": platform}, clock=clock
        )
        await app.start(Adoption({GOOGLE.name}, "a test") if adopt else NO_ADOPTION)
        house = House(app, script, clock)
        houses.append(house)
        return house

    yield build_one
    for house in houses:
        # A test that failed may have left a call that never ends, and the drain waits for it.
        await asyncio.wait_for(house.app.stop(), 60)


@pytest.fixture
async def house(build: Build) -> House:
    """One with $100, in a sandbox."""
    return await build()


@pytest.fixture
def make_bid() -> Callable[..., Any]:
    """Makes a bid. As a fixture because test files do not import each other."""
    return bid
