"""A server without its sockets: settings -> parts, put together; opened, at work, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from smartconnectors.budgets.v1 import budget_service_pb2
from smartconnectors_server import gauges
from smartconnectors_server.assembly import (
    budgets_of,
    check_sandbox,
    mode_of,
    quiet_period_s,
    runtime_of,
)
from smartconnectors_server.books import Books
from smartconnectors_server.budget import Reconciler, SpendReports, shadow_budgets
from smartconnectors_server.call import MethodSpec, MethodTable
from smartconnectors_server.clock import Clock
from smartconnectors_server.connections import Connections, lookup_with, reports_with, spend_rules
from smartconnectors_server.connector import Mode, Platform
from smartconnectors_server.customers import Customers, SiteKeyError
from smartconnectors_server.interceptors import (
    INTERCEPTORS,
    Auth,
    CampaignPauses,
    CampaignStops,
    DeferredBids,
    Engines,
    Idempotency,
    ManyBids,
    Next,
    PlatformRuntime,
    compose,
    remembered_changes,
)
from smartconnectors_server.ledger import NO_ADOPTION, Adoption
from smartconnectors_server.platform_service import PlatformServicer
from smartconnectors_server.reload import Reloader
from smartconnectors_server.settings import Settings
from smartconnectors_server.startup import StartupError
from smartconnectors_server.telemetry import Telemetry

_FROM_THE_BREAKER_INWARDS = frozenset({"circuit_breaker", "rate_limit"})


class Core:
    """All parts of one server. Made, it has touched nothing; `open` once, `begin`, `close` once.

    Attributes:
        modes: of the platforms that are served.
        budgets: as they are configured, with their shadows.
        services: what is served, but for health and reflection.
        methods: what is known of each method.
        books: what remembers money; `ledger` and `keeper` are theirs.
        engines: what the chain works with; `runtimes` and `customers` are theirs.
        chain: the interceptors, outermost first.
        servicers: by platform.
        campaigns: who pauses them at their platforms.
        reloader: who takes a changed configuration.
    """

    def __init__(
        self,
        settings: Settings,
        platforms: Mapping[str, Platform],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Raises StartupError when the settings do not fit together."""
        self.modes = {
            name: mode_of(platform, settings)
            for name, platform in platforms.items()
            if name not in settings.platforms or settings.platforms[name].enabled
        }
        for name, mode in self.modes.items():
            check_sandbox(platforms[name], settings, mode)
        self.platforms = {name: platforms[name] for name in self.modes}
        budgets = budgets_of(self.platforms, settings)
        shadowed = [name for name, mode in self.modes.items() if mode is Mode.SHADOW]
        self.budgets = (*budgets, *shadow_budgets(budgets, shadowed))
        self.services: list[ServiceDescriptor] = [
            budget_service_pb2.DESCRIPTOR.services_by_name["BudgetService"],
            *(platform.service for platform in self.platforms.values()),
        ]
        self.methods = MethodTable(self.services, self.platforms)
        self.books = Books(settings, self.modes, clock, telemetry)
        self.ledger, self.keeper = self.books.ledger, self.books.keeper
        self.engines = self._make_engines(settings, clock, telemetry)
        self.runtimes, self.customers = self.engines.runtimes, self.engines.customers
        gauges.export(telemetry.metrics, self.engines, self.books.watch, self.books.deliveries)
        self.chain = [make(self.engines) for make in INTERCEPTORS]
        (self.auth,) = (one for one in self.chain if isinstance(one, Auth))
        gauges.export_access(telemetry.metrics, self.auth.gatekeeper)
        self.connections = Connections(self.engines)
        stops = CampaignStops(self.keeper)
        self.servicers = {
            name: PlatformServicer(
                runtime,
                self.keeper,
                self.methods,
                ManyBids(self.engines, self.methods, self.chain, runtime),
                telemetry.recent,
                stops,
            )
            for name, runtime in self.runtimes.items()
        }
        self.deferred = DeferredBids(self.engines, self.methods, self._from_the_breaker_inwards)
        self.campaigns = CampaignPauses(
            self.engines, self.methods, self._inside_the_boundary, stops
        )
        self.reconciler = self._make_reconciler()
        self.reloader = Reloader(
            self.engines, platforms, self.platforms, self.reconciler, self.books.follow
        )
        self.spend = SpendReports(
            self.ledger,
            self.books.watch,
            clock,
            reports_with(self.engines),
            spend_rules(self.engines),
            self.campaigns.pause_or_raise,
        )
        self._background: list[asyncio.Task[None]] = []

    # Making

    def _make_engines(self, settings: Settings, clock: Clock, telemetry: Telemetry) -> Engines:
        runtimes: dict[str, PlatformRuntime] = {
            name: runtime_of(
                platform,
                settings,
                self.modes[name],
                self.keeper,
                clock,
                telemetry,
                self.books.conditions,
            )
            for name, platform in self.platforms.items()
        }
        return Engines(
            settings,
            clock,
            self.keeper,
            telemetry,
            runtimes,
            Customers(settings.privacy.site_key_file, settings.server.state_dir),
            self.books.tallies,
            self.books.candidates,
            self.books.courses,
            self.books.unknown_ids,
        )

    def _make_reconciler(self) -> Reconciler:
        settings = self.engines.settings.reconciler
        return Reconciler(
            self.keeper,
            self.engines.clock,
            lookup_with(self.engines, self.methods),
            interval_s=settings.interval_s,
            max_interval_s=settings.max_interval_s,
            quiet_period_s=lambda platform: quiet_period_s(self.engines.settings, platform),
        )

    def _from_the_breaker_inwards(self, spec: MethodSpec) -> Next:
        inner = [one for one in self.chain if one.name in _FROM_THE_BREAKER_INWARDS]
        return compose(inner, spec, self.servicers[spec.platform].of(spec.name))

    def _inside_the_boundary(self, spec: MethodSpec) -> Next:
        inner = [one for one in self.chain if one.name != "status"]
        return compose(inner, spec, self.servicers[spec.platform].of(spec.name))

    # Living

    async def open(self, adoption: Adoption = NO_ADOPTION) -> None:
        """Opens the books and recalls what was. `adoption`: an operator's word that these may be
        another mode's, account's or endpoint's from now on.

        Raises StartupError; nothing is left open then.
        """
        bindings = [runtime.binding for runtime in self.runtimes.values()]
        await self.books.open(self.budgets, bindings, adoption)
        try:
            self.customers.open()
            for runtime in self.runtimes.values():
                await runtime.limiter.open()
                await runtime.reports.open()
                runtime.last_change_ns.update(remembered_changes(self.engines, runtime.book))
        except SiteKeyError as error:
            await self.books.close()
            raise StartupError(str(error)) from error
        except BaseException:
            await self.books.close()
            raise

    def begin(self) -> None:
        """Begins to connect the platforms, and all work that no call asks for."""
        self.connections.begin()
        self._background = [asyncio.create_task(work, name=name) for name, work in self._works()]

    def _works(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        books = self.books
        yield "reconciler", self.reconciler.run()
        yield "deferred", self.deferred.run()
        yield "reported spend", self.spend.run()
        yield "tallies", books.tallies.run()
        yield "alerts", books.conditions.run(self.runtimes, self.auth.gatekeeper.files)
        yield "keys", self.auth.gatekeeper.run()
        yield "unknown ids", books.unknown_ids.run()
        yield "deliveries", books.deliveries.run()
        yield "courses", books.courses.recall(self.ledger.now_ns())

    def begin_drain(self) -> None:
        """Refuses what is not sent yet, and ends the streams that callers have open."""
        for interceptor in self.chain:
            if isinstance(interceptor, Idempotency):
                interceptor.refuse_unsent()
        self.deferred.stop()
        self.books.end_watches()
        for servicer in self.servicers.values():
            servicer.end_streams()

    async def drain(self) -> None:
        """Returns when everything that holds money has come to its own end."""
        for interceptor in self.chain:
            if isinstance(interceptor, Idempotency):
                await interceptor.drain()
        await self.deferred.drain()
        await self.campaigns.drain()

    async def close(self) -> None:
        """Ends all work and closes everything; after `drain`."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.connections.close()
        await self.books.tallies.write()
        await self.books.close()
