"""Connecting the platforms behind a server that is already ready: libraries are slow to import."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime

from smartconnectors_server.budget import Finding, SpendReport, SpendRules
from smartconnectors_server.call import MethodTable
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.connector import (
    Accounts,
    Connector,
    Context,
    Mode,
    Sent,
    check_account_currency,
    sockets,
    time_zone_warning,
)
from smartconnectors_server.connector.sandbox import Sandbox
from smartconnectors_server.errors import ConnectorError, NotFound, PlatformUnavailable
from smartconnectors_server.interceptors import Engines, PlatformRuntime, WireGate
from smartconnectors_server.interceptors.answers import priced_of
from smartconnectors_server.ledger import TOTAL, Hold, is_shadow, mode_of_place
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.settings import PlatformSettings, ReportedSpendSettings, Settings

RETRY_S = 5.0
ACCOUNT_RETRY_S = 60.0
"""Each look at the account takes a call of the platform's quota."""

log = logging.getLogger(__name__)


class AccountRefused(Exception):
    """The account cannot be used now; `why` is what bids are refused with meanwhile."""

    def __init__(self, why: PlatformUnavailable) -> None:
        super().__init__(why.message)
        self.why = why


def calendar_zones(settings: Settings, platform: str) -> list[tuple[str, str]]:
    """(budget, time zone) of each calendar limit that bids on a platform count in."""
    chosen = settings.platforms.get(platform)
    budgets = {platform: None if chosen is None else chosen.budget, TOTAL: settings.total_budget}
    return [
        (budget_id, limit.time_zone)
        for budget_id, budget in budgets.items()
        if budget is not None
        for limit in budget.further_limits
        if limit.calendar is not None
    ]


class Connections:
    """The connectors, and the sandboxes that this process runs for those without credentials."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._outgoing = Outgoing(engines.settings.outgoing)
        self._tasks: list[asyncio.Task[None]] = []
        self._connectors: list[Connector] = []
        self._sandboxes: list[Sandbox] = []

    def begin(self) -> None:
        """Begins to connect every platform."""
        live = any(runtime.mode is Mode.LIVE for runtime in self._engines.runtimes.values())
        if live and (warning := sockets.warning()) is not None:
            log.warning(warning)
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
            except AccountRefused as error:
                log.error("%s: %s", runtime.name, error.why.message)  # noqa: TRY400 - it says all
                connected.set_exception(error.why)
                connected.exception()
                retry_s = ACCOUNT_RETRY_S
            except Exception as error:
                retry_s = RETRY_S
                reason = error.message if isinstance(error, ConnectorError) else "see the log"
                if isinstance(error, ConnectorError):
                    # It says all, and what caused it may repeat what was to be sent.
                    log.error("%s cannot be connected; trying again: %s", runtime.name, reason)  # noqa: TRY400
                else:
                    log.exception("%s cannot be connected; trying again", runtime.name)
                connected.set_exception(
                    PlatformUnavailable(
                        f"{runtime.name} cannot be connected: {reason}", retry_after_s=RETRY_S
                    )
                )
                connected.exception()  # seen, also when nobody waits for it
            else:
                connected.set_result(connector)
                return
            await self._engines.clock.sleep(retry_s)
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
        if endpoint is None:
            self._warn(runtime)
        gate = self._gate(runtime, None)
        several = len(runtime.accounts) > 1
        each = {
            name: runtime.platform.connector(
                Context(
                    mode=where,
                    options=options,
                    endpoint=endpoint,
                    timeout_ms=runtime.settings.timeout_ms,
                    gate=self._gate(runtime, name) if several else gate,
                    clock=self._engines.clock,
                    report_timeout_ms=runtime.settings.reported_spend.timeout_ms,
                    outgoing=self._outgoing,
                )
            )
            for name, options in runtime.accounts.items()
        }
        connector = next(iter(each.values())) if len(each) == 1 else Accounts(each, gate)
        try:
            await connector.connect()
            for name, one in each.items():
                await self._check_account(runtime, name, one)
        except BaseException:
            await connector.close()
            raise
        self._connectors.append(connector)
        return connector

    def _gate(self, runtime: PlatformRuntime, account: str | None) -> WireGate:
        return WireGate(
            runtime.name,
            runtime.limiter,
            runtime.reports,
            runtime.breaker,
            self._engines.clock,
            self._engines.telemetry,
            account,
        )

    def _warn(self, runtime: PlatformRuntime) -> None:
        """Says in the log which settings are going to stop working at the real platform."""
        today = datetime.fromtimestamp(self._engines.clock.wall_ns() / NANOS_PER_SECOND, UTC).date()
        each = [runtime.platform.warnings(one, today) for one in runtime.accounts.values()]
        for warning in dict.fromkeys(one for warnings in each for one in warnings):
            log.warning("%s: %s", runtime.name, warning)

    async def _check_account(
        self, runtime: PlatformRuntime, account: str, connector: Connector
    ) -> None:
        """Raises AccountRefused when nothing may be sent to the account, or it cannot be told."""
        if not checks_account(runtime.settings, runtime.mode):
            return
        try:
            facts = await connector.account()
            check_account_currency(runtime.name, facts, runtime.currency_code)
        except ConnectorError as error:
            raise AccountRefused(
                PlatformUnavailable(
                    f"{runtime.name} cannot be used: {error.message}",
                    retry_after_s=error.retry_after_s,
                    metadata=error.metadata,
                )
            ) from error
        runtime.facts[account] = facts
        log.info(
            "%s: account %s (%s), %s, %s",
            runtime.name,
            facts.account_id or "not told",
            facts.name or "no name",
            facts.currency_code or "currency not told",
            facts.time_zone or "time zone not told",
        )
        zones = calendar_zones(self._engines.settings, runtime.name)
        if (warning := time_zone_warning(runtime.name, facts, zones)) is not None:
            log.warning(warning)


def reports_with(engines: Engines) -> Callable[[str, date], Awaitable[SpendReport | None]]:
    """How a platform is asked what it billed."""

    async def read(platform: str, since: date) -> SpendReport | None:
        connector = await engines.runtimes[platform].connector()
        return await connector.reported_spend(since)

    return read


def spend_rules(engines: Engines) -> dict[str, SpendRules]:
    """How each platform that is to be asked is asked."""
    return {
        name: SpendRules(
            interval_s=chosen.interval_s,
            compared=runtime.mode is not Mode.SHADOW,
            tolerance_micros=chosen.tolerance,
            pauses=chosen.on_reported_over == "pause_campaigns",
        )
        for name, runtime in engines.runtimes.items()
        if is_asked(chosen := runtime.settings.reported_spend, runtime.mode)
    }


def checks_account(chosen: PlatformSettings, mode: Mode) -> bool:
    """Whether the account is read, and its currency compared, when a platform is connected."""
    return mode is not Mode.SANDBOX if chosen.check_account is None else chosen.check_account


def is_asked(chosen: ReportedSpendSettings, mode: Mode) -> bool:
    """Whether a platform is asked what it billed."""
    return mode is not Mode.SANDBOX if chosen.enabled is None else chosen.enabled


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
        request = spec.request_class.FromString(hold.request)
        if not runtime.goes_to_place_of(hold, request):
            raise NotFound(  # of this one alone: others are looked up meanwhile
                f"it was sent in mode {mode_of_place(hold.place)} to another account or endpoint "
                f"than {hold.platform} has now and cannot be looked up. `holds resolve` ends it"
            )
        connector = await runtime.connector()
        return await connector.lookup(Sent(request, priced_of(hold), hold.target, hold.before))

    return lookup
