"""What a limit permits a day."""

from __future__ import annotations

import pytest

from smartconnectors_server.budget import day_limits, tightest
from smartconnectors_server.budget.daily import day_micros
from smartconnectors_server.ledger import Budget, CalendarWindow, Limit, SlidingWindow, Window
from smartconnectors_server.window import SlidingSum

USD = 1_000_000
SECOND_NS = 1_000_000_000


def budget(budget_id: str, *limits: tuple[int, Window]) -> Budget:
    return Budget(budget_id, "USD", tuple(Limit(usd * USD, window) for usd, window in limits))


def test_five_hundred_dollars_in_ten_minutes_permit_seventy_two_thousand_a_day() -> None:
    (limit,) = day_limits([budget("google_ads", (500, SlidingWindow(600)))])
    assert limit.sentence == "$500.00 in 10 min permits $72,000.00 a day"


def test_a_calendar_limit_says_whose_day_it_is() -> None:
    (limit,) = day_limits([budget("meta", (900, CalendarWindow("day", "Asia/Tokyo")))])
    assert limit.sentence == "$900.00 in one calendar day (Asia/Tokyo) permits $900.00 a day"


@pytest.mark.parametrize(("unit", "times"), [("hour", 24), ("day", 1), ("month", 1)])
def test_a_calendar_limit_is_filled_as_often_as_its_day_has_it(unit: str, times: int) -> None:
    assert day_micros(Limit(7 * USD, CalendarWindow(unit))) == 7 * times * USD


@pytest.mark.parametrize("window_s", [600.0, 7000.0, 43_200.0, 86_400.0, 30 * 86_400.0])
def test_who_fills_a_sliding_window_whenever_it_is_empty_gets_no_more_than_said(
    window_s: float,
) -> None:
    """Bids, in the real window, the whole limit as soon as it fits, for just under a day."""
    window, sent, now_ns = SlidingSum(round(window_s * SECOND_NS)), 0, 0
    while now_ns < 86_400 * SECOND_NS:
        window.add(now_ns, 5 * USD)
        sent += 5 * USD
        fits_ns = window.fits_at_ns(now_ns, 5 * USD, 5 * USD)
        assert fits_ns is not None
        now_ns = fits_ns
    assert sent == day_micros(Limit(5 * USD, SlidingWindow(window_s)))


def test_the_tightest_of_all_that_a_bid_counts_in_is_named() -> None:
    found = tightest(
        day_limits(
            [
                budget("google_ads", (500, SlidingWindow(600)), (3000, SlidingWindow(86_400))),
                budget("google_ads/campaigns/1001", (1, SlidingWindow(600))),
                budget("google_ads/campaigns/1002", (100, SlidingWindow(600))),
                budget("meta", (400, SlidingWindow(600))),
                budget("total", (5000, CalendarWindow("day"))),
            ]
        )
    )
    assert {budget_id: limit.name for budget_id, limit in found.items()} == {
        "google_ads": "google_ads: $3,000.00 in 24 h",
        "google_ads/campaigns/1001": "google_ads/campaigns/1001: $1.00 in 10 min",
        "google_ads/campaigns/1002": "google_ads: $3,000.00 in 24 h",
        "meta": "total: $5,000.00 in one calendar day (UTC)",
    }
