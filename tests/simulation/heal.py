"""The last life of a seed: nothing goes wrong any more, until nothing is open; then the whole of
every budget must be there to be had again, and not a micro more.
"""

from __future__ import annotations

import asyncio
import math

from tests.simulation.bids import Asked, Attempt
from tests.simulation.broken import Promise
from tests.simulation.checks import (
    check_nothing_is_forgotten,
    check_nothing_is_open,
    check_windows_are_on_record,
)
from tests.simulation.server import Answer, Server
from tests.simulation.state import World
from tests.simulation.terms import TOTAL

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.ledger import HoldState

LONGEST_DOUBT_S = 400.0
LOOK_EVERY_S = 20.0
MOMENT_S = 0.0006
"""Less than the shortest time that a window tells apart."""
CLOCK_S = 2e-9
"""The loop's timers may ring a nanosecond early."""
UNLIMITED = "2"
"""A campaign without a budget of its own."""


async def heal(world: World, server: Server) -> None:
    """One life, to its end."""
    await server.begin()
    await check_nothing_is_forgotten(world, server)
    await check_windows_are_on_record(world, server)
    for scope in world.terms.pausable:
        await world.operator.set_paused(server, scope.budget_id, False)
    for _ in range(round(LONGEST_DOUBT_S / LOOK_EVERY_S)):
        await asyncio.sleep(LOOK_EVERY_S)
        if not server.ledger.open_holds():
            break
    check_nothing_is_open(world, server)
    await check_nothing_is_forgotten(world, server)
    await _hear_what_became_of_all(world, server)
    await asyncio.sleep(world.terms.longest_window_s() + 1.0)
    await _take_all(world, server)
    await server.end()
    await server.close()


async def _hear_what_became_of_all(world: World, server: Server) -> None:
    for (name, request_id), asked in world.asked.items():
        hold = await server.ledger.find(name, request_id, "anonymous")
        asked.assumed = hold is not None and hold.note.startswith("assumed")
        if isinstance(asked.bid, bid_pb2.BidRequest):
            asked.final = (await server.ask(name, request_id)).word
        else:
            settled = hold is not None and hold.state is HoldState.SETTLED
            asked.final = "PLACED" if settled else ""
        truth = request_id in world.platforms[name].applied_ids or asked.assumed
        # What was told before an operator's word, the word may undo: the file never heard of it.
        by_word_at_s = world.platforms[name].excused.get(request_id)
        if asked.final == "PLACED" and not truth:
            world.breaks(Promise.TRUTH, f"{name} {request_id} is said to be placed, and is not")
        if by_word_at_s is None or asked.final == "PLACED":
            continue
        if asked.known_at_s(by_word_at_s) < math.inf:
            world.breaks(Promise.LEDGER, f"{name} {request_id}, accepted, is now {asked.final}")


async def _take_all(world: World, server: Server) -> None:
    """All that one platform's budget and the total leave, in two bids a moment apart. Then nothing
    fits, until the very instant that the refusal names.
    """
    name = world.chance.choice(list(world.platforms))
    world.disk.is_quick = True
    states = server.ledger.state(name).limits
    total = server.ledger.state(TOTAL).limits[0].limit.limit_micros
    most = min(total, *(state.limit.limit_micros for state in states))
    answer = await _ask(world, server, name, "more-than-all", most + 1)
    if answer.word != "BUDGET_EXCEEDED":
        world.breaks(Promise.WINDOW, f"{name}: a micro above {most} was {answer.word}")
    halves = await asyncio.gather(
        _ask(world, server, name, "one-half", most // 2),
        _ask(world, server, name, "other-half", most - most // 2, after_s=MOMENT_S),
    )
    for answer in halves:
        if answer.word != "PLACED":
            world.leaks(name, f"of {most} micros not all can be had: {answer.word} {answer.text}")
            return
    answer = await _ask(world, server, name, "again", most)
    if answer.word != "BUDGET_EXCEEDED" or answer.retry_after_s is None:
        world.breaks(Promise.WINDOW, f"{name}: all of it, twice, was {answer}")
        return
    at_s = world.clock.now_s() + answer.retry_after_s
    await asyncio.sleep(answer.retry_after_s - MOMENT_S)
    await _ask(world, server, name, "again", most)
    await asyncio.sleep(at_s - world.clock.now_s() + CLOCK_S)
    answer = await _ask(world, server, name, "again", most)
    if answer.word != "PLACED":
        world.breaks(Promise.TRUTH, f"{name}: it did not fit when it was said to: {answer}")


async def _ask(
    world: World, server: Server, name: str, request_id: str, micros: int, *, after_s: float = 0.0
) -> Answer:
    await asyncio.sleep(after_s)
    bid = bid_pb2.BidRequest(request_id=request_id, campaign_id=UNLIMITED, bid_micros=micros)
    asked = world.asked.setdefault((name, request_id), Asked(name, request_id, bid))
    attempt = Attempt(world.clock.now_s())
    asked.attempts.append(attempt)
    answer = await server.place(name, server.request(name, bid), None)
    attempt.tell(answer.word, world.clock.now_s())
    world.say(f"{name} {request_id} {answer.word}")
    return answer
