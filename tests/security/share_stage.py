"""One server, an operator, and two bidders with a campaign of their own each; one is hostile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tests.server.access.people import Person
from tests.server.access.stage import Accepts, application, entry

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2
from smartconnectors.common.v1.connector_pb2 import CampaignStatusUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.app import Application
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.interceptors import Idempotency
from smartconnectors_server.listening import ConnectionRules

USD = 1_000_000
HOSTILE, VICTIM, OPERATOR = "hostile", "victim", "operator"
CAMPAIGN = {HOSTILE: "1001", VICTIM: "1002"}
TOKENS = "".join(
    [
        entry(HOSTILE, "bid", HOSTILE, campaigns=["1001"]),
        entry(VICTIM, "bid", VICTIM, campaigns=["1002"]),
        entry(OPERATOR, "operate", OPERATOR),
    ]
)


async def until(holds: Callable[[], bool]) -> None:
    """Lets others run until it holds."""
    for _ in range(20_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to hold")


class Google(Accepts):
    """Takes bids and pauses.

    Attributes:
        go_on: bids and pauses wait for it when it is cleared.
        pausing: how many pauses have been asked for.
        paused: the campaigns that were paused, dry runs left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.pausing = 0
        self.paused: list[str] = []

    async def running(self, campaign_ids: Any) -> Any:
        return dict.fromkeys(campaign_ids, True)

    async def PlaceBid(self, request: Any, call: Any) -> Any:  # noqa: N802
        await self.go_on.wait()
        return await super().PlaceBid(request, call)

    async def PauseCampaign(self, request: Any, call: Any) -> Any:  # noqa: N802
        del call
        self.pausing += 1
        await self.go_on.wait()
        if not request.update.validate_only:
            self.paused.append(request.update.campaign_id)
        response = ads_pb2.PauseCampaignResponse()
        response.result.paused = response.result.changed = True
        return response


class Refused(Exception):
    """How a call was refused: `limited_by`, or the reason where nothing of a caller's says so."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]
        self.info, self.retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        for detail in status.details:
            detail.Unpack(self.info)
            detail.Unpack(self.retry)
        self.metadata = dict(self.info.metadata)
        super().__init__(f"{self.info.reason} {self.metadata.get('limited_by', '')}".strip())


class Scene:
    """The server and those who call it."""

    def __init__(self, app: Application, address: str, google: Google, clock: ManualClock) -> None:
        self.app, self.google, self.clock = app, google, clock
        self.address = address
        self.people = {name: Person(address, name) for name in (HOSTILE, VICTIM, OPERATOR)}
        self._ids = 0

    async def ask(self, who: str, method: str, request: Any) -> str:
        """`OK`, or why not."""
        person = self.people[who]
        stub = person.budgets if hasattr(person.budgets, method) else person.ads
        try:
            await person.ask(getattr(stub, method), request)
        except grpc.aio.AioRpcError as error:
            return str(Refused(error))
        return "OK"

    def bid(self, who: str, *, validate_only: bool = False, request_id: str = "") -> Any:
        self._ids += 1
        return ads_pb2.PlaceBidRequest(
            bid=bid_pb2.BidRequest(
                request_id=request_id or f"{who}-{self._ids}",
                campaign_id=CAMPAIGN[who],
                bid_micros=USD // 100,
                predicted_ltv_micros=USD,
                validate_only=validate_only,
            )
        )

    async def place(self, who: str, *, validate_only: bool = False) -> str:
        return await self.ask(who, "PlaceBid", self.bid(who, validate_only=validate_only))

    async def begin(self, who: str) -> asyncio.Task[str]:
        """A bid that is under way when this returns, or already refused."""
        chain = self.app.core.chain
        slots = next(one for one in chain if isinstance(one, Idempotency))
        before = slots.in_flight
        task = asyncio.ensure_future(self.place(who))
        await until(lambda: task.done() or slots.in_flight > before)
        return task

    async def pause(self, who: str, *, validate_only: bool = False) -> str:
        update = CampaignStatusUpdate(campaign_id=CAMPAIGN[who], validate_only=validate_only)
        return await self.ask(who, "PauseCampaign", ads_pb2.PauseCampaignRequest(update=update))

    async def begin_pause(self, who: str) -> asyncio.Task[str]:
        """A pause that has come as far as the platform when this returns, or is refused."""
        before = self.google.pausing
        task = asyncio.ensure_future(self.pause(who))
        await until(lambda: task.done() or self.google.pausing > before)
        return task

    async def stop_everything(self) -> str:
        """The operator's `PauseCampaigns` of the victim's campaign: `OK` or the reason."""
        person = self.people[OPERATOR]
        request = budgets_pb2.PauseCampaignsRequest(
            platform="google_ads", campaign_ids=["1002"], reason="emergency"
        )
        answer = await asyncio.wait_for(person.ask(person.budgets.PauseCampaigns, request), 60)
        (one,) = answer.campaigns
        return one.error.reason or "OK"


@asynccontextmanager
async def scene(
    directory: Path,
    *,
    calls: int = 100,
    reserve_percent: float = 10.0,
    spare_calls: int = 8000,
    **more: Any,
) -> AsyncIterator[Scene]:
    """A server with a quota of `calls` a minute on Google."""
    clock, google = ManualClock(), Google()
    (directory / "tokens.toml").write_text(TOKENS)
    rate = {"calls": calls, "window_s": 60.0, "reserve_percent": reserve_percent}
    access = {"tokens_file": str(directory / "tokens.toml"), **more.pop("access", {})}
    platforms = {
        "google_ads": {
            "endpoint": "127.0.0.1:1",
            "rate_limit": {**rate, **more.pop("rate_limit", {})},
            **more.pop("google_ads", {}),
        },
        "meta": {"enabled": False},
        "trade_desk": {"enabled": False},
    }
    app = application(
        directory,
        clock,
        access=access,
        connectors={"google_ads": google},
        platforms=platforms,
        rules=ConnectionRules(spare_calls=spare_calls),
        **more,
    )
    address = (await app.start()).grpc_address
    stage = Scene(app, address, google, clock)
    try:
        yield stage
    finally:
        google.go_on.set()
        for person in stage.people.values():
            await person.channel.close()
        await app.stop()
