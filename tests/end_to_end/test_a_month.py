"""A month of one ad account in simulated time: every admission held against a model of the windows.

The bids go through the whole server to the sandbox; the model is a list of what was admitted and
when, with the calendar of the standard library. The months are those in which the clocks change, so
that one day has 23 hours and another 25.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import grpc.aio
import pytest
from tests.end_to_end.conftest import Server

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors_server.app import Application
from smartconnectors_server.clock import NANOS_PER_SECOND, ManualClock
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage, Words

USD = 1_000_000
CENT = USD // 100
TEN_MINUTES_S, HALF_A_DAY_S = 600, 43_200
SLIDING, DAY, MONTH, TOTAL = 100 * USD, 250 * USD, 5_000 * USD, 260 * USD


@dataclass
class Model:
    """What was admitted, and what would fit."""

    zone: ZoneInfo
    admitted: list[tuple[datetime, int]] = field(default_factory=list)
    """Instants in UTC, and micros."""

    def used(self, now: datetime) -> tuple[int, int, int, int]:
        """In the last 10 minutes, on the day, in the month, and in the last half day."""
        here = now.astimezone(self.zone)

        def since(seconds: int) -> int:
            return sum(m for at, m in self.admitted if at > now - timedelta(seconds=seconds))

        local = [(at.astimezone(self.zone), micros) for at, micros in self.admitted]
        return (
            since(TEN_MINUTES_S),
            sum(micros for at, micros in local if at.date() == here.date()),
            sum(micros for at, micros in local if (at.year, at.month) == (here.year, here.month)),
            since(HALF_A_DAY_S),
        )

    def fits(self, now: datetime, micros: int) -> bool:
        limits = (SLIDING, DAY, MONTH, TOTAL)
        return all(u + micros <= most for u, most in zip(self.used(now), limits, strict=True))

    def on(self, day: date) -> int:
        return sum(m for at, m in self.admitted if at.astimezone(self.zone).date() == day)

    def too_near(self, now: datetime) -> bool:
        """True when something leaves a sliding window just now: that may be late by a moment."""
        ages_s = [(now - at).total_seconds() for at, _ in self.admitted]
        return any(abs(age_s - w) < 2 for age_s in ages_s for w in (TEN_MINUTES_S, HALF_A_DAY_S))


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def instants(day: date, zone: ZoneInfo, chance: random.Random) -> Iterator[datetime]:
    """When bids are made on a day: right after it begins, right before it ends, and between."""
    begins, ends = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    length_s = int((ends - begins).total_seconds())
    between = sorted(chance.sample(range(60, length_s - 60, 7), 4))
    for offset_s in (1, *between, between[-1] + 10, length_s - 1):
        if offset_s < length_s:
            yield begins + timedelta(seconds=offset_s)


class Account:
    """The server, its sandbox, and the model beside them."""

    def __init__(self, stage: Stage, zone: str, begins: date) -> None:
        self.zone = ZoneInfo(zone)
        self.stage = stage
        self.model = Model(self.zone)
        start = midnight(begins, self.zone) - timedelta(hours=30)
        self.clock = ManualClock(int(start.timestamp()) * NANOS_PER_SECOND)
        stage.sandbox.billed.time_zone = zone

    async def start(self) -> None:
        further = [
            {"limit": "250", "calendar": "day", "time_zone": self.zone.key},
            {"limit": "5000", "calendar": "month", "time_zone": self.zone.key},
        ]
        settings = self.stage.settings(
            {
                "budget": {"limit": "100", "window_s": TEN_MINUTES_S, "further_limits": further},
                "reported_spend": {"enabled": True, "on_reported_over": "pause_campaigns"},
                "total_budget": {"limit": "260", "window_s": HALF_A_DAY_S},
                "each": {name: {"enabled": name == "google_ads"} for name in PLATFORMS},
            }
        )
        app = Application(settings, clock=self.clock)
        self.server = Server(app, (await app.start()).grpc_address)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.wall_ns() // NANOS_PER_SECOND, UTC)

    def until(self, instant: datetime) -> None:
        self.clock.advance((instant - self.now).total_seconds())

    async def bid(self, say: Words, request_id: str, micros: int) -> bool:
        """Whether it was admitted, in the server's word."""
        try:
            await self.server.place(say.bid(request_id, micros / USD))
        except grpc.aio.AioRpcError as error:
            if "does not fit" not in (error.details() or ""):
                raise
            return False
        return True

    async def used(self) -> tuple[int, int, int, int]:
        """What the server counts, as `Model.used` has it."""
        ours, total = await self.server.stats(), await self.server.stats("total")
        day, month = ours.further_limits
        committed = (ours, day, month, total)
        return tuple(one.committed_micros for one in committed)  # type: ignore[return-value]

    async def report(self, say: Words) -> None:
        """Lets time pass until a report has been read that began after now."""
        begun_ns = self.clock.wall_ns()

        async def later() -> int:
            self.clock.advance(301)
            return (await self.server.stats()).reported_as_of.ToNanoseconds()

        await say.eventually(later, lambda as_of_ns: as_of_ns > begun_ns)

    def bill(self, today: date, overspent: date) -> None:
        """What the days cost: nearly all that was committed today, exactly that before; on one day
        a cent more, as is known on the next.
        """
        bill = self.stage.sandbox.billed.bill
        bill("1001", today, self.model.on(today) * 9 // 10)
        before = today - timedelta(days=1)
        bill("1001", before, self.model.on(before) + (CENT if before == overspent else 0))

    async def told(self) -> list[budgets_pb2.LedgerEntry]:
        """The audit lines that say that more was reported."""
        request = budgets_pb2.ListLedgerEntriesRequest(page_size=1000)
        found: list[Any] = []
        while True:
            page = await self.server.budgets.ListLedgerEntries(request)
            found += [line for line in page.entries if line.verb == "alert" and line.platform]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


@pytest.mark.parametrize(
    ("zone", "first", "odd_day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 1), date(2026, 3, 29), 23),
        pytest.param(
            "Europe/Berlin", date(2026, 10, 1), date(2026, 10, 25), 25, marks=pytest.mark.soak
        ),
        pytest.param(
            "America/New_York", date(2026, 3, 1), date(2026, 3, 8), 23, marks=pytest.mark.soak
        ),
        ("America/New_York", date(2026, 11, 1), date(2026, 11, 1), 25),
    ],
)
async def test_a_month_admits_what_every_window_admits_and_one_overspent_day_pauses_once(
    stage: Stage, say: Words, zone: str, first: date, odd_day: date, hours: int
) -> None:
    account = Account(stage, zone, first)
    model, chance = account.model, random.Random(f"{zone} {first}")
    odd = midnight(odd_day + timedelta(days=1), account.zone) - midnight(odd_day, account.zone)
    assert odd == timedelta(hours=hours)
    await account.start()
    overspent = first + timedelta(days=14)
    sent: dict[str, bool] = {}
    day = first
    while day.month == first.month:
        for number, instant in enumerate(instants(day, account.zone, chance)):
            if number == 2:
                account.bill(day, overspent)
                await account.report(say)
            account.until(max(instant, account.now))
            if account.now.astimezone(account.zone).date() != day or model.too_near(account.now):
                continue
            request_id = f"bid-{len(sent)}"
            micros = chance.randrange(2_000, 9_000) * CENT + len(sent) % 7 * CENT
            expected = model.fits(account.now, micros)
            assert await account.bid(say, request_id, micros) is expected, (account.now, micros)
            sent[request_id] = expected
            if expected:
                model.admitted.append((account.now, micros))
            assert await account.used() == model.used(account.now), account.now
        day += timedelta(days=1)
    changes = [entry.facts for entry in stage.mutates()]
    bids = [facts["custom_parameters"] for facts in changes if "custom_parameters" in facts]
    applied = {parameters["kikireq"] for parameters in bids}
    assert applied == {request_id for request_id, admitted in sent.items() if admitted}
    assert len(applied) > 60
    assert len(sent) - len(applied) > 30
    assert [(line.verb, *line.budget_ids) for line in await account.told()] == [
        ("alert", "google_ads")
    ]
    assert overspent.isoformat() in (await account.told())[0].note
    stops = [(facts["campaign_id"], facts["status"]) for facts in changes if "status" in facts]
    assert stops == [("1001", "PAUSED")]
    await account.server.stop()
