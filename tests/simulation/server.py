"""One life of a server in the simulated world: the real chain, without a network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.simulation.platform import TIMEOUT_S, ScriptedPlatform, registered
from tests.simulation.world import VirtualClock

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.call import Call
from smartconnectors_server.interceptors import Idempotency, compose, remembered_changes
from smartconnectors_server.interceptors.status import StatusError
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.telemetry import Telemetry

NAME = "google_ads"
PATH = "/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid"
WINDOW_S = 600.0
CAMPAIGN = f"{NAME}/campaigns/1"
LIMITS_USD = {NAME: 500, CAMPAIGN: 150, "total": 480}
CALLS, CALLS_WINDOW_S = 25, 60.0


class _Silent(Telemetry):
    def event(self, name: str, **values: Any) -> None:
        """Thousands of bids need no line each."""


class Server:
    """Built, begun, called, and ended in one of two ways."""

    def __init__(self, state_dir: Path, platform: ScriptedPlatform, clock: VirtualClock) -> None:
        theirs = {
            "endpoint": "127.0.0.1:1",
            "timeout_ms": round(TIMEOUT_S * 1000),
            "budget": {"limit": str(LIMITS_USD[NAME]), "campaigns": {"1": "150"}},
            "rate_limit": {"calls": CALLS, "window_s": CALLS_WINDOW_S},
            "circuit_breaker": {"open_s": 20},
        }
        document = {
            "server": {"state_dir": str(state_dir)},
            "ledger": {"commit_timeout_s": 1},
            "total_budget": {"limit": str(LIMITS_USD["total"])},
            "platforms": {NAME: theirs},
        }
        self.app = Application(
            load_settings(None, {}, document),
            platforms={NAME: registered(platform)},
            clock=clock,
            telemetry=_Silent(),
        )
        assert isinstance(self.app.ledger, SqliteLedger)
        self.ledger = self.app.ledger
        self._clock = clock

    async def begin(self) -> None:
        """All of `Application.start` but the sockets."""
        app = self.app
        await app.ledger.open(app._budgets)
        for name, runtime in app.runtimes.items():
            await runtime.limiter.open()
            runtime.last_change_ns.update(remembered_changes(app.engines, name))
        app._connections.begin()
        app._background = [
            asyncio.create_task(app._reconciler().run()),
            asyncio.create_task(app._deferred.run()),
        ]

    async def call(self, request: ads_pb2.PlaceBidRequest, deadline_s: float | None) -> Any:
        """The answer. Raises ConnectorError, as the status says it."""
        spec = self.app._methods.get(PATH)
        assert spec is not None
        chain = compose(self.app._chain, spec, self.app._servicers[NAME].PlaceBid)
        now_ns = self._clock.monotonic_ns()
        deadline_ns = None if deadline_s is None else now_ns + round(deadline_s * 1e9)
        call = Call(spec=spec, started_ns=now_ns, deadline_ns=deadline_ns)
        try:
            raw = await chain(request.SerializeToString(), call)
        except StatusError as error:
            if error.__cause__ is None:
                raise
            raise error.__cause__ from error
        return ads_pb2.PlaceBidResponse.FromString(raw)

    async def end(self) -> None:
        """All of `Application.stop` but the sockets."""
        app = self.app
        app.watch.close()
        for interceptor in app._chain:
            if isinstance(interceptor, Idempotency):
                await interceptor.drain()
        await app._deferred.drain()
        for task in app._background:
            task.cancel()
        await asyncio.gather(*app._background, return_exceptions=True)
        await app._connections.close()
        await app.ledger.close()

    def die(self) -> None:
        """As the kernel does it: files are closed, and nothing more is written."""
        if self.ledger._store is not None:
            self.ledger._store.close()
        if self.ledger._lock is not None:
            self.ledger._lock.release()
