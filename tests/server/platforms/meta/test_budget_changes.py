"""At most four budget changes an hour for each ad set, exactly, whatever the hour."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.platforms.meta.budget_changes import MOST, WINDOW_S, BudgetChanges


def test_the_fifth_within_an_hour_is_refused_with_the_time_to_come_back(
    clock: ManualClock,
) -> None:
    changes = BudgetChanges(clock)
    for _ in range(MOST):
        changes.check("10011")
        changes.sent("10011")
        clock.advance(600)
    with pytest.raises(RateLimited) as caught:
        changes.check("10011")
    assert caught.value.retry_after_s == WINDOW_S - 4 * 600
    assert caught.value.metadata == {
        "limit_calls": "4",
        "window_s": "3600",
        "used_calls": "4",
        "limited_by": "budget_changes",
        "target": "ad_sets/10011",
    }
    changes.check("10012")


def test_the_hour_slides(clock: ManualClock) -> None:
    changes = BudgetChanges(clock)
    for _ in range(MOST):
        changes.sent("10011")
        clock.advance(60)
    clock.advance_ns((WINDOW_S - MOST * 60) * 10**9 - 1)
    with pytest.raises(RateLimited) as caught:
        changes.check("10011")
    assert caught.value.retry_after_s == pytest.approx(1e-9)
    clock.advance_ns(1)
    changes.check("10011")
    changes.sent("10011")
    with pytest.raises(RateLimited):
        changes.check("10011")


def test_a_change_that_was_not_made_does_not_count(clock: ManualClock) -> None:
    changes = BudgetChanges(clock)
    for _ in range(2 * MOST):
        changes.check("10011")
        changes.sent("10011")
        changes.not_made("10011")
    changes.not_made("never")


def test_a_block_that_meta_declares_is_kept(clock: ManualClock) -> None:
    changes = BudgetChanges(clock)
    changes.blocked("10011", 3600.0)
    with pytest.raises(RateLimited) as caught:
        changes.check("10011")
    assert caught.value.retry_after_s == 3600.0
    clock.advance(3600)
    changes.check("10011")


@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "2"]), st.integers(0, 2000), st.booleans()), max_size=60
    )
)
def test_no_hour_ever_has_more_and_none_is_refused_that_fits(
    steps: list[tuple[str, int, bool]],
) -> None:
    clock = ManualClock()
    changes = BudgetChanges(clock)
    made: dict[str, list[int]] = {"1": [], "2": []}
    for ad_set_id, wait_s, arrives in steps:
        clock.advance(wait_s)
        now_ns = clock.monotonic_ns()
        window = [at for at in made[ad_set_id] if now_ns - at < WINDOW_S * 10**9]
        if len(window) >= MOST:
            with pytest.raises(RateLimited) as caught:
                changes.check(ad_set_id)
            wait_ns = window[-MOST] + WINDOW_S * 10**9 - now_ns
            assert caught.value.retry_after_s == pytest.approx(wait_ns / 10**9)
            continue
        changes.check(ad_set_id)
        changes.sent(ad_set_id)
        if arrives:
            made[ad_set_id].append(now_ns)
        else:
            changes.not_made(ad_set_id)
