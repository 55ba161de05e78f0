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
from smartconnectors_server.errors import (
    ConnectorError,
    NotFound,
    PlatformRejected,
    PlatformUnavailable,
    RequestError,
)
from smartconnectors_server.interceptors import Engines, PlatformRuntime, WireGate
from smartconnectors_server.interceptors.answers import priced_of
from smartconnectors_server.ledger import TOTAL, Hold, is_shadow, mode_of_place
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.settings import PlatformSettings, ReportedSpendSettings, Settings
from smartconnectors_server.telemetry import Lasting

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
"""Attempts come at doubling intervals up to this; each may take a call of the platform's quota."""

log = logging.getLogger(__name__)


class AccountRefused(Exception):
    """The account cannot be used now; `why` says so to callers.

    Attributes:
        lasts: True when the platform was reached and turned the server away, or the account does
            not fit the budget: no waiting mends that.
    """

    def __init__(self, why: PlatformUnavailable, *, lasts: bool) -> None:
        super().__init__(why.message)
        self.why = why
        self.lasts = lasts


def retry_s_after(failures: int, asked_s: float | None = None) -> float:
    """How long to wait after so many failed attempts. `asked_s`: what the platform asks for."""
    doubled_s = FIRST_RETRY_S * (1 << min(failures - 1, 20))
    return max(min(LONGEST_RETRY_S, doubled_s), asked_s or 0.0)


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
        self._sandboxes: dict[str, Sandbox] = {}
        self._endpoints: dict[str, str] = {}
        self._lasting = Lasting(log, engines.clock)

    def begin(self) -> None:
        """Begins to connect every platform."""
        live = any(runtime.mode is Mode.LIVE for runtime in self._engines.runtimes.values())
        if live and (warning := sockets.warning()) is not None:
            log.warning(warning)
        for runtime in self._engines.runtimes.values():
            self._tasks.append(asyncio.create_task(self._connect_until_done(runtime)))

    async def close(self) -> None:
        """Closes connectors, then sandboxes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connector in self._connectors:
            await connector.close()
        for sandbox in self._sandboxes.values():
            await sandbox.close()

    async def _connect_until_done(self, runtime: PlatformRuntime) -> None:
        failures = 0
        while True:
            try:
                connector = await self._connect(runtime)
            except Exception as error:  # noqa: BLE001 - logged with its traceback
                failures += 1
                retry_s = self._failed(runtime, error, failures)
            else:
                runtime.link.succeeded(connector)
                if failures:
                    log.info("%s is connected, after %d failed attempts", runtime.name, failures)
                return
            await self._engines.clock.sleep(retry_s)

    def _failed(self, runtime: PlatformRuntime, error: Exception, failures: int) -> float:
        """Says so to bids and in the log; returns the seconds until the next attempt."""
        name = runtime.name
        if isinstance(error, AccountRefused):
            retry_s = retry_s_after(failures, error.why.retry_after_s)
            runtime.link.failed(error.why, retry_s, refuses=error.lasts)
            said = error.why.message
            self._lasting.say((name, said), "%s; trying again", said, level=logging.ERROR)
            return retry_s
        known = isinstance(error, ConnectorError)
        reason = error.message if isinstance(error, ConnectorError) else "see the log"
        asked_s = error.retry_after_s if isinstance(error, ConnectorError) else None
        retry_s = retry_s_after(failures, asked_s)
        lasts = isinstance(error, PlatformRejected | RequestError)
        runtime.link.failed(PlatformUnavailable(reason), retry_s, refuses=lasts)
        self._lasting.say(
            (name, type(error), reason),
            "%s cannot be connected; trying again: %s",
            name,
            reason if known else type(error).__name__,
            level=logging.ERROR,
            error=None if known else error,
        )
        return retry_s

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
            endpoint = await self._sandbox_of(runtime)
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
        runtime.link.made(connector)
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

    async def _sandbox_of(self, runtime: PlatformRuntime) -> str:
        """Where the platform's own sandbox listens; begun with the first attempt to connect."""
        if runtime.name not in self._endpoints:
            sandbox = runtime.platform.sandbox()
            self._endpoints[runtime.name] = await sandbox.start()
            self._sandboxes[runtime.name] = sandbox
        return self._endpoints[runtime.name]

    async def _check_account(
        self, runtime: PlatformRuntime, account: str, connector: Connector
    ) -> None:
        """Raises AccountRefused when nothing may be sent to the account, or it cannot be told."""
        if not checks_account(runtime.settings, runtime.mode):
            return
        lasts = False
        try:
            facts = await connector.account()
            lasts = True
            check_account_currency(runtime.name, facts, runtime.currency_code)
        except ConnectorError as error:
            raise AccountRefused(
                PlatformUnavailable(
                    f"{runtime.name} cannot be used: {error.message}",
                    retry_after_s=error.retry_after_s,
                    metadata=error.metadata,
                ),
                lasts=lasts or isinstance(error, PlatformRejected | RequestError),
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
