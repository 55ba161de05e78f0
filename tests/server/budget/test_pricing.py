"""The fallback price: median × multiplier, then the cap."""

from __future__ import annotations

import pytest

from smartconnectors_server.budget import FallbackPrice, Sample, fallback_price
from smartconnectors_server.platforms import PLATFORMS

USD = 1_000_000
MULTIPLIERS_MILLI = {
    "google_ads": 1000,
    "meta": 1000,
    "trade_desk": 1000,
    "amazon": 1000,
    "x": 750,
    "linkedin": 1200,
    "tiktok": 1500,
}


def price(
    history: list[Sample],
    *,
    predicted: int = 0,
    ai_bid: int = 0,
    multiplier: int = 1000,
    capped: bool = True,
    fewest: int = 1,
) -> FallbackPrice | None:
    return fallback_price(
        history,
        predicted_ltv_micros=predicted,
        ai_bid_micros=ai_bid,
        multiplier_milli=multiplier,
        capped=capped,
        min_samples=fewest,
    )


def ltvs(*values: int) -> list[Sample]:
    return [Sample(value, 0) for value in values]


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([7], 7),
        ([3, 1, 2], 2),
        ([1, 2, 3, 10], 2),
        ([4, 2], 3),
        ([5, 5, 5, 1, 100], 5),
        ([1, 2], 1),
    ],
)
def test_the_base_is_the_median_rounded_down_to_a_micro(values: list[int], median: int) -> None:
    assert price(ltvs(*values)) == FallbackPrice(median, median)


@pytest.mark.parametrize(("fewest", "base"), [(1, 2), (2, 2), (3, 2), (4, 9)])
def test_fewer_ltvs_than_asked_for_give_way_to_the_requests_own(fewest: int, base: int) -> None:
    history = [*ltvs(1, 2, 3), Sample(0, 5 * USD)]
    assert price(history, predicted=9, fewest=fewest) == FallbackPrice(base, base)


@pytest.mark.parametrize(("platform", "multiplier"), MULTIPLIERS_MILLI.items())
def test_each_platform_has_its_multiplier(platform: str, multiplier: int) -> None:
    expected = 40 * USD * multiplier // 1000
    assert price(ltvs(40 * USD), multiplier=multiplier) == FallbackPrice(expected, expected)
    if platform in PLATFORMS:
        assert PLATFORMS[platform].defaults.fallback_multiplier_milli == multiplier


def test_only_the_last_hundred_ltvs_count() -> None:
    assert price(ltvs(*([1] * 300), *([9] * 100))) == FallbackPrice(9, 9)
    assert price(ltvs(*([1] * 51), *([9] * 49))) == FallbackPrice(1, 1)
    assert price(ltvs(*([1] * 50), *([9] * 50))) == FallbackPrice(5, 5)


def test_a_bid_without_an_ltv_does_not_pull_the_median_down() -> None:
    assert price([*ltvs(10), Sample(0, 50), Sample(0, 50)]) == FallbackPrice(10, 10)


def test_without_a_sample_the_requests_own_ltv_stands_in() -> None:
    assert price([], predicted=8) == FallbackPrice(8, 8)
    assert price(ltvs(10), predicted=8) == FallbackPrice(10, 10)


def test_without_any_ltv_there_is_no_price() -> None:
    assert price([]) is None
    assert price([], ai_bid=5) is None
    assert price([Sample(0, 5)]) is None


def test_a_price_that_rounds_to_nothing_is_none() -> None:
    assert price(ltvs(1), multiplier=750) is None


@pytest.mark.parametrize(
    ("history", "ai_bid", "bid"),
    [
        ([Sample(100, 0)], 0, 100),  # nothing to cap by
        ([Sample(100, 0)], 60, 60),  # the request's own bid
        ([Sample(100, 0)], 1, 1),  # however small
        ([Sample(100, 0)], 160, 100),  # a cap, not a floor
        ([Sample(100, 30), Sample(100, 50)], 0, 50),  # the largest of the last hundred
        ([Sample(100, 30)], 60, 60),  # the request's own bid comes first, also when it is larger
        ([Sample(100, 900), *[Sample(100, 20)] * 100], 0, 20),  # too long ago
    ],
)
def test_the_cap_is_the_own_bid_else_the_largest_recent_one(
    history: list[Sample], ai_bid: int, bid: int
) -> None:
    assert price(history, ai_bid=ai_bid) == FallbackPrice(bid, 100)


def test_the_cap_comes_after_the_multiplier() -> None:
    assert price(ltvs(100), ai_bid=120, multiplier=1500) == FallbackPrice(120, 150)


def test_without_a_cap_the_bare_formula_stands() -> None:
    assert price([Sample(100, 1)], ai_bid=1, capped=False) == FallbackPrice(100, 100)
