"""What a platform says of its quota can only make the limit tighter."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.ratelimit.floor import Floors, PlatformFloor

SECOND = 10**9
NOW = 1_700_000_000 * SECOND


def floor() -> PlatformFloor:
    return PlatformFloor(limit=100, least=10, window_ns=60 * SECOND)


@pytest.mark.parametrize(
    ("usage", "limit"), [(0, 100), (80, 100), (85, 78), (90, 55), (95, 33), (100, 10), (250, 10)]
)
def test_above_80_percent_the_limit_shrinks_in_a_straight_line(usage: float, limit: int) -> None:
    under_test = floor()
    under_test.tighten(NOW, None, usage)
    assert under_test.limit(NOW) == limit


@given(st.floats(0, 200), st.floats(0, 200))
def test_more_usage_never_leaves_more_calls(one: float, other: float) -> None:
    limits = []
    for usage in sorted((one, other)):
        under_test = floor()
        under_test.tighten(NOW, None, usage)
        limits.append(under_test.limit(NOW))
    assert 10 <= limits[1] <= limits[0] <= 100


def test_a_report_counts_for_one_window_and_the_newest_replaces_the_one_before() -> None:
    under_test = floor()
    under_test.tighten(NOW, None, 100.0)
    assert under_test.limit(NOW + 60 * SECOND - 1) == 10
    assert under_test.limit(NOW + 60 * SECOND) == 100
    under_test.tighten(NOW, None, 90.0)
    assert under_test.limit(NOW + SECOND) == 55


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_longest_pause_ordered_holds(pauses: list[float]) -> None:
    under_test = floor()
    for pause in pauses:
        before = under_test.not_before_ns
        under_test.tighten(NOW, pause, None)
        assert under_test.not_before_ns >= before
    longest = min(max(pauses), 86_400.0)
    assert under_test.not_before_ns == (NOW + round(longest * SECOND) if longest else 0)


@pytest.mark.parametrize("nonsense", [None, -0.5, -1.0, -math.inf, math.nan])
def test_nonsense_orders_nothing(nonsense: float | None) -> None:
    under_test = floor()
    under_test.tighten(NOW, nonsense, nonsense)
    assert under_test.limit(NOW) == 100
    assert under_test.not_before_ns == 0


@pytest.mark.parametrize("nonsense", [None, -0.5, -1.0, -math.inf, math.nan])
def test_nonsense_takes_back_nothing_that_was_ordered(nonsense: float | None) -> None:
    under_test = floor()
    under_test.tighten(NOW, 1.0, 100.0)
    under_test.tighten(NOW + 1, nonsense, nonsense)
    assert under_test.limit(NOW + 1) == 10
    assert under_test.not_before_ns == NOW + SECOND


def test_a_quota_that_is_unused_again_takes_back_what_its_end_had_ordered() -> None:
    under_test = floor()
    under_test.tighten(NOW, None, 100.0)
    under_test.tighten(NOW + 1, None, 0.0)
    assert under_test.limit(NOW + 1) == 100


def test_a_pause_without_end_is_one_of_a_day() -> None:
    under_test = floor()
    under_test.tighten(NOW, math.inf, math.inf)
    assert under_test.not_before_ns == NOW + 86_400 * SECOND
    assert under_test.limit(NOW) == 10


def test_what_the_platform_has_ordered_stands_for_another_limit() -> None:
    under_test = floor()
    under_test.tighten(NOW, None, 90)
    under_test.follow(limit=200, least=40)
    assert under_test.limit(NOW) == 120
    assert under_test.limit(NOW + 60 * SECOND) == 200


def test_who_obeys_several_orders_waits_for_the_longest_and_has_the_smallest_limit() -> None:
    floors = Floors(limit=100, least=10, window_ns=60 * SECOND)
    floors.tighten("one", NOW, 30.0, 90.0)
    floors.tighten("other", NOW, 5.0, 100.0)
    assert [floors.limit(whose, NOW) for whose in (("one",), ("other",), ("third",), ())] == [
        55,
        10,
        100,
        100,
    ]
    assert floors.limit(("one", "other", "third"), NOW) == 10
    assert floors.not_before_ns(("one", "other")) == NOW + 30 * SECOND
    assert floors.not_before_ns(("third",)) == 0


def test_another_limit_is_everyones_with_and_without_orders() -> None:
    floors = Floors(limit=100, least=10, window_ns=60 * SECOND)
    floors.tighten("one", NOW, None, 90.0)
    floors.follow(limit=200, least=40)
    floors.tighten("other", NOW, None, 100.0)
    assert [floors.limit((whose,), NOW) for whose in ("one", "other", "third")] == [120, 40, 200]
