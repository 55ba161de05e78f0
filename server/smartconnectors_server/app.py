"""One server over gRPC: listens, says whether it is healthy, drains, stops."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc

from smartconnectors.budgets.v1 import budget_service_pb2_grpc
from smartconnectors_server.assembly import load_settings
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock, SystemClock
from smartconnectors_server.connector import Platform
from smartconnectors_server.core import Core
from smartconnectors_server.errors import ServerDraining
from smartconnectors_server.interceptors import ChainInterceptor, Door, to_status
from smartconnectors_server.ledger import NO_ADOPTION, Adoption
from smartconnectors_server.listening import ConnectionRules
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.services.alerts import AlertReader
from smartconnectors_server.services.budgets import BudgetServicer
from smartconnectors_server.services.health import Health
from smartconnectors_server.services.reflection import add_reflection
from smartconnectors_server.services.shadow_report import ShadowReports
from smartconnectors_server.settings import Settings, headers_of
from smartconnectors_server.startup import StartupError
from smartconnectors_server.telemetry import Telemetry
from smartconnectors_server.tls import open_port

HEALTH_EVERY_S = 0.25
FIRST_ATTEMPTS_S = 30.0
"""A server is ready after so many seconds, also while a platform is being connected for the first
time."""

__all__ = ["Application", "Ready", "StartupError", "load_settings"]


@dataclass(frozen=True, slots=True)
class Ready:
    """What a started server says of itself."""

    grpc_address: str
    platforms: Mapping[str, str]
    """Name -> mode."""
    state_dir: str
    http_address: str = ""
    """Empty: HTTP is switched off."""


class Application:
    """One server. `start` once, `stop` once.

    Attributes:
        core: everything but the sockets.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        platforms: Mapping[str, Platform] = PLATFORMS,
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
        rules: ConnectionRules | None = None,
    ) -> None:
        """Raises StartupError when the settings do not fit together."""
        self._settings = settings.server
        self._rules = rules or ConnectionRules()
        self._clock = clock or SystemClock()
        self.telemetry = telemetry or _telemetry(settings)
        self.core = Core(settings, platforms, self._clock, self.telemetry)
        ended = to_status(ServerDraining.ended("Watch again to go on."))
        self._health = Health(
            (service.full_name for service in self.core.services),
            (ended.code, ended.message, ended.trailers),
        )
        self._begun_ns = 0
        self._tried = asyncio.Event()
        self._reporting: asyncio.Task[None] | None = None
        self._arriving: asyncio.Task[None] | None = None
        self._server: Any = None

    async def start(self, adoption: Adoption = NO_ADOPTION) -> Ready:
        """Opens the ledger, listens, and begins to connect the platforms. `adoption`: for which of
        them the state directory may belong to another mode, account or endpoint from now on.

        Raises StartupError; nothing is left open then.
        """
        core = self.core
        await core.open(adoption)
        try:
            address = await self._listen()
        except BaseException:
            await core.close()
            raise
        self._begun_ns = self._clock.monotonic_ns()
        for runtime in core.runtimes.values():
            runtime.link.listen(self._look_at_health)
        core.begin()
        self._look_at_health()
        self._reporting = asyncio.create_task(self._report_health(), name="health")
        return Ready(
            address,
            {name: mode.value for name, mode in core.modes.items()},
            str(self._settings.state_dir),
        )

    async def tried(self) -> None:
        """Returns once every platform has been tried, or `FIRST_ATTEMPTS_S` have passed."""
        await self._tried.wait()

    @property
    def ready(self) -> bool:
        """False before every platform was tried once, while the ledger is away, and draining."""
        return self._health.serving

    async def stop(self) -> None:
        """Drains: not serving, a pause for load balancers, what is not sent yet refused, streams
        ended, calls under way awaited, what holds money to its end, the ledger flushed.
        """
        self._health.begin_drain()
        await self._clock.sleep(self._settings.drain_pause_s)
        self.core.begin_drain()
        self._health.end_watches()
        await self._server.stop(self._settings.drain_grace_s)
        await self.core.drain()
        for task in (self._reporting, self._arriving):
            if task is not None:
                task.cancel()
        await self.core.close()
        # It may wait for a collector; health and metrics are answered meanwhile.
        await asyncio.to_thread(self.telemetry.shutdown)

    async def _listen(self) -> str:
        # No bound of gRPC's own: it counts calls whose callers it does not know.
        most = self._rules.admitted_calls(self._settings)
        chain = ChainInterceptor(
            self.core.chain,
            self.core.methods,
            self._clock,
            self._rules.arrivals(self._settings),
            Door(self.core.engines.settings, self._clock, most=most),
            self.telemetry.metrics,
        )
        options = self._rules.options(self._settings, self.core.engines.settings.http)
        server = grpc.aio.server(interceptors=[chain], options=options)
        self._add_services(server)
        host, asked_port = _bracketed(self._settings.host), self._settings.grpc_port
        try:
            port = open_port(server, f"{host}:{asked_port}", self._settings.tls, self._clock)
        except RuntimeError:
            raise StartupError(
                f"cannot listen on {self._settings.host}:{asked_port}; is another server there? "
                "Give this one another --grpc-port."
            ) from None
        await server.start()
        self._server = server
        self._arriving = asyncio.create_task(chain.arrivals.run(), name="arrivals")
        return f"{host}:{port}"

    def _add_services(self, server: Any) -> None:
        core, books = self.core, self.core.books
        names = {name: runtime.book for name, runtime in core.runtimes.items()}
        budgets = BudgetServicer(
            core.keeper,
            books.watch,
            core.ledger.reported,
            core.campaigns,
            ShadowReports(core.keeper, books.tallies, books.candidates, names),
            core.customers,
            AlertReader(core.ledger.alerts),
        )
        budget_service_pb2_grpc.add_BudgetServiceServicer_to_server(cast(Any, budgets), server)
        for name, platform in core.platforms.items():
            platform.register(core.servicers[name], server)
        health_pb2_grpc.add_HealthServicer_to_server(cast(Any, self._health), server)
        shown = [service.full_name for service in core.services]
        if self._settings.reflection:
            add_reflection(server, [*shown, health.SERVICE_NAME])

    async def _report_health(self) -> None:
        while True:
            self._look_at_health()
            await self._clock.sleep(HEALTH_EVERY_S)

    def _look_at_health(self) -> None:
        """The server as a whole serves while the ledger can be written, once every platform has
        been tried; it does not wait longer than `FIRST_ATTEMPTS_S` for that. A platform's service
        serves while its bids get an answer at once: sent, or deferred, but not while it is being
        connected for the first time, or its account turns the server away.
        """
        core = self.core
        available, runtimes = core.ledger.available, core.runtimes
        waited_s = (self._clock.monotonic_ns() - self._begun_ns) / NANOS_PER_SECOND
        tried = all(runtime.link.attempted for runtime in runtimes.values())
        if tried or waited_s >= FIRST_ATTEMPTS_S:
            self._tried.set()
        serving = {
            "": available and self._tried.is_set(),
            **{service.full_name: available for service in core.services},
        }
        for runtime in runtimes.values():
            link = runtime.link
            answers = link.is_connected or (link.attempted and link.can_defer)
            serving[runtime.platform.service.full_name] = available and answers
        self._health.set_serving(serving)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _telemetry(settings: Settings) -> Telemetry:
    chosen = settings.telemetry
    if not chosen.otlp_endpoint:
        return Telemetry()
    from smartconnectors_server.telemetry.otlp import OtlpSpans

    try:
        spans = OtlpSpans(
            chosen.otlp_endpoint,
            insecure=chosen.otlp_insecure,
            headers=headers_of(chosen.otlp_headers.get_secret_value()),
            service_name=chosen.service_name,
            outgoing=Outgoing(settings.outgoing),
            ca_file=chosen.otlp_ca_file,
        )
    except OSError as error:
        raise StartupError(
            f"telemetry.otlp_ca_file: {error.filename} cannot be read: {error.strerror}"
        ) from None
    return Telemetry(spans=spans, sample_ratio=chosen.sample_ratio)
