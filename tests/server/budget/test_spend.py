"""Reported spend: kept with its age, corrected, and told once when it passes what was committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import USD, ask, budget

from smartconnectors_server.budget import (
    SpendReport,
    SpendReports,
    SpendRow,
    SpendRules,
    Watch,
)
from smartconnectors_server.clock import NANOS_PER_SECOND, ManualClock
from smartconnectors_server.errors import PlatformUnavailable
from smartconnectors_server.ledger import AlertKind, BudgetState, ReportedPeriod
from smartconnectors_server.ledger.sqlite import SqliteLedger

BERLIN = "Europe/Berlin"
DAY = date(2026, 11, 24)
DAY_NS = 86_400 * NANOS_PER_SECOND
CAMPAIGN = "google_ads/campaigns/1001"


def at(text: str) -> int:
    """UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NANOS_PER_SECOND


@dataclass
class Account:
    """An ad account: what it reports, and what it was told to pause."""

    rows: list[SpendRow] = field(default_factory=list)
    time_zone: str = BERLIN
    asked: list[date] = field(default_factory=list)
    paused: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    fails: bool = False

    def bill(self, campaign_id: str, usd: float, day: date = DAY, currency: str = "USD") -> None:
        self.rows = [row for row in self.rows if (row.campaign_id, row.day) != (campaign_id, day)]
        self.rows.append(SpendRow(campaign_id, day, round(usd * USD), currency))

    async def read(self, _platform: str, since: date) -> SpendReport:
        self.asked.append(since)
        return SpendReport(self.time_zone, tuple(row for row in self.rows if row.day >= since))

    async def pause(self, platform: str, campaign_ids: tuple[str, ...], _reason: str) -> None:
        if self.fails:
            raise PlatformUnavailable("it cannot be reached")
        self.paused.append((platform, campaign_ids))


@dataclass
class House:
    directory: Path
    clock: ManualClock
    account: Account = field(default_factory=Account)
    rules: SpendRules = field(default_factory=SpendRules)

    async def open(self) -> None:
        self.ledger = SqliteLedger(self.directory, self.clock, gather_ms=1)
        await self.ledger.open([budget(), budget(CAMPAIGN), budget("meta"), budget("total")])
        self.watch = Watch(self.ledger, self.clock)
        self.reports = SpendReports(
            self.ledger,
            self.watch,
            self.clock,
            self.account.read,
            {"google_ads": self.rules},
            self.account.pause,
        )

    async def restart(self) -> None:
        await self.ledger.close()
        await self.open()

    async def read(self) -> None:
        await self.reports.read_once("google_ads")

    def reported(self, budget_id: str = "google_ads") -> ReportedPeriod | None:
        return self.ledger.state(budget_id).reported

    def spend_micros(self, budget_id: str = "google_ads") -> int | None:
        reported = self.reported(budget_id)
        return None if reported is None else reported.spend_micros

    async def commit(self, request_id: str, usd: float) -> None:
        hold = await self.ledger.reserve(
            ask(request_id, round(usd * USD), budget_ids=("google_ads", CAMPAIGN))
        )
        await self.ledger.settle(hold.hold_id)

    async def told(self) -> list[tuple[str, str]]:
        """(budget, note) of every line that says that more was reported."""
        lines = (await self.ledger.entries()).rows
        return [
            (line.budget_ids[0], line.note) for line in lines if line.platform and not line.hold_id
        ]

    def until(self, text: str) -> None:
        self.clock.advance_ns(at(text) - self.clock.wall_ns())


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The ledger begins on the 22nd; it is noon of the 24th in Berlin."""
    house = House(tmp_path, ManualClock(at("2026-11-22T12:00")))
    await house.open()
    house.until("2026-11-24T11:00")
    yield house
    await house.ledger.close()


async def test_a_zone_that_is_not_known_here_makes_the_report_unknown_and_is_said_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a ledger is opened on an image that lacks the zone."""
    await house.commit("a", 5)
    house.account.bill("1001", 30)
    await house.read()
    days = [replace(one, time_zone="Asia/Nowhere") for one in house.ledger.reported.days()]
    await house.ledger.reported.keep(days)
    await house.restart()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for budget_id in ("google_ads", CAMPAIGN, "total"):
                assert house.reported(budget_id) is None
            house.clock.advance(3600)
        assert house.reported("meta") is None
        shown = house.ledger.reported.latest("", 2, house.ledger.now_ns())
    assert [one.campaign_id for one in shown] == ["1001"]
    assert house.ledger.reported.latest("", 2, house.ledger.now_ns() + 9 * DAY_NS) == []
    assert caplog.text.count("Asia/Nowhere") == 1
    assert "google_ads: what was reported for today cannot be shown" in caplog.text
    await house.commit("b", 5)  # bids go on
    await house.read()
    assert house.spend_micros() == 30 * USD, "the next report is of a zone that is known"


async def test_a_report_in_a_zone_that_is_not_known_here_is_not_taken_and_that_is_said_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.account.bill("1001", 30)
    house.account.time_zone = "Asia/Nowhere"
    reading = asyncio.ensure_future(house.reports.run())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for _ in range(20):
                await asyncio.sleep(0)
            house.clock.advance(900)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert len(house.account.asked) >= 2
    assert caplog.text.count("Asia/Nowhere") == 1
    assert "google_ads: reported spend could not be read: the time zone" in caplog.text
    assert "Traceback" not in caplog.text


async def test_nothing_is_shown_before_the_platform_was_asked(house: House) -> None:
    assert house.reported() is None


async def test_what_is_reported_today_is_shown_with_the_time_it_was_said(house: House) -> None:
    house.account.bill("1001", 12.5)
    house.account.bill("1002", 2)
    house.account.bill("1001", 99, DAY - timedelta(days=1))
    await house.read()
    said_ns = house.ledger.now_ns()
    house.clock.advance(60)
    assert house.reported() == ReportedPeriod(14_500_000, said_ns, "2026-11-24 Europe/Berlin")
    assert house.spend_micros(CAMPAIGN) == 12_500_000
    assert house.spend_micros("total") == 14_500_000
    assert house.reported("meta") is None


async def test_an_account_that_was_billed_nothing_reports_nothing_spent(house: House) -> None:
    await house.read()
    assert house.spend_micros() == 0
    assert house.spend_micros(CAMPAIGN) == 0


async def test_a_restart_keeps_what_was_reported(house: House) -> None:
    house.account.bill("1001", 12.5)
    await house.read()
    before = house.reported()
    await house.restart()
    assert house.reported() == before


async def test_the_figure_of_a_day_is_not_shown_for_the_next(house: House) -> None:
    house.account.bill("1001", 12.5)
    await house.read()
    house.until("2026-11-24T22:59")  # 23:59 in Berlin
    assert house.spend_micros() == 12_500_000
    house.until("2026-11-24T23:00")
    assert house.reported() is None
    await house.read()
    assert house.spend_micros() == 0


async def test_a_correction_is_taken_over(house: House) -> None:
    house.account.bill("1001", 12.5)
    await house.read()
    house.account.bill("1001", 11)
    await house.read()
    assert house.spend_micros() == 11_000_000


async def test_a_campaign_that_a_report_names_no_more_was_billed_nothing(house: House) -> None:
    house.account.bill("1001", 12.5)
    await house.read()
    house.account.rows.clear()
    await house.read()
    assert house.spend_micros() == 0
    assert house.spend_micros(CAMPAIGN) == 0


async def test_three_days_back_are_read_again_each_time(house: House) -> None:
    await house.read()
    assert house.account.asked[-1] <= DAY - timedelta(days=3)


async def test_another_currency_than_the_budgets_is_not_shown_as_its_own(house: House) -> None:
    house.account.bill("1001", 12.5, currency="EUR")
    await house.read()
    assert house.reported() is None
    (row,) = [day for day in house.ledger.reported.days() if day.campaign_id]
    assert (row.spend_micros, row.currency_code) == (12_500_000, "EUR")
    assert await house.told() == []


async def test_who_watches_a_budget_sees_the_report_arrive(house: House) -> None:
    seen: list[BudgetState] = []
    stream = house.watch.subscribe(["google_ads"])
    seen.append(await anext(stream))
    house.account.bill("1001", 12.5)
    await house.read()
    seen.append(await anext(stream))
    await stream.aclose()  # type: ignore[attr-defined]
    assert [state.reported and state.reported.spend_micros for state in seen] == [None, 12_500_000]


async def test_as_much_as_was_committed_is_not_too_much(house: House) -> None:
    await house.commit("a", 12.5)
    house.account.bill("1001", 12.5)
    await house.read()
    assert await house.told() == []


async def test_more_than_was_committed_is_told_once_for_each_budget_and_day(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.commit("a", 12.5)
    house.account.bill("1001", 12.51)
    house.account.bill("1002", 1)
    await house.read()
    house.account.bill("1001", 20)
    await house.read()
    await house.restart()
    await house.read()
    said = {
        "google_ads": "$13.51 for 2026-11-24 (Europe/Berlin), $12.50 were committed",
        CAMPAIGN: "$12.51 for 2026-11-24 (Europe/Berlin), $12.50 were committed",
    }
    assert await house.told() == [
        (budget_id, f"REPORTED: google_ads reports {words}") for budget_id, words in said.items()
    ]


async def test_it_is_an_alert_that_names_the_platform(house: House) -> None:
    house.account.bill("1001", 1)
    await house.read()
    await house.ledger.flush()
    alert = house.ledger.alerts.recent()[-1]
    assert (alert.kind, alert.platform) == (AlertKind.REPORTED_SPEND_OVER, "google_ads")
    assert alert.text.startswith("budget google_ads: REPORTED: google_ads reports $1.00")
    assert house.ledger.alerts.standing() == frozenset()


async def test_the_next_day_is_told_anew(house: House) -> None:
    house.account.bill("1001", 1)
    await house.read()
    house.until("2026-11-25T11:00")
    house.account.bill("1001", 1, DAY + timedelta(days=1))
    await house.read()
    assert [note[:54] for budget_id, note in await house.told() if budget_id == "google_ads"] == [
        "REPORTED: google_ads reports $1.00 for 2026-11-24 (Eur",
        "REPORTED: google_ads reports $1.00 for 2026-11-25 (Eur",
    ]


async def test_a_late_correction_above_is_told_for_its_own_day(house: House) -> None:
    await house.read()
    house.account.bill("1002", 1, DAY - timedelta(days=1))
    await house.read()
    ((budget_id, note),) = await house.told()
    assert budget_id == "google_ads"
    assert "for 2026-11-23" in note


async def test_what_was_committed_on_another_day_of_the_account_does_not_excuse(
    house: House,
) -> None:
    house.until("2026-11-24T22:59")
    await house.commit("a", 50)
    house.until("2026-11-24T23:00")
    house.account.bill("1001", 1, DAY + timedelta(days=1))
    await house.read()
    assert [budget_id for budget_id, _ in await house.told()] == ["google_ads", CAMPAIGN]


async def test_the_day_on_which_the_ledger_began_is_not_held_against_it(house: House) -> None:
    for back in (2, 3):
        house.account.bill("1001", 900, DAY - timedelta(days=back))
    await house.read()
    assert await house.told() == []


async def again(house: House, rules: SpendRules) -> None:
    house.rules = rules
    await house.restart()


async def test_a_tolerance_is_tolerated_and_not_a_micro_more(house: House) -> None:
    await again(house, SpendRules(tolerance_micros=2 * USD))
    await house.commit("a", 10)
    house.account.bill("1001", 12)
    await house.read()
    assert await house.told() == []
    house.account.bill("1001", 12.000001)
    await house.read()
    assert len(await house.told()) == 2


async def test_in_shadow_mode_it_is_shown_and_compared_with_nothing(house: House) -> None:
    await again(house, SpendRules(compared=False))
    house.account.bill("1001", 12)
    await house.read()
    assert house.spend_micros() == 12_000_000
    assert await house.told() == []


async def test_the_campaigns_that_were_billed_are_paused_once(house: House) -> None:
    await again(house, SpendRules(pauses=True))
    house.account.bill("1002", 1)
    house.account.bill("1003", 1)
    house.account.bill("1004", 0)
    await house.read()
    await house.read()
    await house.restart()
    await house.read()
    assert house.account.paused == [("google_ads", ("1002", "1003"))]


async def test_a_pause_that_failed_is_made_up_for_and_not_told_again(house: House) -> None:
    await again(house, SpendRules(pauses=True))
    house.account.fails = True
    house.account.bill("1002", 1)
    with pytest.raises(PlatformUnavailable):
        await house.read()
    await house.restart()
    house.account.fails = False
    await house.read()
    assert house.account.paused == [("google_ads", ("1002",))]
    assert len(await house.told()) == 1


async def test_alerts_of_limits_and_of_reports_do_not_disturb_each_other(house: House) -> None:
    await house.commit("a", 450)
    stood = house.ledger.standing("google_ads")
    house.account.bill("1001", 451)
    await house.read()
    await house.restart()
    assert house.ledger.standing("google_ads") == stood
