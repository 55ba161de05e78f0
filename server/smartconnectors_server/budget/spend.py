"""Reported spend: what platforms say they billed, read back, kept, held against the committed.

Committed is what a platform accepted from us; reported is what it says it billed by that, which may
be more: settings made by others, campaigns that go on. It is shown beside the first and never
counts against a limit. That it is more is told once for each budget and day of the ad account.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from smartconnectors_server.budget.watch import Watch
from smartconnectors_server.clock import Clock
from smartconnectors_server.errors import ConnectorError, RateLimited
from smartconnectors_server.ledger import (
    ACCOUNT,
    Ledger,
    LedgerError,
    ReportedDay,
    bounds_ns,
    local_day,
)
from smartconnectors_server.money import format_amount
from smartconnectors_server.telemetry import Lasting
from smartconnectors_server.zones import UnknownZone

CORRECTED_DAYS = 3
"""Platforms correct a day's figure for some days, so these are read again each time."""
SOONEST_S = 1.0

PauseCampaigns = Callable[[str, tuple[str, ...], str], Awaitable[object]]
"""(platform, campaign ids, reason): pauses campaigns at the platform. Raises ConnectorError."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpendRow:
    """What an account says that one campaign was billed on one of its days."""

    campaign_id: str
    day: date
    spend_micros: int
    currency_code: str


@dataclass(frozen=True, slots=True)
class SpendReport:
    """One report of an ad account.

    Attributes:
        time_zone: the account's, an IANA name; its days are the rows' days.
        rows: by campaign and day; what was billed nothing may be missing.
    """

    time_zone: str
    rows: tuple[SpendRow, ...]


@dataclass(frozen=True, slots=True)
class SpendRules:
    """How one platform is asked, and what follows.

    Attributes:
        interval_s: from one report to the next.
        compared: whether what is reported is held against what was committed. Not in shadow mode,
            where nothing that is billed was bid from here.
        tolerance_micros: how much more may be reported.
        pauses: whether the campaigns that were billed are paused then.
    """

    interval_s: float = 900.0
    compared: bool = True
    tolerance_micros: int = 0
    pauses: bool = False


class SpendReports:
    """Reads every platform's reports, one task each, so that a slow one delays no other."""

    def __init__(
        self,
        ledger: Ledger,
        watch: Watch,
        clock: Clock,
        read: Callable[[str, date], Awaitable[SpendReport | None]],
        rules: Mapping[str, SpendRules],
        pause: PauseCampaigns,
    ) -> None:
        """`read` is the connector's `reported_spend`, by platform."""
        self._ledger = ledger
        self._watch = watch
        self._clock = clock
        self._read = read
        self._rules = rules
        self._pause = pause
        self._failing: dict[str, str] = {}
        self._lasting = Lasting(log, clock)

    async def run(self) -> None:
        """Reads for ever."""
        async with asyncio.TaskGroup() as tasks:
            for platform in self._rules:
                tasks.create_task(self._run(platform), name=f"spend of {platform}")

    async def _run(self, platform: str) -> None:
        interval_s = self._rules[platform].interval_s
        while True:
            wait_s = interval_s
            try:
                await self.read_once(platform)
            except RateLimited as error:
                wait_s = min(interval_s, max(SOONEST_S, error.retry_after_s or interval_s))
                self._failed(platform, f"reports have to wait, bids have not: {error.message}")
            except (ConnectorError, LedgerError, UnknownZone) as error:
                self._failed(platform, str(error))
            except Exception as error:  # noqa: BLE001 - logged with its traceback
                # If this task died of it, nothing would be read any more.
                what = "%s: unforeseen error while reported spend was read"
                key = (platform, type(error))
                self._lasting.say(key, what, platform, level=logging.ERROR, error=error)
            else:
                if self._failing.pop(platform, None):
                    log.info("%s: reported spend can be read again", platform)
            await self._clock.sleep(wait_s)

    def _failed(self, platform: str, why: str) -> None:
        """Says it once, not at every attempt."""
        if self._failing.get(platform) is None:
            log.warning("%s: reported spend could not be read: %s", platform, why)
        self._failing[platform] = why

    async def read_once(self, platform: str) -> None:
        """Reads one report, keeps it, and tells what is over. Raises what reading raises,
        LedgerError and UnknownZone.
        """
        since = local_day(self._ledger.now_ns(), "UTC") - timedelta(days=CORRECTED_DAYS + 1)
        report = await self._read(platform, since)
        if report is None:
            return
        days = self._days_of(platform, report, since)
        await self._ledger.reported.keep(days)
        self._watch.changed()
        if self._rules[platform].compared:
            await self._compare(platform, days)

    def _days_of(self, platform: str, report: SpendReport, since: date) -> list[ReportedDay]:
        """What the report makes known: its rows, that it was made, and that a campaign which it
        does not name any more was billed nothing on a day.
        """
        now_ns = self._ledger.now_ns()
        today = local_day(now_ns, report.time_zone)

        def day_of(campaign_id: str, day: str, micros: int, currency_code: str) -> ReportedDay:
            return ReportedDay(
                platform, campaign_id, day, micros, currency_code, report.time_zone, now_ns
            )

        length = (today - since).days + 1
        covered = [(since + timedelta(days=number)).isoformat() for number in range(length)]
        days = {(ACCOUNT, day): day_of(ACCOUNT, day, 0, "") for day in covered}
        for known in self._ledger.reported.days(platform):
            if known.day in covered and known.campaign_id != ACCOUNT:
                days[known.campaign_id, known.day] = day_of(
                    known.campaign_id, known.day, 0, known.currency_code
                )
        for row in report.rows:
            day = row.day.isoformat()
            days[row.campaign_id, day] = day_of(
                row.campaign_id, day, row.spend_micros, row.currency_code
            )
        return list(days.values())

    async def _compare(self, platform: str, days: Sequence[ReportedDay]) -> None:
        """Holds every day that lies wholly in the ledger's time against what was committed on it;
        of days before and of the first one, what was committed is not known.
        """
        reported = self._ledger.reported
        began_ns = await reported.began_ns()
        by_day: dict[str, list[ReportedDay]] = {}
        for one in days:
            by_day.setdefault(one.day, []).append(one)
        for day in sorted(by_day):
            if bounds_ns(date.fromisoformat(day), by_day[day][0].time_zone)[0] < began_ns:
                continue
            await self._compare_budget(platform, by_day[day])
            for one in by_day[day]:
                if one.campaign_id != ACCOUNT:
                    await self._compare_budget(f"{platform}/campaigns/{one.campaign_id}", [one])

    async def _compare_budget(self, budget_id: str, days: Sequence[ReportedDay]) -> None:
        """Of one budget and day, for which `days` are what was reported."""
        if budget_id not in self._ledger.budget_ids():
            return
        first = days[0]
        rules = self._rules[first.platform]
        currency = self._ledger.state(budget_id).currency_code
        if any(one.currency_code != currency for one in days if one.campaign_id != ACCOUNT):
            return  # shown by day and campaign, and not comparable
        spend_micros = sum(one.spend_micros for one in days)
        reported, day = self._ledger.reported, first.day
        known = reported.over(budget_id, day)
        if spend_micros == 0 or (known is not None and (known.acted or not rules.pauses)):
            return
        committed_micros = await reported.committed_on(
            budget_id, date.fromisoformat(day), first.time_zone
        )
        if spend_micros <= committed_micros + rules.tolerance_micros:
            return
        note = (
            f"REPORTED: {first.platform} reports {format_amount(spend_micros, currency)} for {day} "
            f"({first.time_zone}), {format_amount(committed_micros, currency)} were committed"
        )
        await reported.tell_over(budget_id, first.platform, day, spend_micros, note)
        if rules.pauses:
            billed = tuple(
                sorted(one.campaign_id for one in days if one.campaign_id and one.spend_micros)
            )
            await self._pause(first.platform, billed, f"budget {budget_id}: {note}")
            await reported.acted(budget_id, day)
