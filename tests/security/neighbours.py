"""Callers who share one server, each restricted to campaigns of its own, and real sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
from tests.server.access.people import Person
from tests.server.access.stage import entry

from smartconnectors.common.v1 import bid_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as desk_pb2
from smartconnectors.trade_desk.v1.trade_desk_service_pb2_grpc import TradeDeskServiceStub
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.platforms import PLATFORMS

USD = 1_000_000
PATIENCE_S = 120.0
TOKENS: dict[str, dict[str, Any]] = {
    "reader": {"role": "read"},
    "operator": {"role": "operate"},
    "alice": {"role": "bid", "campaigns": ["1001"]},
    "bob": {"role": "bid", "campaigns": ["1002"]},
    "carol": {"role": "bid", "campaigns": ["1003", "1013"]},
    "alice-too": {"role": "bid", "campaigns": ["1001"]},
}
_MODULES = {"ads": ads_pb2, "meta": meta_pb2, "desk": desk_pb2}
_NAMES = {"ads": "google_ads", "meta": "meta", "desk": "trade_desk"}


def bid(
    request_id: str,
    campaign: str,
    micros: int | None,
    *,
    ltv_micros: int = 0,
    service: str = "ads",
    validate_only: bool = False,
    **knob: Any,
) -> Any:
    """A bid; `micros` None: the service prices it."""
    common = bid_pb2.BidRequest(
        request_id=request_id,
        campaign_id=campaign,
        predicted_ltv_micros=ltv_micros,
        validate_only=validate_only,
    )
    if micros is not None:
        common.bid_micros = micros
    return _MODULES[service].PlaceBidRequest(bid=common, **knob)


async def eventually(look: Callable[[], Any], until: Callable[[Any], bool]) -> Any:
    """Looks until `until` holds of what is seen."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        seen = look()
        value: Any = await seen if inspect.isawaitable(seen) else seen
        if until(value):
            return value
        assert time.monotonic() < give_up_at, f"last seen: {value}"
        await asyncio.sleep(0.02)


async def reason_of(call: Any) -> str:
    """Why a call is refused; empty: it is not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        found = [value for key, value in error.trailing_metadata() or () if "status" in key]
        text = b"".join(v if isinstance(v, bytes) else v.encode() for v in found).decode("latin-1")
        return next((r for r in _REASONS if r in text), error.code().name)
    return ""


_REASONS = ("REQUEST_ID_REUSED", "BUDGET_EXCEEDED", "CIRCUIT_OPEN_NO_FALLBACK", "TARGET_IN_DOUBT")


class Neighbours:
    """One server, everybody who may call it, and the sandboxes behind it."""

    def __init__(self, directory: Path, sandboxes: Mapping[str, Any], access: bool) -> None:
        self._directory = directory
        self._access = access
        self.sandboxes = sandboxes
        self.people: dict[str, Any] = {}
        self.app: Application | None = None

    def write_tokens(self, tokens: Mapping[str, Mapping[str, Any]]) -> None:
        """The tokens file: the token of each caller is its name unless `token` says otherwise."""
        lines = []
        for name, grant in tokens.items():
            fields = dict(grant)
            shown = fields.pop("token", name)
            lines.append(entry(shown, fields.pop("role"), fields.pop("name", name), **fields))
        (self._directory / "tokens.toml").write_text("".join(lines))

    async def start(self, endpoints: Mapping[str, str], **google: Any) -> None:
        """Starts a server on the state directory; `google` are further settings of Google Ads."""
        self._endpoints, self._google = endpoints, google
        document: dict[str, Any] = {
            "server": {
                "state_dir": str(self._directory / "state"),
                "grpc_port": 0,
                "drain_pause_s": 0,
                "drain_grace_s": 0,
            },
            "reconciler": {"interval_s": 0.1},
            "platforms": {
                name: {
                    "endpoint": endpoint,
                    "rate_limit": {"calls": 100_000},
                    "budget": {"limit": "1000"},
                    "circuit_breaker": {"slow_call_ms": 60_000, "open_s": 0.5},
                    **(google if name == "google_ads" else {}),
                }
                for name, endpoint in endpoints.items()
            },
        }
        for name in PLATFORMS.keys() - endpoints.keys():
            document["platforms"][name] = {"enabled": False}
        if self._access:
            document["access"] = {"tokens_file": str(self._directory / "tokens.toml")}
        self.app = Application(load_settings(None, {}, document))
        address = (await self.app.start()).grpc_address
        await eventually(lambda: self.app is not None and self.app.ready, bool)
        for name in [*TOKENS, "rotated"]:
            person: Any = Person(address, name if self._access else "")
            person.desk = TradeDeskServiceStub(person.channel)
            self.people[name] = person

    async def stop(self) -> None:
        """Stops the server; the state stays."""
        for person in self.people.values():
            await person.channel.close()
        self.people.clear()
        if self.app is not None:
            await self.app.stop()
            self.app = None

    async def restart(self) -> None:
        """Stops the server and starts another on the same state."""
        await self.stop()
        await self.start(self._endpoints, **self._google)

    def open_breaker(self, service: str = "ads") -> None:
        """As failed calls would."""
        assert self.app is not None
        breaker = self.app.core.runtimes[_NAMES[service]].breaker
        while breaker.would_admit():
            breaker.acquire().fail()

    async def place(self, who: str, request: Any) -> Any:
        """A bid; its result."""
        return (await self.asked(who, request)).result

    def asked(self, who: str, request: Any) -> Any:
        """The call of a bid."""
        service = next(
            s for s, module in _MODULES.items() if isinstance(request, module.PlaceBidRequest)
        )
        person = self.people[who]
        return person.ask(getattr(person, service).PlaceBid, request)

    async def status(self, who: str, request: Any) -> str:
        """What became of a bid, by asking again."""
        name = bid_pb2.BidStatus.Name((await self.place(who, request)).status)
        return name.removeprefix("BID_STATUS_")

    def applied(self, service: str = "ads") -> list[Any]:
        """Every change that the platform has applied."""
        journal = self.sandboxes[_NAMES[service]].journal()
        return [line for line in journal if line.changes and line.applied]


@contextlib.asynccontextmanager
async def neighbours(
    directory: Path, *platforms: str, access: bool = True, **google: Any
) -> AsyncIterator[Neighbours]:
    """A server with sandboxes of these platforms; Google Ads alone when none is named."""
    sandboxes = {name: PLATFORMS[name].sandbox() for name in platforms or ("google_ads",)}
    street = Neighbours(directory, sandboxes, access)
    street.write_tokens(TOKENS)
    try:
        endpoints = {name: await sandbox.start() for name, sandbox in sandboxes.items()}
        await street.start(endpoints, **google)
        yield street
    finally:
        await street.stop()
        for sandbox in sandboxes.values():
            await sandbox.close()
