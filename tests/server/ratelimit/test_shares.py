"""Whatever the others ask for, an active caller has its share of the quota."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.ratelimit.test_limiter_properties import ListStore

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import Overloaded, RateLimited
from smartconnectors_server.ratelimit import Asker, RateLimiter, Slots
from smartconnectors_server.window import SlidingSum

WINDOW_S = 60.0
NAMES = ("a", "b", "c")


def limiter_of(clock: ManualClock, limit: int, burst: int | None = None) -> RateLimiter:
    return RateLimiter(
        "meta", ListStore(), clock.wall_ns, limit=limit, window_s=WINDOW_S, burst=burst
    )


async def taken(limiter: RateLimiter, caller: str, *, dry_run: bool = False) -> str:
    """Empty, or what limited it."""
    try:
        await limiter.take(asker=Asker(caller, dry_run=dry_run))
    except RateLimited as error:
        return dict(error.metadata)["limited_by"]
    return ""


plays = st.lists(
    st.tuples(st.sampled_from(NAMES), st.booleans(), st.sampled_from([0.0, 0.5, 7.0, 31.0])),
    max_size=80,
)


@given(limit=st.integers(1, 20), burst=st.none() | st.integers(1, 20), play=plays)
async def test_a_caller_within_its_share_is_never_refused_for_what_others_did(
    limit: int, burst: int | None, play: list[tuple[str, bool, float]]
) -> None:
    clock = ManualClock()
    limiter = limiter_of(clock, limit, burst)
    await limiter.open()
    own = {name: SlidingSum(round(WINDOW_S * 10**9)) for name in NAMES}
    for name in NAMES:
        limiter.check(asker=Asker(name))
    for name, dry_run, wait_s in play:
        clock.advance(wait_s)
        now_ns = clock.wall_ns()
        used = own[name].total(now_ns)
        limited_by = await taken(limiter, name, dry_run=dry_run)
        if not limited_by:
            own[name].add(now_ns, 1)
        if dry_run:
            # Half of its share, and no less than one call while that is free.
            assert limited_by or used < max(1, limit // len(NAMES) // 2)
        elif used < limit // len(NAMES) and (burst is None or (not used and burst >= len(NAMES))):
            assert limited_by == "", (used, limit)


@given(limit=st.integers(1, 20), burst=st.none() | st.integers(1, 20), play=plays)
async def test_a_caller_that_is_alone_is_refused_when_the_server_itself_would_be(
    limit: int, burst: int | None, play: list[tuple[str, bool, float]]
) -> None:
    clock = ManualClock()
    alone, unshared = (limiter_of(clock, limit, burst) for _ in range(2))
    await alone.open()
    await unshared.open()
    for _, _, wait_s in play:
        clock.advance(wait_s)
        assert await taken(alone, "a") == await taken(unshared, "")


async def test_what_others_leave_unused_of_their_shares_is_kept_and_nothing_else() -> None:
    clock = ManualClock()
    limiter = limiter_of(clock, 12)
    await limiter.open()
    for name in NAMES:
        assert await taken(limiter, name) == ""
    assert [await taken(limiter, "a") for _ in range(5)] == ["", "", "", "caller", "caller"]
    assert await taken(limiter, "") == "", "the server's own work needs no share"


async def test_more_callers_than_calls_are_served_as_they_come() -> None:
    clock = ManualClock()
    limiter = limiter_of(clock, 2)
    await limiter.open()
    for name in NAMES:
        limiter.check(asker=Asker(name))
    assert [await taken(limiter, "a") for _ in range(3)] == ["", "", "window"]


async def test_a_refused_caller_is_admitted_at_the_time_that_it_was_given() -> None:
    clock = ManualClock()
    limiter = limiter_of(clock, 4)
    await limiter.open()
    limiter.check(asker=Asker("b"))
    for _ in range(2):
        assert await taken(limiter, "a") == ""
        clock.advance(10)
    with pytest.raises(RateLimited) as caught:
        await limiter.take(asker=Asker("a"))
    assert caught.value.retry_after_s == 40.0
    clock.advance(40)
    assert await taken(limiter, "a") == ""


async def test_a_reserved_call_needs_no_share() -> None:
    clock = ManualClock()
    limiter = limiter_of(clock, 4)
    await limiter.open()
    limiter.check(asker=Asker("b"))
    for _ in range(2):
        await limiter.take(asker=Asker("a"))
    assert await taken(limiter, "a") == "caller"
    await limiter.take(reserved=True, asker=Asker("a"))


def slots_of(clock: ManualClock, most: int, most_each: int | None = None) -> Slots:
    return Slots(
        "calls are in flight", "server/x", clock.monotonic_ns, most=most, most_each=most_each
    )


held = st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=80)


@given(most=st.integers(1, 12), play=held)
def test_slots_are_never_more_than_there_are_and_each_caller_has_its_share(
    most: int, play: list[tuple[str, bool]]
) -> None:
    clock = ManualClock()
    slots = slots_of(clock, most)
    own = dict.fromkeys(NAMES, 0)
    for name in NAMES:
        slots.check(name)
    for name, ends in play:
        if ends and own[name]:
            slots.give_back(name)
            own[name] -= 1
        else:
            try:
                slots.take(name)
                own[name] += 1
            except Overloaded:
                assert own[name] >= most // len(NAMES)
        assert slots.total == sum(own.values()) <= most


def test_a_caller_that_asks_no_more_gives_its_share_of_the_slots_up(clock: ManualClock) -> None:
    slots = slots_of(clock, 4)
    slots.check("b")
    for _ in range(2):
        slots.take("a")
    with pytest.raises(Overloaded):
        slots.take("a")
    clock.advance(600)
    for _ in range(2):
        slots.take("a")


def test_with_a_limit_for_each_caller_none_has_more_even_alone(clock: ManualClock) -> None:
    slots = slots_of(clock, 4, most_each=1)
    with slots.of("a"):
        with pytest.raises(Overloaded) as caught:
            slots.take("a")
        assert caught.value.metadata == {
            "max_x": "4",
            "limited_by": "caller",
            "caller_share": "1",
        }
        with slots.of("b"):
            assert slots.total == 2
    assert slots.total == 0
