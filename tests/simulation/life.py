"""One life of a server in which callers bid, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from tests.simulation.bids import Asked, draw_bid, draw_update
from tests.simulation.broken import Promise
from tests.simulation.callers import Caller
from tests.simulation.change import Change
from tests.simulation.checks import (
    check_arrival_is_on_record,
    check_nothing_is_forgotten,
    check_nothing_is_held,
    check_nothing_is_in_doubt,
    check_releases,
    check_superseding_is_on_record,
    check_windows_are_on_record,
)
from tests.simulation.people import Curious
from tests.simulation.platform import ScriptedPlatform
from tests.simulation.server import Server
from tests.simulation.state import World

from smartconnectors.common.v1 import bid_pb2

LIFE_S = 300.0
FIRST_CALM_S = 0.2
CALM_S = 120.0


class Life:
    """One life in which callers bid."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._number = number
        self._chance = world.source(f"life {number}")
        self._dies = self._chance.random() < 0.6
        self._left = 0
        self._blind: set[asyncio.Task[None]] = set()

    def run(self) -> None:
        """To its end, or to a crash."""
        world = self._world
        callers = self._draw_callers()
        loop = world.new_loop()
        server = world.new_server()
        world.live(self._live(server, callers), server, loop)

    async def _live(self, server: Server, callers: Sequence[tuple[list[Asked], bool]]) -> None:
        world, chance = self._world, self._chance
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await server.begin()
        await check_nothing_is_forgotten(world, server)
        await check_windows_are_on_record(world, server)
        # Not before all has been looked at, which takes long where there is much.
        calm_s = FIRST_CALM_S - (loop.time() - begun_s)
        loop.call_later(max(0.0, calm_s), world.nature.draw_weather)
        rush_s = chance.choice([LIFE_S * 0.8, 60.0, 2.0, 0.02])
        self._watch(server, rush_s)
        others = [
            asyncio.ensure_future(world.operator.work(server)),
            asyncio.ensure_future(world.nature.work()),
            asyncio.ensure_future(check_releases(world, server)),
            asyncio.ensure_future(
                Curious(
                    world.source(f"curious {self._number}"),
                    world.asked,
                    world.clock.now_s,
                    partial(check_superseding_is_on_record, world),
                ).work(server)
            ),
        ]
        bidding = [
            Caller(
                server,
                world.source(f"caller {self._number} {index}"),
                world.clock.now_s,
                world.say,
                world.broken.append,
            ).bid(bids, after_s=chance.uniform(0, rush_s), streams=streams)
            for index, (bids, streams) in enumerate(callers)
        ]
        await asyncio.gather(*bidding)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.gather(*self._blind)
        if chance.random() < 0.5:
            await self._calm_down(server)
        await server.end()
        check_nothing_is_held(world, server)
        await server.close()

    async def _calm_down(self, server: Server) -> None:
        """In good weather all that is in doubt is found out, without a restart."""
        self._world.nature.clear_weather()
        await asyncio.sleep(CALM_S)
        check_nothing_is_in_doubt(self._world, server)

    # Chance

    def _draw_callers(self) -> list[tuple[list[Asked], bool]]:
        """Bids of one platform each, and whether they are streamed."""
        world, chance = self._world, self._chance
        callers = []
        for name, terms in world.terms.platforms.items():
            number = sum(platform == name for platform, _ in world.asked)
            for index in range(number, number + chance.randrange(20, 110)):
                asked = draw_bid(chance, name, f"r{index}", terms)
                if chance.random() < 0.06:
                    asked = draw_update(chance, name, f"r{index}")
                world.asked[name, asked.request_id] = asked
            known = [asked for asked in world.asked.values() if asked.platform == name]
            bids = known[number:] + chance.sample(known, min(6, len(known)))
            chance.shuffle(bids)
            updates = [a for a in bids if not isinstance(a.bid, bid_pb2.BidRequest)]
            callers += [([asked], False) for asked in updates]
            bids = [asked for asked in bids if asked not in updates]
            while bids:
                size = chance.choice([1, 1, 1, 2, 5, 8])
                callers.append((bids[:size], size > 1 and chance.random() < 0.4))
                del bids[:size]
        return callers

    def _watch(self, server: Server, rush_s: float) -> None:
        """Sees each change that arrives at a platform, and plans what follows from one."""
        world, chance, loop = self._world, self._chance, asyncio.get_running_loop()
        if self._dies:
            self._plan_death(loop, rush_s)

        def meddle(platform: ScriptedPlatform, request_id: str, likely: float) -> None:
            if world.operator.meddles and chance.random() < likely:
                word = world.operator.end_blindly(server, platform, request_id)
                task = asyncio.ensure_future(word)
                self._blind.add(task)
                task.add_done_callback(self._blind.discard)

        def taken(change: Change) -> None:
            world.say(f"{change.platform} {change.request_id} arrives for {change.target}")
            forbidden_by = world.pauses.forbid(change, world.clock.now_s())
            if forbidden_by:
                world.breaks(Promise.PAUSE, f"{change.request_id}, {forbidden_by} is paused")
            check_arrival_is_on_record(world, change)
            meddle(world.platforms[change.platform], change.request_id, 0.1)
            self._left -= self._left > 0
            if self._dies and self._left == 0:
                self._dies = False
                loop.call_later(chance.choice([0.0, 0.003, 0.1, 1.0]), loop.stop)

        for platform in world.platforms.values():
            platform.taken = taken
            platform.looked_for = partial(meddle, platform, likely=0.6)

    def _plan_death(self, loop: asyncio.AbstractEventLoop, rush_s: float) -> None:
        """At some instant, soon after a change has arrived, at a write to the disk, or when the
        disk is in trouble.
        """
        chance = self._chance
        how = chance.randrange(4)
        self._left = chance.randrange(1, 15) if how == 1 else 0
        self._dies = how == 1
        if how == 0:
            loop.call_later(chance.uniform(0.5, rush_s + 3.0), loop.stop)
        elif how == 2:
            self._world.disk.dies_in = chance.randrange(2, 60)
            self._world.disk.died = loop.stop
        elif how == 3:

            def trouble(after_s: float) -> None:
                loop.call_later(after_s, loop.stop)

            self._world.disk.trouble = trouble
