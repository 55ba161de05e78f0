"""A server with access control in front of one platform's sandbox, and callers with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from tests.server.access.stage import Caller, entry

from smartconnectors.common.v1 import bid_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as desk_pb2
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector.sandbox import JournalEntry
from smartconnectors_server.platforms import PLATFORMS

USD = 1_000_000
MODULES = {"google_ads": ads_pb2, "meta": meta_pb2, "trade_desk": desk_pb2}
TOKENS = "".join(
    [
        entry("bidder", "bid", "bidder"),
        entry("on-1001", "bid", "on-1001", campaigns=["1001"]),
        entry("on-1009", "bid", "on-1009", campaigns=["1009"]),
        entry("on-both", "bid", "on-both", campaigns=["1009", "1010"]),
        entry("operator", "operate", "operator"),
        entry("operator-1009", "operate", "operator-1009", campaigns=["1009"]),
    ]
)


class Bidding:
    """Bids of callers, and what the sandbox saw of them."""

    def __init__(self, name: str, app: Application, address: str, sandbox: Any) -> None:
        self.name = name
        self.app = app
        self.sandbox = sandbox
        self._address = address
        self._module = MODULES[name]
        self._service = PLATFORMS[name].service.full_name
        self._asked = 0

    def request(self, campaign: str, micros: int | None, *, ltv: int = 0, **fields: Any) -> Any:
        """A bid of so many micros; None: it names none. `fields`: the rest of the request."""
        self._asked += 1
        bid = bid_pb2.BidRequest(
            request_id=f"r-{self._asked}", campaign_id=campaign, predicted_ltv_micros=ltv
        )
        reduce_only = fields.pop("reduce_only", False)
        bid.reduce_only = reduce_only
        if micros is not None:
            bid.bid_micros = micros
        return self._module.PlaceBidRequest(bid=bid, **fields)

    async def ask(self, who: str, request: Any) -> Any:
        """The answer. Raises AioRpcError. `who`: a token; empty: none."""
        async with Caller(self._address, who) as caller:
            path = f"/{self._service}/PlaceBid"
            return await caller.unary(path, request, self._module.PlaceBidResponse)

    async def ask_many(self, who: str, requests: list[Any]) -> Any:
        """The answer to a batch. Raises AioRpcError."""
        async with Caller(self._address, who) as caller:
            path = f"/{self._service}/PlaceBids"
            batch = self._module.PlaceBidsRequest(bids=requests)
            return await caller.unary(path, batch, self._module.PlaceBidsResponse)

    async def status(self, who: str, request: Any) -> str:
        """What became of a bid: its status, or the reason and the fields of its refusal."""
        try:
            answer = await self.ask(who, request)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        return bid_pb2.BidStatus.Name(answer.result.status).removeprefix("BID_STATUS_")

    def changes(self) -> list[JournalEntry]:
        """What was applied at the platform."""
        return [one for one in self.sandbox.journal() if one.changes and one.applied]

    def committed(self) -> int:
        """In micros, as the ledger has it."""
        return self.app.core.keeper.state(self.name).limits[0].committed_micros

    def open_breaker(self) -> None:
        """Nothing goes to the platform until it is closed."""
        breaker = self.app.core.runtimes[self.name].breaker
        for _ in range(50):
            if not breaker.would_admit():
                return
            breaker.acquire().fail()


@asynccontextmanager
async def bidding(
    name: str,
    directory: Path,
    clock: ManualClock,
    *,
    open_to_all: bool = False,
    **settings: Any,
) -> AsyncIterator[Bidding]:
    """`settings`: of the platform. `open_to_all`: without access control."""
    tokens = directory / "tokens.toml"
    tokens.write_text(TOKENS)
    sandbox = PLATFORMS[name].sandbox()
    endpoint = await sandbox.start()
    document: dict[str, Any] = {
        "server": {
            "state_dir": str(directory / "state"),
            "grpc_port": 0,
            "drain_pause_s": 0,
            "drain_grace_s": 0,
        },
        "platforms": _platforms(name, {"endpoint": endpoint, **settings}),
    }
    if not open_to_all:
        document["access"] = {"tokens_file": str(tokens)}
    app = Application(load_settings(None, {}, document), clock=clock)
    try:
        address = (await app.start()).grpc_address
        yield Bidding(name, app, address, sandbox)
    finally:
        await app.stop()
        await sandbox.close()


def _platforms(name: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    others = {other: {"enabled": False} for other in PLATFORMS if other != name}
    return {**others, name: dict(chosen)}
