"""Claims: what a call costs in writes, and what happens when a write is slow, fails or is left."""

from __future__ import annotations

import asyncio

import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.ratelimit import RateLimiter


class StoreAway(Exception):
    """What a ledger raises when it cannot be written."""


class GatedStore:
    """Writes only while `gate` is set; `arrived` says that somebody wants to."""

    def __init__(self) -> None:
        self.claims: list[tuple[int, int]] = []
        self.writes = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.arrived = asyncio.Event()

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        self.writes += 1
        self.arrived.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.claims.append((at_ns, count))

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        return tuple(sorted(claim for claim in self.claims if claim[0] > since_ns))


async def opened(clock: ManualClock, store: GatedStore, limit: int = 100) -> RateLimiter:
    limiter = RateLimiter("meta", store, clock.wall_ns, limit=limit, window_s=60.0)
    await limiter.open()
    return limiter


async def test_callers_that_come_together_share_one_claim(clock: ManualClock) -> None:
    store = GatedStore()
    limiter = await opened(clock, store)
    takers = [asyncio.create_task(limiter.take()) for _ in range(100)]
    await store.arrived.wait()
    store.gate.set()
    await asyncio.gather(*takers)
    assert limiter.used() == 100
    assert store.claims == [(clock.wall_ns() + 10**9, 100)]


async def test_those_who_come_while_a_claim_is_written_are_all_in_the_next(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    limiter = await opened(clock, store)
    first = asyncio.create_task(limiter.take())
    await store.arrived.wait()
    others = [asyncio.create_task(limiter.take()) for _ in range(50)]
    await asyncio.sleep(0)
    store.gate.set()
    await asyncio.gather(first, *others)
    assert limiter.used() == 51
    assert store.writes == 2


async def test_more_callers_than_calls_get_exactly_the_limit(clock: ManualClock) -> None:
    store = GatedStore()
    limiter = await opened(clock, store)
    takers = [asyncio.create_task(limiter.take()) for _ in range(250)]
    await store.arrived.wait()
    store.gate.set()
    results = await asyncio.gather(*takers, return_exceptions=True)
    assert results.count(None) == 100
    assert sum(isinstance(result, RateLimited) for result in results) == 150
    assert sum(count for _, count in store.claims) == 100


async def test_no_more_is_claimed_than_the_window_has_left(clock: ManualClock) -> None:
    store = GatedStore()
    store.gate.set()
    limiter = await opened(clock, store)
    await asyncio.gather(*(limiter.take() for _ in range(60)))
    await asyncio.gather(*(limiter.take() for _ in range(60)), return_exceptions=True)
    assert [count for _, count in store.claims] == [60, 40]


async def test_a_store_that_is_away_admits_nobody_and_counts_nothing(clock: ManualClock) -> None:
    store = GatedStore()
    store.gate.set()
    store.error = StoreAway()
    limiter = await opened(clock, store)
    results = await asyncio.gather(*(limiter.take() for _ in range(10)), return_exceptions=True)
    assert all(isinstance(result, StoreAway) for result in results)
    assert limiter.used() == 0
    store.error = None
    await limiter.take()
    assert limiter.used() == 1


async def test_what_was_claimed_stays_usable_while_the_store_is_away(clock: ManualClock) -> None:
    store = GatedStore()
    store.gate.set()
    limiter = await opened(clock, store, limit=1000)
    await asyncio.gather(*(limiter.take() for _ in range(3)))
    await limiter.take()
    left = sum(count for _, count in store.claims) - limiter.used()
    assert left > 0
    store.error = StoreAway()
    for _ in range(left):
        await limiter.take()
    with pytest.raises(StoreAway):
        await limiter.take()


async def test_a_claim_lapses_at_the_end_of_its_validity(clock: ManualClock) -> None:
    store = GatedStore()
    store.gate.set()
    limiter = await opened(clock, store, limit=1000)
    await limiter.take()
    await limiter.take()
    assert [count for _, count in store.claims] == [1, 2]
    clock.advance_ns(10**9 - 1)
    await limiter.take()
    assert store.writes == 2
    await limiter.take()
    clock.advance_ns(10**9)
    await limiter.take()
    assert [count for _, count in store.claims] == [1, 2, 4, 1], "as many as the last one served"


async def test_a_claim_that_lapses_makes_the_next_as_large_as_what_was_used_of_it(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    store.gate.set()
    limiter = await opened(clock, store, limit=1000)
    for _ in range(3 + 3):
        await limiter.take()
    clock.advance(1.0)
    await limiter.take()
    assert [count for _, count in store.claims] == [1, 2, 4, 3]


@pytest.mark.parametrize(("wait_ns", "second"), [(10**9 - 1, 2), (10**9, 1), (10**10, 1)])
async def test_claims_grow_only_while_they_run_out_in_time(
    clock: ManualClock, wait_ns: int, second: int
) -> None:
    store = GatedStore()
    store.gate.set()
    limiter = await opened(clock, store, limit=1000)
    await limiter.take()
    clock.advance_ns(wait_ns)
    await limiter.take()
    assert [count for _, count in store.claims] == [1, second]


@pytest.mark.parametrize(("staying", "next_ones"), [(40, [2, 2]), (0, [1, 2])])
async def test_a_crowd_that_gave_up_does_not_make_later_claims_large(
    clock: ManualClock, staying: int, next_ones: list[int]
) -> None:
    store = GatedStore()
    limiter = await opened(clock, store)
    crowd = [asyncio.create_task(limiter.take()) for _ in range(60)]
    await store.arrived.wait()
    for leaving in crowd[staying:]:
        leaving.cancel()
    store.gate.set()
    await asyncio.gather(*crowd, return_exceptions=True)
    clock.advance(1.0)
    for _ in range(sum(next_ones)):
        await limiter.take()
    assert [count for _, count in store.claims] == [60, *next_ones]


async def test_who_comes_as_a_claim_is_done_shares_the_next_one_with_who_comes_then(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    limiter = await opened(clock, store)
    first = asyncio.create_task(limiter.take())
    await store.arrived.wait()
    store.arrived.clear()
    store.gate.set()
    wants_more = asyncio.create_task(limiter.take(2))
    await asyncio.sleep(0)
    store.gate.clear()
    await first
    await store.arrived.wait()
    late = asyncio.create_task(limiter.take(2))
    for _ in range(5):
        await asyncio.sleep(0)
    assert store.writes == 2
    store.gate.set()
    await asyncio.gather(wants_more, late)
    assert limiter.used() == 5


async def test_a_claim_whose_writing_is_cancelled_is_no_noise(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    limiter = await opened(clock, store)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    taker = asyncio.create_task(limiter.take())
    await store.arrived.wait()
    assert limiter._claims._recording is not None
    limiter._claims._recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taker
    await asyncio.sleep(0)
    assert reported == []


async def test_a_store_slower_than_a_claim_is_valid_still_lets_calls_through(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    limiter = await opened(clock, store)
    taker = asyncio.create_task(limiter.take())
    for _ in range(2):
        await store.arrived.wait()
        store.arrived.clear()
        clock.advance(1.5)
        store.gate.set()
        await asyncio.sleep(0)
        store.gate.clear()
        for _ in range(5):
            await asyncio.sleep(0)
    assert taker.done()
    await taker
    assert store.writes == 2
    assert store.claims[1][0] - clock.wall_ns() == 1_500_000_000, "twice what the write took"
    assert limiter.used() == 1


async def test_a_caller_that_gives_up_takes_nothing_and_disturbs_nobody(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    limiter = await opened(clock, store)
    leaving, staying = (asyncio.create_task(limiter.take()) for _ in range(2))
    await store.arrived.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    store.gate.set()
    await staying
    assert limiter.used() == 1


async def test_a_failed_claim_that_nobody_waits_for_any_more_is_no_noise(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    store.error = StoreAway()
    limiter = await opened(clock, store)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    taker = asyncio.create_task(limiter.take())
    await store.arrived.wait()
    taker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taker
    store.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert limiter._claims._recording is None
    assert reported == []


async def test_a_window_that_fills_while_a_claim_is_written_refuses_who_waited(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    limiter = await opened(clock, store, limit=1)
    takers = [asyncio.create_task(limiter.take()) for _ in range(2)]
    await store.arrived.wait()
    store.gate.set()
    first, second = await asyncio.gather(*takers, return_exceptions=True)
    assert first is None
    assert isinstance(second, RateLimited)
    assert second.retry_after_s == 60.0


async def test_a_pause_ordered_while_a_claim_is_written_holds_for_who_waited(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    limiter = await opened(clock, store)
    taker = asyncio.create_task(limiter.take())
    await store.arrived.wait()
    limiter.tighten(retry_after_s=7.0)
    store.gate.set()
    with pytest.raises(RateLimited):
        await taker
    assert limiter.used() == 0


async def test_a_call_at_the_very_end_of_a_claim_still_counts_in_full_after_a_crash(
    clock: ManualClock,
) -> None:
    store = GatedStore()
    store.gate.set()
    before = await opened(clock, store)
    await before.take()
    await before.take()
    clock.advance_ns(10**9 - 1)
    await before.take()
    assert store.writes == 2, "the third call was claimed a second ago"
    clock.advance(59.5)
    await before.take()
    after = await opened(clock, store)
    assert after.used() >= 2, "that third call is 59.5 seconds old, whatever is claimed since"
    clock.advance_ns(500_000_000 - 1)
    assert after.used() >= 2
