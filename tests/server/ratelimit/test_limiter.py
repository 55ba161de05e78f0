"""What the rate limiter promises to those who call a platform."""

from __future__ import annotations

import math

import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.ratelimit import RateLimiter


class MemoryStore:
    """Remembers claims across limiters, as a ledger does across processes."""

    def __init__(self) -> None:
        self.claims: list[tuple[int, int]] = []

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        assert platform == "google_ads"
        self.claims.append((at_ns, count))

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        assert platform == "google_ads"
        return tuple(sorted(claim for claim in self.claims if claim[0] > since_ns))


async def opened(
    clock: ManualClock,
    store: MemoryStore | None = None,
    *,
    limit: int = 100,
    window_s: float = 60.0,
    burst: int | None = None,
    reserve_percent: float = 0.0,
) -> RateLimiter:
    limiter = RateLimiter(
        "google_ads",
        store or MemoryStore(),
        clock.wall_ns,
        limit=limit,
        window_s=window_s,
        burst=burst,
        reserve_percent=reserve_percent,
    )
    await limiter.open()
    return limiter


async def refusal(limiter: RateLimiter, *, reserved: bool = False) -> RateLimited:
    with pytest.raises(RateLimited) as raised:
        await limiter.take(reserved=reserved)
    return raised.value


async def test_the_101st_call_inside_a_minute_is_refused_with_the_numbers(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock)
    await limiter.take()
    clock.advance(47.7)
    for _ in range(99):
        await limiter.take()
    error = await refusal(limiter)
    assert error.message == (
        "google_ads: 100 of 100 calls used in the last 60 s. Next call in 12.3 s."
    )
    assert error.retry_after_s == pytest.approx(12.3)
    assert error.metadata == {
        "limit_calls": "100",
        "window_s": "60",
        "used_calls": "100",
        "limited_by": "window",
    }
    assert error.quota_subject == "google_ads/calls"


async def test_a_refused_call_is_admitted_at_its_retry_time_and_not_a_nanosecond_before(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock)
    for _ in range(100):
        await limiter.take()
        clock.advance(0.1)
    retry_after_s = (await refusal(limiter)).retry_after_s
    assert retry_after_s == 50.0
    clock.advance_ns(50 * 10**9 - 1)
    assert (await refusal(limiter)).retry_after_s == pytest.approx(1e-9)
    clock.advance_ns(1)
    assert limiter.look() is None
    await limiter.take()
    await refusal(limiter)


async def test_looking_says_what_taking_would_say_and_takes_nothing(clock: ManualClock) -> None:
    store = MemoryStore()
    limiter = await opened(clock, store, limit=2)
    for _ in range(10):
        assert limiter.look() is None
    assert limiter.used() == 0
    assert store.claims == []
    await limiter.take()
    await limiter.take()
    assert limiter.look() == (await refusal(limiter)).retry_after_s == 60.0


@pytest.mark.parametrize("reserved", [False, True])
async def test_checking_raises_what_taking_would_raise(clock: ManualClock, reserved: bool) -> None:
    limiter = await opened(clock, reserve_percent=10.0)
    for _ in range(90):
        limiter.check(reserved=reserved)
        await limiter.take(reserved=reserved)
    if reserved:
        limiter.check(reserved=True)
        await limiter.take(10, reserved=True)
    clock.advance(7.0)
    expected = await refusal(limiter, reserved=reserved)
    with pytest.raises(RateLimited) as raised:
        limiter.check(reserved=reserved)
    assert raised.value.message == expected.message
    assert raised.value.retry_after_s == expected.retry_after_s == 53.0
    assert raised.value.metadata == expected.metadata


async def test_headroom_and_use_add_up_to_the_limit(clock: ManualClock) -> None:
    limiter = await opened(clock, limit=10)
    for used in range(10):
        assert (limiter.used(), limiter.headroom()) == (used, 10 - used)
        await limiter.take()
    assert (limiter.used(), limiter.headroom()) == (10, 0)
    assert (limiter.limit, limiter.window_s) == (10, 60.0)
    clock.advance(60.0)
    assert (limiter.used(), limiter.headroom()) == (0, 10)


async def test_a_limiter_that_was_not_opened_admits_nothing(clock: ManualClock) -> None:
    limiter = RateLimiter("google_ads", MemoryStore(), clock.wall_ns, limit=1, window_s=1.0)
    with pytest.raises(RuntimeError, match="has not been opened"):
        await limiter.take()


async def test_the_reserve_is_for_reserved_calls_alone(clock: ManualClock) -> None:
    limiter = await opened(clock, reserve_percent=10.0)
    assert limiter.headroom() == 90
    for _ in range(90):
        await limiter.take()
    assert limiter.headroom() == 0
    assert limiter.look() == 60.0
    with pytest.raises(RateLimited):
        limiter.check()
    with pytest.raises(RateLimited):
        await limiter.take()
    error = await refusal(limiter)
    assert "90 of 100 calls used in the last 60 s, 10 kept for pausing" in error.message
    assert limiter.look(reserved=True) is None
    for _ in range(10):
        await limiter.take(reserved=True)
    error = await refusal(limiter, reserved=True)
    assert "100 of 100 calls used in the last 60 s." in error.message


@pytest.mark.parametrize(("limit", "percent", "left"), [(1000, 50.0, 500), (7, 99.9, 1)])
async def test_the_reserve_is_its_share_of_the_limit_rounded_down(
    clock: ManualClock, limit: int, percent: float, left: int
) -> None:
    limiter = await opened(clock, limit=limit, reserve_percent=percent)
    assert limiter.headroom() == left


async def test_a_reserve_always_leaves_one_call_for_the_others(clock: ManualClock) -> None:
    limiter = await opened(clock, limit=1, reserve_percent=99.0)
    await limiter.take()
    await refusal(limiter, reserved=True)


async def test_a_pause_ordered_by_the_platform_holds_for_ordinary_calls(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock, reserve_percent=10.0)
    limiter.tighten(retry_after_s=30.0)
    limiter.tighten(retry_after_s=5.0)
    assert limiter.headroom() == 0
    assert limiter.ordered_wait_s() == 30.0
    error = await refusal(limiter)
    assert error.retry_after_s == 30.0
    assert error.metadata["limited_by"] == "platform"
    assert error.message == (
        "google_ads: 0 of 100 calls used in the last 60 s, and the platform asks for fewer. "
        "Next call in 30.0 s."
    )
    clock.advance_ns(30 * 10**9 - 1)
    await refusal(limiter)
    assert limiter.headroom() == 0
    clock.advance_ns(1)
    assert limiter.headroom() == 90
    assert limiter.ordered_wait_s() == 0.0
    await limiter.take()
    clock.advance(1.0)
    assert limiter.ordered_wait_s() == 0.0


async def test_a_reserved_call_is_made_while_the_platform_has_ordered_a_pause(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock, reserve_percent=10.0)
    limiter.tighten(retry_after_s=30.0, usage_percent=100.0)
    assert limiter.look(reserved=True) is None
    limiter.check(reserved=True)
    await limiter.take(reserved=True)
    assert limiter.used() == 1


async def test_a_reserved_call_counts_in_our_own_limit_whatever_the_platform_orders(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock, limit=3, reserve_percent=50.0)
    limiter.tighten(retry_after_s=300.0)
    for _ in range(3):
        await limiter.take(reserved=True)
    error = await refusal(limiter, reserved=True)
    assert (error.retry_after_s, error.metadata["limited_by"]) == (60.0, "window")


async def test_what_the_platform_orders_binds_those_calls_alone_that_obey_it(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock)
    limiter.tighten(retry_after_s=30.0, whose="one")
    limiter.tighten(retry_after_s=10.0, usage_percent=100.0, whose="other")
    limiter.check()
    limiter.check(obeys=("", "third"))
    assert [limiter.look(obeys=("", whose)) for whose in ("one", "other")] == [30.0, 10.0]
    assert limiter.look(obeys=("one", "other")) == 30.0
    assert [limiter.ordered_wait_s(("one",)), limiter.ordered_wait_s()] == [30.0, 0.0]
    assert [limiter.headroom(), limiter.headroom(("one",))] == [100, 0]
    clock.advance(10.0)
    assert limiter.headroom(("other",)) == 1
    await limiter.take()
    with pytest.raises(RateLimited) as caught:
        await limiter.take(obeys=("", "other"))
    assert caught.value.retry_after_s == 50.0, "the report lapses before the call leaves"


async def test_what_binds_everyone_binds_those_with_orders_of_their_own(clock: ManualClock) -> None:
    limiter = await opened(clock)
    limiter.tighten(retry_after_s=30.0)
    limiter.tighten(retry_after_s=5.0, whose="one")
    assert limiter.look(obeys=("", "one")) == 30.0


async def test_the_platforms_usage_shrinks_the_limit_until_it_lapses(clock: ManualClock) -> None:
    limiter = await opened(clock)
    for _ in range(60):
        await limiter.take()
    clock.advance(20.0)
    limiter.tighten(usage_percent=90.0)
    assert limiter.headroom() == 0
    error = await refusal(limiter)
    assert error.metadata["limited_by"] == "platform"
    assert error.retry_after_s == 40.0, "the window empties before the report lapses"
    clock.advance(40.0)
    for _ in range(51):
        await limiter.take()
    error = await refusal(limiter)
    assert error.retry_after_s == 20.0, "the report lapses before the window empties"
    clock.advance_ns(20 * 10**9 - 1)
    await refusal(limiter)
    clock.advance_ns(1)
    await limiter.take()
    assert limiter.headroom() == 48


async def test_a_full_quota_at_the_platform_still_leaves_the_reserve(clock: ManualClock) -> None:
    limiter = await opened(clock, reserve_percent=10.0)
    limiter.tighten(usage_percent=100.0)
    assert (await refusal(limiter)).retry_after_s == 60.0
    for _ in range(100):
        await limiter.take(reserved=True)
    await refusal(limiter, reserved=True)


async def test_a_full_quota_at_the_platform_leaves_one_call_without_a_reserve(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock)
    limiter.tighten(usage_percent=100.0)
    assert limiter.headroom() == 1
    await limiter.take()
    await refusal(limiter)


async def test_when_several_limits_refuse_the_one_that_lasts_longest_is_named(
    clock: ManualClock,
) -> None:
    limiter = await opened(clock, limit=1)
    await limiter.take()
    limiter.tighten(retry_after_s=10.0)
    error = await refusal(limiter)
    assert (error.retry_after_s, error.metadata["limited_by"]) == (60.0, "window")
    limiter.tighten(retry_after_s=90.0)
    error = await refusal(limiter)
    assert (error.retry_after_s, error.metadata["limited_by"]) == (90.0, "platform")


async def test_a_burst_is_refused_although_the_window_has_room(clock: ManualClock) -> None:
    limiter = await opened(clock, limit=60, window_s=60.0, burst=5)
    for _ in range(5):
        await limiter.take()
    error = await refusal(limiter)
    assert error.metadata["limited_by"] == "burst"
    assert error.metadata["used_calls"] == "5"
    assert error.message == (
        "google_ads: 5 of 60 calls used in the last 60 s, and no more at once. Next call in 1.0 s."
    )
    assert error.retry_after_s == pytest.approx(1.0, abs=1e-3)
    assert error.retry_after_s is not None
    clock.advance(error.retry_after_s)
    await limiter.take()
    await refusal(limiter)


async def test_a_restart_neither_forgets_the_window_nor_the_burst(clock: ManualClock) -> None:
    store = MemoryStore()
    before = await opened(clock, store, limit=60, burst=5)
    for _ in range(5):
        await before.take()
    after = await opened(clock, store, limit=60, burst=5)
    assert after.used() >= 5
    assert (await refusal(after)).metadata["limited_by"] == "burst"
    clock.advance(60.0)
    assert after.used() == 0
    await after.take()


async def test_after_a_restart_an_old_call_leaves_as_if_there_had_been_none(
    clock: ManualClock,
) -> None:
    store = MemoryStore()
    await (await opened(clock, store)).take()
    clock.advance(30.0)
    after = await opened(clock, store)
    clock.advance(31.0 - 1e-9)
    assert after.used() == 1, "it was claimed for one second"
    clock.advance(1e-9)
    assert after.used() == 0


async def test_after_a_crash_no_call_of_a_full_window_is_free_before_its_time(
    clock: ManualClock,
) -> None:
    store = MemoryStore()
    before = await opened(clock, store)
    for _ in range(100):
        await before.take()
    clock.advance(0.2)
    after = await opened(clock, store)
    assert after.headroom() == 0
    retry_after_s = (await refusal(after)).retry_after_s
    assert retry_after_s is not None
    assert 59.8 <= retry_after_s <= 60.0
    clock.advance(retry_after_s)
    await after.take()


async def test_a_platform_that_is_seldom_called_is_not_overcounted_after_a_restart(
    clock: ManualClock,
) -> None:
    store = MemoryStore()
    before = await opened(clock, store, limit=15_000, window_s=86_400.0)
    for _ in range(500):
        await before.take()
        clock.advance(10.0)
    after = await opened(clock, store, limit=15_000, window_s=86_400.0)
    assert after.used() == 500


async def test_a_platform_that_is_called_all_the_time_seldom_writes(clock: ManualClock) -> None:
    store = MemoryStore()
    limiter = await opened(clock, store, limit=10_000)
    for _ in range(10_000):
        await limiter.take()
        clock.advance(0.001)
    assert len(store.claims) < 70
    assert sum(count for _, count in store.claims) < 10_000 * 1.03


async def test_a_claim_is_at_most_a_fiftieth_of_the_limit(clock: ManualClock) -> None:
    store = MemoryStore()
    limiter = await opened(clock, store, limit=10_000)
    for _ in range(1000):
        await limiter.take()
    assert max(count for _, count in store.claims) == 200


@pytest.mark.parametrize(
    ("window_s", "validity_ns"), [(600.0, 10**9), (30.0, 500_000_000), (1e-9, 1)]
)
async def test_a_claim_is_valid_for_a_sixtieth_of_the_window_or_a_second(
    clock: ManualClock, window_s: float, validity_ns: int
) -> None:
    store = MemoryStore()
    limiter = await opened(clock, store, window_s=window_s)
    await limiter.take()
    assert store.claims == [(clock.wall_ns() + validity_ns, 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"window_s": 0.0},
        {"window_s": math.nan},
        {"burst": 0},
        {"reserve_percent": 100.0},
        {"reserve_percent": -1.0},
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(clock: ManualClock, wrong: dict[str, float]) -> None:
    right: dict[str, float] = {"limit": 100, "window_s": 60.0}
    with pytest.raises(ValueError, match="google_ads"):
        RateLimiter(
            "google_ads",
            MemoryStore(),
            clock.wall_ns,
            **(right | wrong),  # type: ignore[arg-type] # mypy cannot see which number is whose
        )
