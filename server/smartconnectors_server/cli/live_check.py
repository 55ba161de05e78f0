"""`check-config --live`: asks each configured account who it is, how long it takes to say so, and
what a bid on each of its campaigns would move.

Reads only. It opens no ledger, so it can run beside a server, whose calls it does not know of.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from smartconnectors_server.cli import campaign_table

if TYPE_CHECKING:
    from smartconnectors_server.clock import Clock
    from smartconnectors_server.connector import (
        AccountCampaigns,
        AccountFacts,
        Platform,
        QuotaSignal,
        Traffic,
    )
    from smartconnectors_server.outgoing_proxy import Outgoing
    from smartconnectors_server.ratelimit import RateLimiter
    from smartconnectors_server.settings import PlatformSettings, Settings

NOT_TOLD = "not told by the API"
COLUMNS = (
    "platform",
    "account",
    "id",
    "name",
    "currency",
    "time zone",
    "quota tier",
    "p95",
)
_STEPS_MS = (500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000, 600_000)
_ROOM = 3
"""A threshold is proposed that many times above what was measured: changes take longer."""


@dataclass(slots=True)
class AccountReport:
    """What one account said, and what does not fit the settings."""

    platform: str
    account: str
    facts: AccountFacts
    campaigns: AccountCampaigns | None = None
    durations_ms: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Platform and account."""
        return f"{self.platform} {self.account}".strip()

    @property
    def p95_ms(self) -> float | None:
        """So many milliseconds were enough for 95 % of the reads; None: nothing was read."""
        ordered = sorted(self.durations_ms)
        return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else None

    @property
    def row(self) -> list[str]:
        """As COLUMNS."""
        facts, p95 = self.facts, self.p95_ms
        measured = "–" if p95 is None else f"{p95:.0f} ms of {len(self.durations_ms)}"
        told = (
            facts.account_id,
            facts.name,
            facts.currency_code,
            facts.time_zone,
            facts.quota_tier,
        )
        shown = [one or NOT_TOLD for one in told]
        return [self.platform, self.account or "–", *shown, measured]

    @property
    def document(self) -> dict[str, Any]:
        """For `--json`. What the platform does not tell is null."""
        facts = self.facts
        return {
            "platform": self.platform,
            "account": self.account,
            "account_id": facts.account_id or None,
            "name": facts.name or None,
            "currency_code": facts.currency_code or None,
            "time_zone": facts.time_zone or None,
            "quota_tier": facts.quota_tier or None,
            "reads": len(self.durations_ms),
            "p95_ms": self.p95_ms,
            "problems": self.problems,
            **campaign_table.document_of(self.campaigns),
        }


class PacedGate:
    """Lets reads through as the configured rate limit has room for them, and times them."""

    def __init__(self, limiter: RateLimiter, clock: Clock, durations_ms: list[float]) -> None:
        self._limiter = limiter
        self._clock = clock
        self._durations_ms = durations_ms

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic | None = None) -> AsyncIterator[None]:
        from smartconnectors_server.errors import RateLimited

        del what, traffic
        while True:
            try:
                await self._limiter.take()
                break
            except RateLimited as error:
                await self._clock.sleep(error.retry_after_s or 1.0)
        started_ns = self._clock.monotonic_ns()
        yield
        self._durations_ms.append((self._clock.monotonic_ns() - started_ns) / 1e6)

    def report(self, what: str) -> AbstractAsyncContextManager[None]:
        return self.read(what)

    def urgent(self) -> AbstractContextManager[None]:
        return nullcontext()

    def tighten(self, signal: QuotaSignal) -> None:
        from smartconnectors_server.connector import Traffic

        if signal.binds and Traffic.BIDS not in signal.binds:
            return  # it asks for no report
        self._limiter.tighten(
            retry_after_s=signal.retry_after_s, usage_percent=signal.usage_percent
        )


class _NoStore:
    """Calls that nobody has to remember."""

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        """Forgets them."""

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        """None were made."""
        del platform, since_ns
        return ()


async def look(settings: Settings, reads: int) -> list[AccountReport]:
    """Asks every account of every platform that is enabled and has something to ask: one that
    would be run in a sandbox of its own has not.

    Raises StartupError when `serve` would not start.
    """
    from smartconnectors_server.assembly import mode_of, settings_of
    from smartconnectors_server.connector import Mode
    from smartconnectors_server.outgoing_proxy import Outgoing
    from smartconnectors_server.platforms import PLATFORMS

    outgoing = Outgoing(settings.outgoing)
    reports = []
    for platform in PLATFORMS.values():
        chosen = settings_of(settings, platform.name)
        if not chosen.enabled:
            continue
        mode = mode_of(platform, settings)
        if mode is not Mode.SANDBOX or chosen.endpoint is not None:
            reports += await _look_at(platform, chosen, mode, reads, outgoing)
    return reports


async def _look_at(
    platform: Platform, chosen: PlatformSettings, mode: Any, reads: int, outgoing: Outgoing
) -> list[AccountReport]:
    from smartconnectors_server.assembly import accounts_of
    from smartconnectors_server.cli import output
    from smartconnectors_server.clock import SystemClock
    from smartconnectors_server.connector import AccountFacts, Context
    from smartconnectors_server.ratelimit import RateLimiter

    clock = SystemClock()
    limiter = RateLimiter(
        platform.name,
        _NoStore(),
        clock.wall_ns,
        limit=chosen.rate_limit.calls or platform.defaults.rate_limit_calls,
        window_s=chosen.rate_limit.window_s or platform.defaults.rate_limit_window_s,
        burst=chosen.rate_limit.burst,
    )
    await limiter.open()
    reports = []
    for name, options in accounts_of(platform, chosen).items():
        if output.on_terminal():
            output.say(f"{platform.name} {name}: reading {reads} times …", err=True)
        report = AccountReport(platform.name, name, AccountFacts())
        gate = PacedGate(limiter, clock, report.durations_ms)
        context = Context(
            mode,
            options,
            chosen.endpoint,
            chosen.timeout_ms,
            gate,
            clock,
            outgoing=outgoing,
        )
        await _ask(report, platform.connector(context), reads)
        report.problems += _problems(report, chosen)
        reports.append(report)
    return reports


async def _ask(report: AccountReport, connector: Any, reads: int) -> None:
    from smartconnectors_server.connector import AccountFacts
    from smartconnectors_server.errors import ConnectorError

    try:
        await connector.connect()
        await connector.account()  # the first one also connects and logs in
        report.durations_ms.clear()
        for _ in range(reads):
            report.facts = await connector.account()
            if report.facts == AccountFacts():
                break  # nothing is told, so nothing was read
        await _ask_for_campaigns(report, connector)
    except ConnectorError as error:
        report.problems.append(f"it cannot be read: {error.message}")
    finally:
        await connector.close()


async def _ask_for_campaigns(report: AccountReport, connector: Any) -> None:
    from smartconnectors_server.errors import ConnectorError

    measured = len(report.durations_ms)
    try:
        report.campaigns = await connector.campaigns()
    except ConnectorError as error:
        report.problems.append(f"its campaigns cannot be read: {error.message}")
    del report.durations_ms[measured:]  # a listing takes longer than what a bid reads


def _problems(report: AccountReport, chosen: PlatformSettings) -> list[str]:
    """What does not fit the settings."""
    from smartconnectors_server.connector import check_account_currency
    from smartconnectors_server.errors import PlatformUnavailable

    found = []
    try:
        check_account_currency(report.platform, report.facts, chosen.budget.currency)
    except PlatformUnavailable as error:
        found.append(error.message)
    slow_ms = chosen.circuit_breaker.slow_call_ms
    if (p95 := report.p95_ms) is not None and p95 > slow_ms:
        better = next((step for step in _STEPS_MS if step >= _ROOM * p95), _STEPS_MS[-1])
        found.append(
            f"p95 of reads {p95:.0f} ms: above slow_call_ms = {slow_ms}; the circuit breaker would "
            f"open; set {better}"
        )
    return found


def print_reports(reports: Sequence[AccountReport]) -> None:
    """For people."""
    from smartconnectors_server.cli import output

    empty = "Nothing to ask: every platform would run in a sandbox of its own."
    output.print_table(COLUMNS, [report.row for report in reports], empty=empty)
    for report in reports:
        for problem in report.problems:
            output.say(f"{report.title}: {problem}")
    for report in reports:
        if report.campaigns is not None:
            campaign_table.print_table(report.title, report.campaigns)
        elif not report.problems:
            output.say("", f"{report.title}, campaigns: {NOT_TOLD}")
