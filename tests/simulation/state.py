"""Everything that one seed decides, and what outlives each of its servers."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tests.simulation.bids import Asked, LimitHistory
from tests.simulation.broken import Broken, Promise
from tests.simulation.change import Change
from tests.simulation.people import Nature, Operator, Pauses
from tests.simulation.platform import ScriptedPlatform
from tests.simulation.record import Record
from tests.simulation.server import Server
from tests.simulation.terms import TOTAL, Scope, draw_terms
from tests.simulation.world import Disk, VirtualClock, VirtualLoop

from smartconnectors_server.platforms import PLATFORMS

LONGEST_LIFE_S = 5_000.0


class World:
    """One seed's world."""

    def __init__(self, seed: int, state_dir: Path) -> None:
        self.seed = seed
        self.state_dir = state_dir
        self.chance = self.source("world")
        self.clock = VirtualClock()
        self.disk = Disk(self.source("disk"))
        self.record = Record(state_dir)
        self.terms = draw_terms(self.source("terms"), PLATFORMS)
        self.platforms = {
            name: ScriptedPlatform(name, terms, self.source(name), self.clock)
            for name, terms in self.terms.platforms.items()
        }
        self.limits = LimitHistory(self.terms.scopes)
        self.pauses = Pauses(self.terms.pausable)
        self.nature = Nature(self.source("nature"), self.clock, self.disk, self.platforms)
        self.operator = Operator(
            self.source("operator"),
            self.terms.scopes,
            self.terms.pausable,
            self.limits,
            self.pauses,
            self.clock.now_s,
            self.say,
        )
        self.asked: dict[tuple[str, str], Asked] = {}
        self.broken: list[Broken] = []
        self.trace: list[str] = []
        self.lives = self.crashes = 0
        self.leaked: dict[str, int] = defaultdict(int)
        """Platform, or empty for the total -> holds, or sums, that nobody would have ended."""
        self.largest_share: dict[str, float] = defaultdict(float)
        self.overshoot_micros: dict[str, int] = defaultdict(int)
        self.step_at_boot_s = 0.0
        """How far ahead the wall clock was when the machine was started."""

    def source(self, name: str) -> random.Random:
        """A source of chance for one actor, so that what others do does not change what it does."""
        return random.Random(f"{self.seed} {name}")

    def say(self, text: str) -> None:
        """One line of the trace."""
        self.trace.append(f"{self.clock.now_s():.6f} {text}")

    def breaks(self, promise: Promise, text: str) -> None:
        """A promise was broken now."""
        self.broken.append(Broken(promise, f"{text} (at {self.clock.now_s():.3f} s)"))

    def all_broken(self) -> list[Broken]:
        """What was found here and at the platforms."""
        return [*self.broken, *(b for p in self.platforms.values() for b in p.broken)]

    def leaks(self, platform: str, text: str) -> None:
        """Something of a platform's money would have stayed away for ever."""
        self.leaked[platform] += 1
        self.breaks(Promise.LEAK, f"{platform or 'total'}: {text}")

    def used(self, scope: Scope, share: float, over_micros: int) -> None:
        """So much of a limit was used in some window."""
        name = scope.platform or TOTAL
        self.largest_share[name] = max(self.largest_share[name], share)
        self.overshoot_micros[name] = max(self.overshoot_micros[name], over_micros)

    # What operators said without looking

    def freed_by_operator(self, change: Change) -> bool:
        """Whether its hold was ended by a wrong word."""
        return change.request_id in self.platforms[change.platform].excused

    def was_free(self, change: Change, from_s: float, until_s: float) -> bool:
        """Whether, at some instant in between, an operator's wrong word had freed its money, and
        the server did not know any better.
        """
        platform = self.platforms[change.platform]
        word_at_s = platform.excused.get(change.request_id)
        if word_at_s is None or until_s < word_at_s:
            return False
        asked = self.asked[change.platform, change.request_id]
        times = sum(other.request_id == change.request_id for other in platform.journal)
        known = times == 1 and asked.final == "PLACED"
        return not known or from_s <= asked.known_at_s(word_at_s)

    # Lives

    def live(self, work: Coroutine[Any, Any, None], server: Server, loop: VirtualLoop) -> bool:
        """One life, to its end or to a crash; False: a crash."""
        living = loop.create_task(work)

        def stop(_: object) -> None:
            loop.stop()

        living.add_done_callback(stop)
        late = loop.call_later(LONGEST_LIFE_S, loop.stop)
        try:
            loop.run_forever()
            living.remove_done_callback(stop)
            if living.done():
                living.result()
            else:
                if late.when() <= loop.time():
                    self.breaks(Promise.LIVENESS, "this life would not end")
                self.crashes += 1
                self.say("killed")
            self._excuse(server)
        finally:
            for platform in self.platforms.values():
                platform.taken = platform.looked_for = None
                platform.cut()
            self.disk.died, self.disk.dies_in = None, 0
            self.disk.trouble = None
            loop.is_dead = True
            self.record.close()
            server.die()
            self._close(loop)
        return living.done() and not living.cancelled()

    def new_loop(self) -> VirtualLoop:
        """Another process is started, after a while; sometimes the whole machine was."""
        pause_s = self.chance.choice([0.01, 1.0, 5.0, 60.0]) * self.chance.uniform(0.5, 1.0)
        loop = VirtualLoop(self.clock.now_s() + pause_s, self.disk)
        self.clock.drive(loop)
        if self.chance.random() < 0.2:
            # Nothing but the wall clock says how long a machine was off: it must not be ahead of
            # what it was when the machine was started the last time. It may well be behind.
            self.clock.reboot()
            for platform in self.platforms.values():
                platform.kernel.waiting.clear()
            step_s = self.clock.wall_step_s = min(self.step_at_boot_s, self.clock.wall_step_s)
            self.step_at_boot_s = step_s
        self.nature.clear_weather()  # it starts, at least
        for platform in self.platforms.values():
            platform.revive()
        self.lives += 1
        self.say(f"life {self.lives} begins, in {self.clock.boot_id()}")
        return loop

    def new_server(self) -> Server:
        """The next life's."""
        return Server(self.state_dir, self.terms, self.platforms, self.clock)

    @staticmethod
    def _close(loop: VirtualLoop) -> None:
        """Nothing of that life acts any more: its files are closed, or it has ended by itself."""
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=100))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _excuse(self, server: Server) -> None:
        """A server that ends while its disk fails cannot write that it gave a bid back. Such a bid
        counts, and if it was deferred it is placed later, though its caller was refused.
        """
        if server.ledger._commits._queue:
            for asked in self.asked.values():
                asked.excused = asked.excused or "LEDGER_UNAVAILABLE" in asked.told
