"""What is being sent, by scope: who pauses a budget is told what that does not stop any more."""

from __future__ import annotations

import asyncio

from tests.conformance.ledger.bench import PLATFORM, USD, ask
from tests.server.budget.conftest import House

from smartconnectors_server.budget import Verb
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.ledger import ALL, Hold

CAMPAIGN = f"{PLATFORM}/campaigns/1"


async def held(
    house: House, name: str, *budget_ids: str, amount: int = USD, platform: str = PLATFORM
) -> Hold:
    scopes = budget_ids or (platform,)
    exempt = amount == 0
    asked = ask(name, amount, platform=platform, budget_ids=scopes, exempt=exempt)
    return await house.ledger.reserve(asked)


def figures(house: House, scope: str) -> tuple[list[str], int, int]:
    """Who is being sent, how many are in doubt, and how many wait."""
    now = house.keeper.dispatches.of(scope)
    return [hold.request_id for hold in now.held], now.in_doubt_count, now.deferred_count


async def some_of_each(house: House) -> None:
    await held(house, "campaign", PLATFORM, CAMPAIGN)
    await held(house, "elsewhere", "meta", platform="meta")
    for name in ("doubt 1", "doubt 2"):
        await house.ledger.doubt((await held(house, name)).hold_id)
    until_ns = house.ledger.now_ns() + NANOS_PER_SECOND
    for number in range(3):
        await house.ledger.reserve(ask(f"waits {number}", USD, defer_until_ns=until_ns))


async def test_bids_are_counted_by_state_in_each_scope_that_they_count_in(house: House) -> None:
    await some_of_each(house)
    assert figures(house, ALL) == (["campaign", "elsewhere"], 2, 3)
    assert figures(house, PLATFORM) == (["campaign"], 2, 3)
    assert figures(house, CAMPAIGN) == (["campaign"], 0, 0)
    assert figures(house, "meta") == (["elsewhere"], 0, 0)
    assert figures(house, f"{PLATFORM}/campaigns/2") == ([], 0, 0)


async def test_a_reduction_holds_nothing_and_is_not_counted(house: House) -> None:
    await held(house, "reduces", amount=0)
    assert figures(house, ALL) == figures(house, PLATFORM) == ([], 0, 0)


async def test_the_last_dispatch_of_each_scope_is_remembered_by_its_end(house: House) -> None:
    dispatches = house.keeper.dispatches
    hold = await held(house, "a", PLATFORM, CAMPAIGN)
    assert dispatches.of(PLATFORM).last_ended_ns == 0
    elsewhere = await held(house, "b", platform="meta")
    ended: dict[str, int] = {}
    for one in (hold, elsewhere):
        house.clock.advance(1)
        dispatches.ended(one)
        ended |= dict.fromkeys((ALL, *one.budget_ids), house.ledger.now_ns())
    # A total counts what its platforms send, whether or not it is named.
    ended["total"] = house.ledger.now_ns()
    assert {scope: dispatches.of(scope).last_ended_ns for scope in ended} == ended
    assert dispatches.of(f"{PLATFORM}/campaigns/2").last_ended_ns == 0


async def test_what_was_admitted_before_there_was_a_total_is_in_flight_in_it(house: House) -> None:
    await held(house, "a")
    assert figures(house, "total") == (["a"], 0, 0)


async def test_who_waits_for_a_scope_to_be_idle_is_told_when_its_last_bid_has_ended(
    house: House,
) -> None:
    first, last = await held(house, "a"), await held(house, "b")
    await held(house, "elsewhere", "meta", platform="meta")
    waiting = asyncio.ensure_future(house.keeper.dispatches.idle(PLATFORM, 60.0))
    for hold, idle in ((first, False), (last, True)):
        await house.keeper.resolve(hold, Verb.SETTLE)
        for _ in range(20):
            await asyncio.sleep(0)
        assert waiting.done() == idle
    assert (await waiting).held == ()


async def test_who_has_waited_long_enough_is_told_what_is_still_on_its_way(house: House) -> None:
    hold = await held(house, "a")
    assert (await house.keeper.dispatches.idle(PLATFORM, 0.01)).held == (hold,)
