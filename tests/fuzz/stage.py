"""A platform's sandbox, what stands in front of it, and connectors on that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.documents import grpc_refusals, http_answers
from tests.fuzz.middle import Middle
from tests.fuzz.middle_grpc import GrpcMiddle
from tests.fuzz.middle_http import HttpMiddle

from smartconnectors_server.call import Call, MethodSpec, Plan, Priced
from smartconnectors_server.clock import SystemClock
from smartconnectors_server.connector import Context, Mode, QuotaSignal, Traffic
from smartconnectors_server.connector.sandbox import Sandbox
from smartconnectors_server.platforms import PLATFORMS

TIMEOUT_MS = 5_000
CACHE_AGES_S = 7_200.0


class JumpingClock(SystemClock):
    """The machine's clock, from which a test can jump ahead, so that what was kept grows old."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_ns

    def jump(self) -> None:
        self.ahead_ns += int(CACHE_AGES_S * 10**9)


@dataclass
class Gate:
    """Lets every read through, and keeps what it was told."""

    signals: list[QuotaSignal] = field(default_factory=list)

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic = Traffic.READS) -> AsyncIterator[None]:
        del traffic
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


class Stage:
    """One platform: its sandbox, the middle, and connectors by their options."""

    def __init__(self, platform: str) -> None:
        self.platform = PLATFORMS[platform]
        self.clock = JumpingClock()
        self.gate = Gate()
        self.sandbox: Sandbox = self.platform.sandbox()
        self.middle: Middle
        self._connectors: dict[str, Any] = {}
        self.endpoint = ""

    async def open(self) -> None:
        address = await self.sandbox.start()
        name = self.platform.name
        if name == "google_ads":
            self.middle = GrpcMiddle(self.sandbox, address, grpc_refusals(name))
        else:
            self.middle = HttpMiddle(self.sandbox, address, http_answers(name))
        self.endpoint = await self.middle.start()

    async def close(self) -> None:
        for connector in self._connectors.values():
            await connector.close()
        await self.middle.close()
        await self.sandbox.close()

    async def begin(self) -> None:
        """Everything as it was at first, and nothing in any cache that may be used."""
        await self.sandbox.reset()
        self.clock.jump()
        self.middle.exchanges.clear()
        self.gate.signals.clear()

    async def connector(self, options: dict[str, Any]) -> Any:
        """One that is connected."""
        key = repr(options)
        if key not in self._connectors:
            self.middle.begin("connect", None)
            self._connectors[key] = await self.fresh(options)
        return self._connectors[key]

    async def fresh(self, options: dict[str, Any]) -> Any:
        """A connector of its own."""
        made = self.platform.connector(
            Context(
                Mode.SANDBOX,
                self.platform.options.model_validate(options),
                self.endpoint,
                TIMEOUT_MS,
                self.gate,
                self.clock,
            )
        )
        await made.connect()
        return made

    def call(self, method: str, plan: Plan | None, priced: Priced | None) -> Call:
        spec = MethodSpec.of(self.platform.service.methods_by_name[method])
        return Call(spec, 0, request_id="bid", plan=plan, priced=priced)
