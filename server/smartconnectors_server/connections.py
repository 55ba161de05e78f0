"""Connecting the platforms behind a server that is already ready: libraries are slow to import."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from smartconnectors_server.budget import Finding
from smartconnectors_server.call import MethodTable
from smartconnectors_server.connector import Connector, Context, Mode, Sent
from smartconnectors_server.connector.sandbox import Sandbox
from smartconnectors_server.errors import ConnectorError, PlatformUnavailable
from smartconnectors_server.interceptors import Engines, PlatformRuntime, WireGate
from smartconnectors_server.interceptors.answers import priced_of
from smartconnectors_server.ledger import Hold, is_shadow

RETRY_S = 5.0

log = logging.getLogger(__name__)


class Connections:
    """The connectors, and the sandboxes that this process runs for those without credentials."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._tasks: list[asyncio.Task[None]] = []
        self._connectors: list[Connector] = []
        self._sandboxes: list[Sandbox] = []

    def begin(self) -> None:
        """Begins to connect every platform."""
        for runtime in self._engines.runtimes.values():
            runtime.connected = asyncio.get_running_loop().create_future()
            self._tasks.append(asyncio.create_task(self._connect_until_done(runtime)))

    async def close(self) -> None:
        """Closes connectors, then sandboxes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connector in self._connectors:
            await connector.close()
        for sandbox in self._sandboxes:
            await sandbox.close()

    async def _connect_until_done(self, runtime: PlatformRuntime) -> None:
        while True:
            connected = runtime.connected
            assert connected is not None
            try:
                connector = await self._connect(runtime)
            except Exception as error:
                log.exception("%s cannot be connected; trying again", runtime.name)
                reason = error.message if isinstance(error, ConnectorError) else "see the log"
                connected.set_exception(
                    PlatformUnavailable(
                        f"{runtime.name} cannot be connected: {reason}", retry_after_s=RETRY_S
                    )
                )
                connected.exception()  # seen, also when nobody waits for it
            else:
                connected.set_result(connector)
                return
            await self._engines.clock.sleep(RETRY_S)
            runtime.connected = asyncio.get_running_loop().create_future()

    async def _connect(self, runtime: PlatformRuntime) -> Connector:
        endpoint = runtime.settings.endpoint
        # Where calls go, whatever is done with bids: an endpoint of one's own is no real platform.
        where = Mode.SANDBOX if endpoint is not None else runtime.mode
        if runtime.mode is not Mode.SANDBOX and endpoint is not None:
            log.warning(
                "%s: mode %s at %s, which stands for the real platform",
                runtime.name,
                runtime.mode.value,
                endpoint,
            )
        if runtime.mode is Mode.SANDBOX and endpoint is None:
            sandbox = runtime.platform.sandbox()
            endpoint = await sandbox.start()
            self._sandboxes.append(sandbox)
        connector = runtime.platform.connector(
            Context(
                mode=where,
                options=runtime.options,
                endpoint=endpoint,
                timeout_ms=runtime.settings.timeout_ms,
                gate=WireGate(
                    runtime.name,
                    runtime.limiter,
                    runtime.breaker,
                    self._engines.clock,
                    self._engines.telemetry,
                ),
                clock=self._engines.clock,
            )
        )
        await connector.connect()
        self._connectors.append(connector)
        return connector


def lookup_with(engines: Engines, methods: MethodTable) -> Callable[[Hold], Awaitable[Finding]]:
    """How the reconciler asks a platform what became of a hold."""

    async def lookup(hold: Hold) -> Finding:
        if is_shadow(hold.platform):
            return Finding.NOT_APPLIED  # a crash left it; in shadow mode nothing is ever sent
        runtime = engines.runtimes.get(hold.platform)
        spec = methods.get(hold.method)
        if runtime is None or spec is None:
            raise PlatformUnavailable(
                f"{hold.platform} is not served, so {hold.method} cannot be looked up"
            )
        connector = await runtime.connector()
        request = spec.request_class.FromString(hold.request)
        return await connector.lookup(Sent(request, priced_of(hold), hold.target, hold.before))

    return lookup
