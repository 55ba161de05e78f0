"""What platforms say they billed, by campaign and day of the account: kept, and summed for today.

It is no part of the audit chain, because a platform corrects it and it decides about no admission.
That a platform reports more than was committed is a line there, recorded once for a budget and day.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol, TypeVar

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.ledger.records import (
    ReportedPeriod,
    Step,
    campaign_scope,
    platform_and_campaign,
)
from smartconnectors_server.ledger.totals import COUNTS_IN, TOTAL
from smartconnectors_server.zones import UnknownZone, zone_of

KEPT_DAYS = 92
ACCOUNT = ""
"""In place of a campaign: the report itself, so that a day without spend is known as one. It has no
currency."""

# Every time zone's days begin at a quarter of an hour, so a figure for today holds until the next.
_QUARTER_NS = 900 * NANOS_PER_SECOND

Seen = TypeVar("Seen")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReportedDay:
    """What one platform says that one campaign was billed on one day of the ad account.

    `day` is ISO 8601, in `time_zone` (an IANA name); `as_of_ns` is ledger time.
    """

    platform: str
    campaign_id: str
    day: str
    spend_micros: int
    currency_code: str
    time_zone: str
    as_of_ns: int

    @property
    def date(self) -> date:
        """The day."""
        return date.fromisoformat(self.day)

    @property
    def key(self) -> tuple[str, str, str]:
        """What a later report of the same replaces."""
        return self.platform, self.campaign_id, self.day


@dataclass(frozen=True, slots=True)
class Over:
    """That more was reported for a budget and day than was committed is on record.

    `acted`: what was to be done about it has been done.
    """

    budget_id: str
    day: str
    acted: bool


class ReportedStore(Protocol):
    """Where it is kept: the ledger's file."""

    def reported_days(self) -> list[ReportedDay]:
        """Everything that is kept."""
        ...

    def overs(self) -> list[Over]:
        """Every budget and day that was on record as over."""
        ...

    def committed_between(self, budget_id: str, from_ns: int, until_ns: int) -> int:
        """What was committed in a budget from an instant on and before another, in micros."""
        ...

    def first_at_ns(self) -> int | None:
        """When the ledger began; None: it has not."""
        ...


def local_day(now_ns: int, time_zone: str) -> date:
    """The day in a time zone. Raises UnknownZone."""
    return datetime.fromtimestamp(now_ns // NANOS_PER_SECOND, zone_of(time_zone)).date()


def bounds_ns(day: date, time_zone: str) -> tuple[int, int]:
    """When a day of a time zone begins and ends: 23 hours, 24 or 25. Raises UnknownZone."""
    zone = zone_of(time_zone)
    begins, ends = (
        int(datetime.combine(each, time(), zone).timestamp()) * NANOS_PER_SECOND
        for each in (day, day + timedelta(days=1))
    )
    return begins, ends


class Reported:
    """The reported figures of one ledger. Memory is the truth while the process lives."""

    def __init__(
        self,
        *,
        write: Callable[[Sequence[ReportedDay], Sequence[Over], Step | None], Awaitable[None]],
        read: Callable[[Callable[[ReportedStore], object]], Awaitable[object]],
        record: Callable[[str, str, int, str], Step],
    ) -> None:
        """`write` makes durable, `read` looks into the store behind what is being written, `record`
        makes the audit line of (budget, platform, micros, note).
        """
        self._write = write
        self._read = read
        self._record = record
        self._days: dict[str, dict[tuple[str, str], ReportedDay]] = {}
        self._overs: dict[tuple[str, str], Over] = {}
        self._sums: dict[str, tuple[int, ReportedPeriod | None]] = {}
        self._unknown_zones: set[str] = set()

    def restore(self, store: ReportedStore) -> None:
        """Takes up what was kept. Raises sqlite3.Error."""
        self._days.clear()
        for day in store.reported_days():
            self._take(day)
        self._overs = {(over.budget_id, over.day): over for over in store.overs()}
        self._sums.clear()

    # Looking

    def days(self, platform: str = "") -> tuple[ReportedDay, ...]:
        """Of one platform or of all, the reports themselves (ACCOUNT) included."""
        return tuple(
            one
            for of_day in self._days.values()
            for one in of_day.values()
            if not platform or one.platform == platform
        )

    def latest(self, platform: str, days: int, now_ns: int) -> list[ReportedDay]:
        """What one platform, or all, reported of the last `days` days of the account: newest first,
        then by platform and campaign.
        """
        found = (
            one
            for one in self.days(platform)
            if one.campaign_id != ACCOUNT and self._is_among_the_last(days, one, now_ns)
        )
        return sorted(found, key=lambda one: (-one.date.toordinal(), one.platform, one.campaign_id))

    def today(self, budget_id: str, currency_code: str, now_ns: int) -> ReportedPeriod | None:
        """What was billed in a budget's scope on the present day of each ad account in it; None
        while that is not known, or not in this currency.
        """
        if not self._days:
            return None
        quarter = now_ns // _QUARTER_NS
        known = self._sums.get(budget_id)
        if known is None or known[0] != quarter:
            known = (quarter, self._sum(budget_id, currency_code, now_ns))
            self._sums[budget_id] = known
        return known[1]

    def over(self, budget_id: str, day: str) -> Over | None:
        """What is on record of a budget and day."""
        return self._overs.get((budget_id, day))

    async def began_ns(self) -> int:
        """When the ledger began: before it, nothing that was committed is known. Raises
        Unavailable.
        """
        found = await self._read(lambda store: store.first_at_ns())
        assert isinstance(found, int)
        return found

    async def committed_on(self, budget_id: str, day: date, time_zone: str) -> int:
        """What was committed in a budget on a day of a time zone, in micros. Raises Unavailable."""
        begins, ends = bounds_ns(day, time_zone)
        found = await self._read(lambda store: store.committed_between(budget_id, begins, ends))
        assert isinstance(found, int)
        return found

    # Changing

    async def keep(self, days: Sequence[ReportedDay]) -> None:
        """Takes over what was reported, corrections included; durable on return. Raises
        Unavailable.
        """
        for day in days:
            self._take(day)
        for old in sorted(self._days)[:-KEPT_DAYS]:
            del self._days[old]
        self._sums.clear()
        await self._write(days, (), None)

    async def tell_over(
        self, budget_id: str, platform: str, day: str, spend_micros: int, note: str
    ) -> bool:
        """Puts on record, once for a budget and day, that more was reported than committed; durable
        on return. False when it was on record. Raises KeyError, Unavailable.
        """
        if (budget_id, day) in self._overs:
            return False
        step = self._record(budget_id, platform, spend_micros, note)
        over = self._overs[budget_id, day] = Over(budget_id, day, False)
        await self._write((), (over,), step)
        return True

    async def acted(self, budget_id: str, day: str) -> None:
        """Remembers that what was to be done about it has been done. Raises Unavailable."""
        over = self._overs[budget_id, day] = Over(budget_id, day, True)
        await self._write((), (over,), None)

    # Parts

    def _is_today(self, day: ReportedDay, now_ns: int) -> bool | None:
        """Whether it is this day in its time zone; None where the zone is not known."""
        try:
            return day.date == local_day(now_ns, day.time_zone)
        except UnknownZone as error:
            self._say(error, day.platform)
            return None

    def _is_among_the_last(self, days: int, one: ReportedDay, now_ns: int) -> bool:
        """Of a zone that is not known, the day may be one ahead of or behind the one of UTC."""
        try:
            return 0 <= (local_day(now_ns, one.time_zone) - one.date).days < days
        except UnknownZone as error:
            self._say(error, one.platform)
            return -1 <= (local_day(now_ns, "UTC") - one.date).days <= days

    def _say(self, error: UnknownZone, platform: str) -> None:
        """Once for each zone: every look at a budget comes here."""
        if error.name not in self._unknown_zones:
            self._unknown_zones.add(error.name)
            log.warning("%s: what was reported for today cannot be shown: %s", platform, error)

    def _take(self, day: ReportedDay) -> None:
        self._days.setdefault(day.day, {})[day.platform, day.campaign_id] = day

    def _sum(self, budget_id: str, currency_code: str, now_ns: int) -> ReportedPeriod | None:
        platform, campaign_id = platform_and_campaign(budget_id) or (budget_id, None)
        around = local_day(now_ns, "UTC")
        near = [
            (day, self._is_today(day, now_ns))
            for ahead in (-1, 0, 1)  # it may be another day there
            for day in self._days.get((around + timedelta(days=ahead)).isoformat(), {}).values()
            if budget_id == TOTAL or day.platform == platform
        ]
        if any(is_today is None for _, is_today in near):
            return None
        days = [day for day, is_today in near if is_today]
        asked = [day for day in days if day.campaign_id == ACCOUNT]
        counted = [day for day in days if campaign_id is None or day.campaign_id == campaign_id]
        currencies = {day.currency_code for day in counted if day.campaign_id != ACCOUNT}
        if not asked or currencies - {currency_code}:
            return None
        periods = sorted({f"{day.day} {day.time_zone}" for day in asked})
        return ReportedPeriod(
            spend_micros=sum(day.spend_micros for day in counted),
            as_of_ns=min(day.as_of_ns for day in asked),
            period=", ".join(periods),
        )


# The tables

SCHEMA = """
CREATE TABLE IF NOT EXISTS reported (
    platform TEXT NOT NULL,
    campaign_id TEXT NOT NULL,
    day TEXT NOT NULL,
    spend_micros INTEGER NOT NULL,
    currency_code TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    as_of_ns INTEGER NOT NULL,
    PRIMARY KEY (platform, campaign_id, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reported_over (
    budget_id TEXT NOT NULL,
    day TEXT NOT NULL,
    acted INTEGER NOT NULL,
    PRIMARY KEY (budget_id, day)
) STRICT, WITHOUT ROWID;
"""


def write_days(writer: sqlite3.Connection, days: Iterable[ReportedDay]) -> None:
    """Inside a transaction. Raises sqlite3.Error."""
    rows = [
        (*day.key, day.spend_micros, day.currency_code, day.time_zone, day.as_of_ns) for day in days
    ]
    writer.executemany("INSERT OR REPLACE INTO reported VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def write_overs(writer: sqlite3.Connection, overs: Iterable[Over]) -> None:
    """Inside a transaction. Raises sqlite3.Error."""
    rows = [(over.budget_id, over.day, int(over.acted)) for over in overs]
    writer.executemany("INSERT OR REPLACE INTO reported_over VALUES (?, ?, ?)", rows)


def forget_days(writer: sqlite3.Connection) -> None:
    """All but the newest. Raises sqlite3.Error."""
    row = writer.execute(
        "SELECT min(day) FROM (SELECT DISTINCT day FROM reported ORDER BY day DESC LIMIT ?)",
        (KEPT_DAYS,),
    ).fetchone()
    writer.execute("DELETE FROM reported WHERE day < ?", row)
    writer.execute("DELETE FROM reported_over WHERE day < ?", row)


def forget_reports(writer: sqlite3.Connection, platform: str) -> None:
    """Everything that the platform told until now. Raises sqlite3.Error."""
    writer.execute("DELETE FROM reported WHERE platform = ?", (platform,))
    writer.execute(
        "DELETE FROM reported_over WHERE budget_id = ?1 OR substr(budget_id, 1, ?2) = ?3",
        (platform, len(campaign_scope(platform, "")), campaign_scope(platform, "")),
    )


class ReportedTables:
    """Looks at the tables, and at the audit lines for what was committed."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader

    def reported_days(self) -> list[ReportedDay]:
        return [ReportedDay(*row) for row in self._reader.execute("SELECT * FROM reported")]

    def overs(self) -> list[Over]:
        rows = self._reader.execute("SELECT * FROM reported_over")
        return [Over(str(budget_id), str(day), bool(acted)) for budget_id, day, acted in rows]

    def committed_between(self, budget_id: str, from_ns: int, until_ns: int) -> int:
        row = self._reader.execute(
            "SELECT coalesce(sum(amount_micros), 0) FROM entries"  # noqa: S608 - a constant
            " WHERE verb IN ('settle', 'settle_late') AND at_ns >= :from_ns AND at_ns < :until_ns"
            f" AND {COUNTS_IN}",
            {"from_ns": from_ns, "until_ns": until_ns, "budget_id": budget_id},
        ).fetchone()
        return int(row[0])

    def first_at_ns(self) -> int | None:
        row = self._reader.execute("SELECT at_ns FROM entries ORDER BY sequence LIMIT 1").fetchone()
        return None if row is None else int(row[0])
