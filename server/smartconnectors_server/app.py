"""The composition root: settings -> objects -> servers; start, drain, stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from smartconnectors.budgets.v1 import budget_service_pb2, budget_service_pb2_grpc
from smartconnectors_server import gauges
from smartconnectors_server.alert_settings import AlertSettings
from smartconnectors_server.alerts import Conditions, Deliveries, log_standing
from smartconnectors_server.assembly import (
    budgets_of,
    candidates_of,
    load_settings,
    mode_of,
    quiet_period_s,
    runtime_of,
)
from smartconnectors_server.budget import (
    Candidates,
    Courses,
    Keeper,
    Reconciler,
    SpendReports,
    Tallies,
    Watch,
    shadow_budgets,
)
from smartconnectors_server.call import MethodTable
from smartconnectors_server.clock import Clock, SystemClock
from smartconnectors_server.connections import Connections, lookup_with, reports_with, spend_rules
from smartconnectors_server.connector import Mode, Platform
from smartconnectors_server.customers import Customers, SiteKeyError
from smartconnectors_server.interceptors import (
    INTERCEPTORS,
    Auth,
    CampaignPauses,
    ChainInterceptor,
    DeferredBids,
    Engines,
    Idempotency,
    ManyBids,
    PlatformRuntime,
    compose,
    remembered_changes,
)
from smartconnectors_server.ledger import LEDGERS, Hold, LedgerError, shadow_of
from smartconnectors_server.listening import ConnectionRules
from smartconnectors_server.platform_service import PlatformServicer
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.reload import Reloader
from smartconnectors_server.services.alerts import AlertReader
from smartconnectors_server.services.budgets import BudgetServicer
from smartconnectors_server.services.health import Health
from smartconnectors_server.services.shadow_report import ShadowReports
from smartconnectors_server.services.symbols import Symbols
from smartconnectors_server.settings import Settings
from smartconnectors_server.startup import StartupError
from smartconnectors_server.telemetry import Telemetry
from smartconnectors_server.tls import open_port

HEALTH_EVERY_S = 0.25

log = logging.getLogger(__name__)

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
    """One server. `start` once, `stop` once."""

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
        self._settings = settings
        self._rules = rules or ConnectionRules()
        self._clock = clock or SystemClock()
        self.telemetry = telemetry or _telemetry(settings)
        self._modes = {
            name: mode_of(platform, settings)
            for name, platform in platforms.items()
            if name not in settings.platforms or settings.platforms[name].enabled
        }
        self._platforms = {name: platforms[name] for name in self._modes}
        budgets = budgets_of(self._platforms, settings)
        shadowed = [name for name, mode in self._modes.items() if mode is Mode.SHADOW]
        self._budgets = (*budgets, *shadow_budgets(budgets, shadowed))
        self._services: list[ServiceDescriptor] = [
            budget_service_pb2.DESCRIPTOR.services_by_name["BudgetService"],
            *(platform.service for platform in self._platforms.values()),
        ]
        self._methods = MethodTable(self._services, self._platforms)
        self.ledger = LEDGERS[settings.ledger.kind](
            settings.server.state_dir,
            self._clock,
            gather_ms=settings.ledger.gather_ms,
            commit_timeout_s=settings.ledger.commit_timeout_s,
            on_commit=self._committed,
        )
        self.conditions = Conditions(self.ledger, self._clock, settings.alerts)
        self.deliveries = Deliveries(
            self.ledger.alerts,
            settings.server.state_dir,
            self._clock,
            self.telemetry,
            settings.alerts,
        )
        self.watch = Watch(self.ledger, self._clock)
        self.tallies = Tallies(self.ledger, self._clock)
        candidates = candidates_of(self._modes, settings)
        self.candidates = Candidates(self.ledger, self.tallies, candidates)
        books = [shadow_of(name) if name in shadowed else name for name in self._modes]
        self.courses = Courses(self.ledger, books)
        self.keeper = Keeper(self.ledger, self.watch, self._settled)
        self.runtimes: dict[str, PlatformRuntime] = {
            name: runtime_of(
                platform,
                settings,
                self._modes[name],
                self.keeper,
                self._clock,
                self.telemetry,
                self.conditions,
            )
            for name, platform in self._platforms.items()
        }
        self.customers = Customers(settings.privacy.site_key_file, settings.server.state_dir)
        self.engines = Engines(
            settings,
            self._clock,
            self.keeper,
            self.telemetry,
            self.runtimes,
            self.customers,
            self.tallies,
            self.candidates,
            self.courses,
        )
        gauges.export(self.telemetry.metrics, self.engines, self.watch, self.deliveries)
        self._chain = [make(self.engines) for make in INTERCEPTORS]
        (self.auth,) = (one for one in self._chain if isinstance(one, Auth))
        self._health = Health(service.full_name for service in self._services)
        self._connections = Connections(self.engines)
        self._servicers = {
            name: PlatformServicer(
                runtime,
                self.keeper,
                self._methods,
                ManyBids(self.engines, self._methods, self._chain, runtime),
            )
            for name, runtime in self.runtimes.items()
        }
        self._deferred = self._deferred_bids()
        self.campaigns = self._campaign_pauses()
        self._reconciler = self._make_reconciler()
        self.reloader = Reloader(
            self.engines, platforms, self._platforms, self._reconciler, self._follow_alerts
        )
        self.spend = SpendReports(
            self.ledger,
            self.watch,
            self._clock,
            reports_with(self.engines),
            spend_rules(self.engines),
            self.campaigns.pause_or_raise,
        )
        self._server: Any = None
        self._background: list[asyncio.Task[None]] = []

    # Starting

    async def start(self) -> Ready:
        """Opens the ledger, listens, and begins to connect the platforms.

        Raises StartupError; nothing is left open then.
        """
        try:
            await self.ledger.open(self._budgets)
        except (LedgerError, OSError) as error:
            raise StartupError(str(error)) from error
        try:
            self.customers.open()
        except SiteKeyError as error:
            await self.ledger.close()
            raise StartupError(str(error)) from error
        log_standing(self.ledger)
        self.conditions.begin()
        try:
            await self._open_deliveries()
            await self.tallies.open()
            await self.candidates.open()
            self.courses.begin()
            for runtime in self.runtimes.values():
                await runtime.limiter.open()
                await runtime.reports.open()
                runtime.last_change_ns.update(remembered_changes(self.engines, runtime.book))
            address = await self._listen()
        except BaseException:
            await self.deliveries.close()
            await self.ledger.close()
            raise
        self._connections.begin()
        self._background = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("health", self._report_health()),
                ("reconciler", self._reconciler.run()),
                ("deferred", self._deferred.run()),
                ("reported spend", self.spend.run()),
                ("tallies", self.tallies.run()),
                ("alerts", self.conditions.run(self.runtimes)),
                ("deliveries", self.deliveries.run()),
                ("courses", self.courses.recall(self.ledger.now_ns())),
            )
        ]
        return Ready(
            address,
            {name: mode.value for name, mode in self._modes.items()},
            str(self._settings.server.state_dir),
        )

    async def _open_deliveries(self) -> None:
        try:
            await self.deliveries.open()
        except (LedgerError, OSError) as error:
            raise StartupError(f"how far alerts are delivered: {error}") from error

    async def _listen(self) -> str:
        server_settings = self._settings.server
        server = grpc.aio.server(
            interceptors=[ChainInterceptor(self._chain, self._methods, self._clock)],
            options=self._rules.options(server_settings),
            maximum_concurrent_rpcs=self._rules.calls(server_settings),
        )
        books = {name: runtime.book for name, runtime in self.runtimes.items()}
        reports = ShadowReports(self.keeper, self.tallies, self.candidates, books)
        budget_service_pb2_grpc.add_BudgetServiceServicer_to_server(
            cast(
                Any,
                BudgetServicer(
                    self.keeper,
                    self.watch,
                    self.ledger.reported,
                    self.campaigns,
                    reports,
                    self.customers,
                    AlertReader(self.ledger.alerts),
                ),
            ),
            server,
        )
        for name, platform in self._platforms.items():
            platform.register(self._servicers[name], server)
        health_pb2_grpc.add_HealthServicer_to_server(cast(Any, self._health), server)
        names = [service.full_name for service in self._services]
        standard = [health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection([*names, *standard], server, pool=cast(Any, Symbols()))
        host = server_settings.host
        try:
            port = open_port(
                server,
                f"{_bracketed(host)}:{server_settings.grpc_port}",
                server_settings.tls,
                self._clock,
            )
        except RuntimeError:
            raise StartupError(
                f"cannot listen on {host}:{server_settings.grpc_port}; is another server there? "
                "Give this one another --grpc-port."
            ) from None
        self._health.set_serving(True)
        await server.start()
        self._server = server
        return f"{_bracketed(host)}:{port}"

    @property
    def ready(self) -> bool:
        """False while nothing is admitted: before the start, while the ledger is away, draining."""
        return self._health.serving

    # Stopping

    async def stop(self) -> None:
        """Drains: not serving, a pause for load balancers, streams ended, calls under way awaited,
        what holds money to its end, the ledger flushed.
        """
        self._health.begin_drain()
        await self._clock.sleep(self._settings.server.drain_pause_s)
        self.watch.close()
        self.ledger.alerts.close()
        for servicer in self._servicers.values():
            servicer.end_streams()
        self._health.end_watches()
        await self._server.stop(self._settings.server.drain_grace_s)
        for interceptor in self._chain:
            if isinstance(interceptor, Idempotency):
                await interceptor.drain()
        await self._deferred.drain()
        await self.campaigns.drain()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._connections.close()
        await self.deliveries.close()
        await self.tallies.write()
        await self.ledger.close()
        self.telemetry.shutdown()

    # Background work

    def _committed(self, took_s: float, steps: int) -> None:
        self.telemetry.metrics.commit(took_s, steps)
        self.conditions.committed(took_s)

    def _follow_alerts(self, settings: AlertSettings) -> None:
        self.conditions.follow(settings)
        self.deliveries.follow(settings)

    def _make_reconciler(self) -> Reconciler:
        return Reconciler(
            self.keeper,
            self._clock,
            lookup_with(self.engines, self._methods),
            interval_s=self._settings.reconciler.interval_s,
            max_interval_s=self._settings.reconciler.max_interval_s,
            quiet_period_s=lambda platform: quiet_period_s(self.engines.settings, platform),
        )

    def _deferred_bids(self) -> DeferredBids:
        inner = [i for i in self._chain if i.name in _FROM_THE_BREAKER_INWARDS]
        return DeferredBids(
            self.engines,
            self._methods,
            lambda spec: compose(inner, spec, self._servicers[spec.platform].of(spec.name)),
        )

    def _campaign_pauses(self) -> CampaignPauses:
        inner = [i for i in self._chain if i.name != "status"]
        return CampaignPauses(
            self.engines,
            self._methods,
            lambda spec: compose(inner, spec, self._servicers[spec.platform].of(spec.name)),
        )

    def _settled(self, hold: Hold) -> None:
        self.candidates.settled(hold)
        self.courses.settled(hold)

    async def _report_health(self) -> None:
        """NOT_SERVING while the ledger is out of reach. An open breaker stays SERVING."""
        while True:
            self._health.set_serving(self.ledger.available)
            await self._clock.sleep(HEALTH_EVERY_S)


_FROM_THE_BREAKER_INWARDS = frozenset({"circuit_breaker", "rate_limit"})


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _telemetry(settings: Settings) -> Telemetry:
    chosen = settings.telemetry
    if not chosen.otlp_endpoint:
        return Telemetry()
    from smartconnectors_server.telemetry.otlp import OtlpSpans

    spans = OtlpSpans(chosen.otlp_endpoint, insecure=chosen.otlp_insecure)
    return Telemetry(spans=spans, sample_ratio=chosen.sample_ratio)
