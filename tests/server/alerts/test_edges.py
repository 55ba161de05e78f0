"""When conditions begin and end: by plain arithmetic, for any figures, and without fluttering."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.alerts.edges import Slowness, Steady, is_near_limit, is_overdue

COUNTS = st.integers(0, 10**7)
SECOND = 10**9


@given(stood=st.booleans(), used=COUNTS, headroom=COUNTS)
def test_a_quota_is_near_its_end_by_its_share_alone(stood: bool, used: int, headroom: int) -> None:
    quota = used + headroom
    share = Fraction(used, quota) if quota else Fraction(1)
    assert is_near_limit(stood, used, headroom) is (share >= Fraction(70 if stood else 90, 100))


@pytest.mark.parametrize(
    ("stood", "used", "near"),
    [(False, 899, False), (False, 900, True), (True, 700, True), (True, 699, False)],
)
def test_of_a_thousand_calls_nine_hundred_are_near_until_fewer_than_700_are(
    stood: bool, used: int, near: bool
) -> None:
    assert is_near_limit(stood, used, 1000 - used) is near


@given(quota=st.integers(20, 10_000), used=st.lists(st.integers(0, 10_000), max_size=50))
def test_a_quota_is_told_again_only_after_it_has_fallen_by_more_than_twenty_points(
    quota: int, used: list[int]
) -> None:
    stood, lowest_since = False, Fraction(0)
    for one in used:
        calls = min(one, quota)
        share = Fraction(calls, quota)
        near = is_near_limit(stood, calls, quota - calls)
        lowest_since = min(lowest_since, share)
        if near and not stood:
            assert lowest_since < Fraction(70, 100) <= Fraction(90, 100) <= share
            lowest_since = share
        stood = near


def test_a_quota_of_which_nothing_may_be_called_is_near_its_end() -> None:
    assert is_near_limit(False, 0, 0)
    assert is_near_limit(False, 5, 0)
    assert not is_near_limit(False, 0, 1)


@given(since=COUNTS, lasted=COUNTS, after=st.integers(1, 10**6))
def test_it_is_overdue_from_the_stated_time_on(since: int, lasted: int, after: int) -> None:
    now = since + lasted
    assert is_overdue(since * SECOND, now * SECOND, float(after)) is (lasted >= after)


@given(st.lists(st.tuples(st.integers(0, 90), st.booleans()), max_size=40))
def test_a_ledger_is_slow_until_a_minute_has_passed_since_its_last_slow_commit(
    steps: list[tuple[int, bool]],
) -> None:
    slowness, now, last = Slowness(False, 0), 0, None
    for passed, is_slow in steps:
        now += passed * SECOND
        if is_slow:
            slowness.slow(now)
            last = now
        assert slowness.look(now) is (last is not None and now - last < 60 * SECOND)
        last = last if slowness.stands else None


def test_what_stood_at_the_start_of_a_process_ends_a_minute_later_at_the_earliest() -> None:
    slowness = Slowness(True, 5 * SECOND)
    assert slowness.look(65 * SECOND - 1)
    assert not slowness.look(65 * SECOND)


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=40))
def test_what_comes_and_goes_changes_only_after_it_has_lasted(
    steps: list[tuple[int, bool]],
) -> None:
    steady, now, since = Steady(False), 0, 0
    held: bool | None = None
    for passed, holds in steps:
        now += passed * SECOND
        since = now if holds != held else since
        held = holds
        stood = steady.stands
        stands = steady.look(holds, now, begins_after_s=30.0, ends_after_s=60.0)
        lasted = now - since >= (30 if holds else 60) * SECOND
        assert stands is (holds if lasted else stood)


def test_what_begins_at_once_ends_only_after_it_has_not_held_for_a_while() -> None:
    steady = Steady(False)
    steady.look(True, 0, begins_after_s=30.0, ends_after_s=60.0)
    steady.begin()
    assert steady.look(False, 1 * SECOND, begins_after_s=30.0, ends_after_s=60.0)
    assert steady.look(False, 61 * SECOND - 1, begins_after_s=30.0, ends_after_s=60.0)
    assert not steady.look(False, 61 * SECOND, begins_after_s=30.0, ends_after_s=60.0)
