"""A quota that is in use takes other limits, and leaves calls to those that matter more."""

from __future__ import annotations

import pytest
from tests.server.ratelimit.test_limiter import MemoryStore, opened

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.ratelimit import RateLimiter


async def free(limiter: RateLimiter, *, reserved: bool = False) -> int:
    """How many calls can be taken now, one after the other."""
    count = 0
    while limiter.look(reserved=reserved) is None:
        await limiter.take(reserved=reserved)
        count += 1
    return count


async def test_another_limit_counts_what_was_called_before_it(clock: ManualClock) -> None:
    limiter = await opened(clock, limit=100, reserve_percent=10)
    await limiter.take(40)
    limiter.follow(limit=400, burst=None, reserve_percent=25)
    assert (limiter.limit, limiter.used(), limiter.headroom()) == (400, 40, 260)
    assert await free(limiter) == 260
    assert await free(limiter, reserved=True) == 100
    limiter.follow(limit=100, burst=None, reserve_percent=0)
    assert limiter.headroom() == 0
    clock.advance(60.0)
    assert await free(limiter) == 100


async def test_a_limit_out_of_its_range_changes_nothing(clock: ManualClock) -> None:
    limiter = await opened(clock, limit=100)
    with pytest.raises(ValueError, match="limit 0"):
        limiter.follow(limit=0, burst=None, reserve_percent=0)
    assert await free(limiter) == 100


@pytest.mark.parametrize(("reserve_percent", "left"), [(0, 1), (1, 0), (30, 0)])
async def test_of_another_limit_too_a_platform_that_has_had_enough_leaves_the_reserve(
    reserve_percent: float, left: int, clock: ManualClock
) -> None:
    limiter = await opened(clock, limit=50)
    limiter.follow(limit=100, burst=None, reserve_percent=reserve_percent)
    limiter.tighten(usage_percent=100)
    assert await free(limiter) == left
    assert await free(limiter, reserved=True) == 100 - left


async def test_claims_grow_with_another_limit(clock: ManualClock) -> None:
    store = MemoryStore()
    limiter = await opened(clock, store, limit=100)
    limiter.follow(limit=400, burst=None, reserve_percent=0)
    assert await free(limiter) == 400
    assert max(count for _, count in store.claims) == 8


async def test_with_another_limit_a_burst_is_as_full_as_by_all_that_was_called(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock, limit=600)
    await limiter.take(3)
    limiter.follow(limit=600, burst=10, reserve_percent=0)
    assert await free(limiter) == 7
    clock.advance(0.1)  # 600 a minute are 10 a second
    assert await free(limiter) == 1
    limiter.follow(limit=600, burst=5, reserve_percent=0)
    assert await free(limiter) == 0
    clock.advance(0.1)
    assert await free(limiter) == 1
    limiter.follow(limit=600, burst=None, reserve_percent=0)
    assert await free(limiter) == 600 - 12


async def test_who_leaves_calls_to_others_is_refused_while_too_few_are_free(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock, limit=10)
    await limiter.take(5)
    limiter.check(leave=4)
    with pytest.raises(RateLimited):
        limiter.check(leave=5)
    with pytest.raises(RateLimited):
        await limiter.take(leave=5)
    await limiter.take(leave=4)
    assert limiter.used() == 6
