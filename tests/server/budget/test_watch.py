"""Subscribers see each budget at once and then as it changes, and cost no memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, deferred, sums
from tests.server.budget.conftest import House

from smartconnectors_server.budget import Verb
from smartconnectors_server.errors import BudgetExceeded, ServerDraining
from smartconnectors_server.ledger import BudgetState


async def everybody_acts() -> None:
    """Lets whoever can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def next_of(updates: AsyncIterator[BudgetState]) -> BudgetState:
    async with asyncio.timeout(60):
        return await anext(updates)


async def settle(house: House, name: str, amount: int) -> None:
    hold = await house.keeper.reserve(ask(name, amount))
    await house.keeper.resolve(hold, Verb.SETTLE)


async def test_each_budget_is_told_at_once(house: House) -> None:
    updates = house.watch.subscribe([PLATFORM, "total"])
    first, second = await next_of(updates), await next_of(updates)
    assert [first.budget_id, second.budget_id] == [PLATFORM, "total"]


async def test_a_change_is_told_and_nothing_else(house: House) -> None:
    updates = house.watch.subscribe([PLATFORM])
    await next_of(updates)
    waiting = asyncio.ensure_future(next_of(updates))
    await everybody_acts()
    house.watch.changed()  # something else has changed
    await everybody_acts()
    assert not waiting.done()
    await house.keeper.reserve(ask("a", 10 * USD))
    assert sums(await waiting) == (0, 10, 0, 0)


@pytest.mark.parametrize(
    "change", ["resolve", "expire", "dispatch", "defer", "settle late", "limit", "pause", "check"]
)
async def test_each_kind_of_change_wakes_who_waits(house: House, change: str) -> None:
    keeper = house.keeper
    held = await keeper.reserve(ask("a", USD))
    waiting_bid = await keeper.reserve(deferred(house.ledger, "b", USD))
    given_back = await keeper.resolve(await keeper.reserve(ask("c", USD)), Verb.RELEASE)
    updates = house.watch.subscribe([PLATFORM])
    await next_of(updates)
    waiting = asyncio.ensure_future(next_of(updates))
    await everybody_acts()
    if change == "resolve":
        await keeper.resolve(held, Verb.SETTLE)
    elif change == "expire":
        await keeper.expire(waiting_bid)
    elif change == "dispatch":
        await keeper.dispatch(waiting_bid, target="t", before="")
    elif change == "defer":
        put = {"amount_micros": USD, "until_ns": 1, "uncapped_micros": 0}
        await keeper.defer(held, **put, source="fallback", note="")
    elif change == "settle late":
        await keeper.settle_late(given_back, note="late")
    elif change == "limit":
        await keeper.set_limit(PLATFORM, 7 * USD, "less")
    elif change == "pause":
        await keeper.set_paused(PLATFORM, True, "stop")
    else:
        with pytest.raises(BudgetExceeded):
            await keeper.check(ask("d", 501 * USD))
    await everybody_acts()
    assert waiting.done()


async def test_a_refusal_is_a_change(house: House) -> None:
    updates = house.watch.subscribe([PLATFORM])
    assert (await next_of(updates)).vetoed_count == 0
    with pytest.raises(BudgetExceeded):
        await house.keeper.reserve(ask("a", 501 * USD))
    assert (await next_of(updates)).vetoed_count == 1


async def test_a_slow_reader_gets_the_newest_and_nothing_is_kept_for_it(house: House) -> None:
    updates = house.watch.subscribe([PLATFORM])
    await next_of(updates)
    for number in range(30):
        await settle(house, f"r{number}", USD)
    assert sums(await next_of(updates)) == (30, 0, 0, 0)
    waiting = asyncio.ensure_future(next_of(updates))
    await everybody_acts()
    assert not waiting.done()
    waiting.cancel()
    assert house.watch.subscribers <= 1


async def test_an_amount_that_leaves_the_window_is_a_change(house: House) -> None:
    await settle(house, "a", 10 * USD)
    house.clock.advance(100)
    await settle(house, "b", 20 * USD)
    updates = house.watch.subscribe([PLATFORM])
    assert sums(await next_of(updates)) == (30, 0, 0, 0)
    for before_s, rest_s, left in [(499, 1.001, 20), (98.9, 1.1, 0)]:
        waiting = asyncio.ensure_future(next_of(updates))
        await everybody_acts()
        house.clock.advance(before_s)
        await everybody_acts()
        assert not waiting.done()
        house.clock.advance(rest_s)
        assert sums(await waiting) == (left, 0, 0, 0)


async def test_closing_ends_every_subscription_as_no_finished_stream(
    house: House,
) -> None:
    async def all_of(updates: AsyncIterator[BudgetState]) -> int:
        seen = 0
        try:
            async for _ in updates:
                seen += 1
        except ServerDraining:
            return seen
        raise AssertionError("it ended as if there were no more to see")

    reading = [asyncio.ensure_future(all_of(house.watch.subscribe([PLATFORM]))) for _ in range(3)]
    await everybody_acts()
    assert house.watch.subscribers == 3
    house.watch.close()
    assert await asyncio.gather(*reading) == [1, 1, 1]
    assert house.watch.subscribers == 0
    assert await all_of(house.watch.subscribe([PLATFORM])) == 0


async def test_who_stops_reading_is_forgotten(house: House) -> None:
    reading = asyncio.ensure_future(next_of(house.watch.subscribe([PLATFORM])))
    await reading
    updates = house.watch.subscribe([PLATFORM])
    await next_of(updates)
    waiting = asyncio.ensure_future(next_of(updates))
    await everybody_acts()
    before = house.watch.subscribers
    waiting.cancel()
    await everybody_acts()
    assert house.watch.subscribers == before - 1


async def test_an_unknown_budget_is_refused_before_anything_is_told(house: House) -> None:
    with pytest.raises(KeyError):
        await next_of(house.watch.subscribe([PLATFORM, "nothing"]))
    assert house.watch.subscribers == 0
