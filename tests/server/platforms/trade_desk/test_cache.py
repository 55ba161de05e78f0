"""What was read is kept while it may be used, and read once at a time."""

from __future__ import annotations

import asyncio

import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.platforms.trade_desk.cache import AccountCache


class Source:
    """Counts its reads, and answers when it is told to."""

    def __init__(self) -> None:
        self.reads = 0
        self.ready = asyncio.Event()
        self.ready.set()

    async def read(self) -> int:
        self.reads += 1
        number = self.reads
        await self.ready.wait()
        return number


async def test_it_is_read_again_when_it_is_old(clock: ManualClock) -> None:
    cache, source = AccountCache(clock, 60), Source()
    assert [await cache.get("k", source.read) for _ in range(3)] == [1, 1, 1]
    clock.advance(60)
    assert await cache.get("k", source.read) == 2


async def test_who_asks_while_it_is_read_waits_for_that_read(clock: ManualClock) -> None:
    cache, source = AccountCache(clock, 60), Source()
    source.ready.clear()
    waiting = [asyncio.create_task(cache.get("k", source.read)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    source.ready.set()
    assert await asyncio.gather(*waiting[1:]) == [1, 1, 1, 1]


async def test_a_read_from_before_a_change_is_handed_out_and_not_kept(clock: ManualClock) -> None:
    cache, source = AccountCache(clock, 60), Source()
    source.ready.clear()
    waiting = asyncio.create_task(cache.get("k", source.read))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cache.drop("k")
    source.ready.set()
    assert await waiting == 1
    assert await cache.get("k", source.read) == 2


async def test_our_own_change_keeps_the_age_of_the_rest(clock: ManualClock) -> None:
    cache, source = AccountCache(clock, 60), Source()
    await cache.get("k", source.read)
    clock.advance(59)
    cache.replace("k", 100)
    assert await cache.get("k", source.read) == 100
    clock.advance(1)
    assert await cache.get("k", source.read) == 2


async def test_a_change_of_what_is_not_known_keeps_nothing(clock: ManualClock) -> None:
    cache, source = AccountCache(clock, 60), Source()
    cache.replace("k", 100)
    assert await cache.get("k", source.read) == 1


async def test_a_failed_read_is_raised_to_all_and_tried_again(clock: ManualClock) -> None:
    cache, source = AccountCache(clock, 60), Source()

    async def fail() -> int:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            await cache.get("k", fail)
    assert await cache.get("k", source.read) == 1


async def test_closing_ends_what_is_still_read(clock: ManualClock) -> None:
    cache, source = AccountCache(clock, 60), Source()
    source.ready.clear()
    waiting = asyncio.create_task(cache.get("k", source.read))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
