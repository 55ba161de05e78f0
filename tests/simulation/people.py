"""Who else acts while callers bid: an operator of the budgets, and nature."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence

from tests.simulation.bids import Asked, Attempt, LimitHistory
from tests.simulation.change import Change
from tests.simulation.platform import FAULTS, SUSPENDED_S, ScriptedPlatform
from tests.simulation.server import Server
from tests.simulation.terms import USD, Scope
from tests.simulation.world import Disk, VirtualClock

from smartconnectors_server.circuitbreaker import State
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.ledger import HoldState

PAUSE_TAKES_S = 6.0
"""What was admitted before a budget was paused has been sent by then."""


class Pauses:
    """Which budgets an operator knows to be paused, and since when."""

    def __init__(self, scopes: Sequence[Scope]) -> None:
        self._scopes = scopes
        self._since_s: dict[str, float] = {}

    def paused(self, budget_id: str, now_s: float) -> None:
        """The operator was told that it is."""
        self._since_s.setdefault(budget_id, now_s)

    def known(self) -> list[str]:
        """Those that are."""
        return list(self._since_s)

    def may_run(self, budget_id: str) -> None:
        """From now on it may not be."""
        self._since_s.pop(budget_id, None)

    def forbid(self, change: Change, now_s: float) -> str:
        """The budget that forbids a change now; empty: none does."""
        for scope in self._scopes:
            since_s = self._since_s.get(scope.budget_id)
            if since_s is None or now_s < since_s + PAUSE_TAKES_S or not change.amount:
                continue
            if scope.counts(change.platform, change.campaign_id):
                return scope.budget_id
        return ""


class Operator:
    """Pauses, resumes and changes limits now and then, and ends holds, rightly or not."""

    def __init__(
        self,
        chance: random.Random,
        scopes: Sequence[Scope],
        pausable: Sequence[Scope],
        limits: LimitHistory,
        pauses: Pauses,
        now_s: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._say = say
        self._chance = chance
        self._scopes = scopes
        self._pausable = pausable
        self._limits = limits
        self._pauses = pauses
        self._now_s = now_s
        self.meddles = chance.random() < 0.3
        """Ends a hold without looking, as somebody might who has lost patience."""

    async def work(self, server: Server) -> None:
        """For as long as the server lives. A platform that is sick is stopped, as like as not."""
        chance = self._chance
        while True:
            await asyncio.sleep(chance.uniform(1, 25))
            try:
                await self._act(server)
            except ConnectorError:
                continue

    async def _act(self, server: Server) -> None:
        chance = self._chance
        scope = chance.choice(self._scopes)
        sick = [name for name, r in server.core.runtimes.items() if r.breaker.state is State.OPEN]
        stopped = self._pauses.known()
        if sick and chance.random() < 0.5:
            await self.set_paused(server, chance.choice(sick), True)
        elif stopped and chance.random() < 0.4:
            await self.set_paused(server, chance.choice(stopped), False)
        elif chance.random() < 0.15:
            scope_id = chance.choice(self._pausable).budget_id
            await self.set_paused(server, scope_id, chance.random() < 0.7)
        elif chance.random() < 0.3:
            await self._change_limit(server, scope)

    async def _change_limit(self, server: Server, scope: Scope) -> None:
        first = scope.limits[0].micros
        micros = self._chance.choice([first // 2, first * 9 // 10, first, first + 60 * USD])
        self._say(f"operator: {scope.budget_id} may have {micros} micros")
        self._limits.asks(scope.budget_id, micros, self._now_s())
        await server.core.keeper.set_limit(scope.budget_id, micros, "as I please")
        self._limits.has(scope.budget_id, micros, self._now_s())

    async def set_paused(self, server: Server, budget_id: str, paused: bool) -> None:
        """Raises ConnectorError; it is then paused or not."""
        self._say(f"operator: {budget_id} {'stops' if paused else 'goes on'}")
        if not paused:
            self._pauses.may_run(budget_id)
        await server.core.keeper.set_paused(budget_id, paused, "as I please")
        if paused:
            self._pauses.paused(budget_id, self._now_s())

    async def end_blindly(
        self, server: Server, platform: ScriptedPlatform, request_id: str
    ) -> None:
        """Says that a change has come to nothing, without having looked: in vain while it is being
        sent.
        """
        await asyncio.sleep(self._chance.uniform(0.0, 0.1))
        keeper = server.core.keeper
        try:
            hold = await keeper.find(platform.name, request_id, actor="anonymous")
            if hold is None or hold.state not in {HoldState.HELD, HoldState.IN_DOUBT}:
                return
            if hold.state is HoldState.IN_DOUBT:
                # From here on the word counts, whatever comes of it.
                platform.excuse(request_id)
            self._say(f"operator: {platform.name} {request_id} has come to nothing")
            await keeper.end_by_operator(hold.hold_id, settled=False, reason="I think")
        except ConnectorError:
            return


class Curious:
    """Asks again and again what became of the bids that wait."""

    def __init__(
        self,
        chance: random.Random,
        asked: Mapping[tuple[str, str], Asked],
        now_s: Callable[[], float],
        superseded: Callable[[Asked], None],
    ) -> None:
        self._chance = chance
        self._asked = asked
        self._now_s = now_s
        self._superseded = superseded

    async def work(self, server: Server) -> None:
        """For as long as the server lives."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.1, 1.0))
            waiting = [a for a in self._asked.values() if a.told[-1:] == ["DEFERRED"]]
            for asked in self._chance.sample(waiting, min(4, len(waiting))):
                word = (await server.ask(asked.platform, asked.request_id)).word
                if word in {"PLACED", "SUPERSEDED", "EXPIRED"}:
                    asked.attempts.append(Attempt(self._now_s(), word))
                if word == "SUPERSEDED":
                    self._superseded(asked)


class Nature:
    """Weather on the platforms' wires and on the disk, people on the platforms' own pages, a wall
    clock that is set, and a machine that is suspended.
    """

    def __init__(
        self,
        chance: random.Random,
        clock: VirtualClock,
        disk: Disk,
        platforms: Mapping[str, ScriptedPlatform],
    ) -> None:
        self._chance = chance
        self._clock = clock
        self._disk = disk
        self._platforms = platforms

    def draw_weather(self) -> None:
        """Each platform is bad in its own way, so that rare combinations come up."""
        chance, disk = self._chance, self._disk
        for platform in self._platforms.values():
            bad = chance.sample(FAULTS, chance.choice([1, 2, 3, 8]))
            platform.weights = {kind: chance.choice([0.02, 0.1, 0.5]) for kind in bad}
            if chance.random() < 0.25:
                platform.weights["refuse"] = 30.0
            platform.reads = chance.choice([0.1, 0.3, 0.7])
            platform.read_fails = chance.choice([0.0, 0.0, 0.1, 0.5])
            platform.declines = chance.choice([0.0, 0.0, 0.05])
        disk.fails, disk.fails_after, disk.stalls = (
            chance.choice([0.0, 0.03, 0.1]) for _ in range(3)
        )
        if chance.random() < 0.6:
            disk.fails = disk.fails_after = disk.stalls = 0.0

    def clear_weather(self) -> None:
        """Nothing goes wrong."""
        for platform in self._platforms.values():
            platform.weights = {}
            platform.partitioned_until_s = 0.0
            platform.reads = 0.2
            platform.read_fails = platform.declines = 0.0
        self._disk.fails = self._disk.fails_after = self._disk.stalls = 0.0

    async def work(self) -> None:
        """For as long as the server lives."""
        chance = self._chance
        while True:
            await asyncio.sleep(chance.uniform(5, 60))
            what = chance.randrange(4)
            if what == 0:
                self._clock.wall_step_s += chance.choice([-7200.0, -3.0, 3.0, 7200.0])
            elif what == 1:
                platform = self._platforms[chance.choice(list(self._platforms))]
                platform.somebody_else_changes(f"campaigns/{chance.randrange(1, 4)}")
            elif what == 2:
                self._clock.suspend(chance.choice(SUSPENDED_S))
            else:
                self.draw_weather()
