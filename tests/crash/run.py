"""One run: a server that dies in the middle of things, its restarts, and the comparison."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash import mixes
from tests.crash.actors import World
from tests.crash.compare import Evidence, Findings, all_entries, compare
from tests.crash.mixes import ANYWHEN, MIXES, campaigns_of
from tests.crash.sent import Applied, Table
from tests.crash.server import KILLED, ServerProcess

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors_server.ledger import LedgerError
from smartconnectors_server.ledger.audit import Broken
from smartconnectors_server.ledger.snapshot import Snapshot

FIRST_WAVE = 40
MOST_BIDS = 110
REACHED_WITHIN_S = 8.0
KNOWN_WITHIN_S = 60.0
ANSWER_WITHIN_S = 30.0
"""Also on a machine that has much else to do."""


@dataclass
class Result:
    """What one run came to. `reached` False: the server never came to the point, and the run says
    nothing.
    """

    point: str
    seed: int
    mix: str
    armed: str
    reached: bool = False
    kills: int = 0
    bids: int = 0
    applied: int = 0
    in_doubt: int = 0
    """Right after the last restart."""
    findings: Findings = field(default_factory=Findings)

    @property
    def wrong(self) -> bool:
        """Whether a promise was broken."""
        return bool(self.findings)


class Stuck(Exception):
    """Something is not known though the weather is fine again."""


async def run(
    seed: int, point: str, sandboxes: Mapping[str, tuple[Any, str]], directory: Path
) -> Result:
    """Runs one seed at one failpoint. The seed decides what everybody does; when exactly, that is
    up to the machine.

    `sandboxes`: platform -> its sandbox and endpoint. `directory` is emptied before.
    Raises Stuck.
    """
    chance = random.Random(f"{seed} {point}")
    mix_name = chance.choice(mixes.mixes_of(point))
    times = chance.choice([1, 1, 2, 3, 5, 8]) if mixes.happens_often(point) else 1
    result = Result(point, seed, mix_name, f"{point}:{times}")
    empty(directory)
    for sandbox, _ in sandboxes.values():
        await sandbox.reset()
    one = Run(chance, result, sandboxes, directory)
    try:
        async with one.actors():
            if await one.first_life():
                result.reached = True
                await one.lives_between()
                await one.last_life()
    finally:
        await one.close()
    return result


def empty(directory: Path) -> None:
    """Makes it a directory that has nothing in it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


class Run:
    """The lives of one server, its callers, and the comparison at the end."""

    def __init__(
        self,
        chance: random.Random,
        result: Result,
        sandboxes: Mapping[str, tuple[Any, str]],
        directory: Path,
    ) -> None:
        self.chance = chance
        self.result = result
        self.directory = directory
        mix = MIXES[result.mix]
        self.table = Table(chance, campaigns_of)
        self.world = World(
            f"{result.seed} {result.point}",
            mix,
            {name: sandbox for name, (sandbox, _) in sandboxes.items()},
            self.table,
        )
        self.document = mixes.document(
            mix,
            {name: endpoint for name, (_, endpoint) in sandboxes.items()},
            str(directory / "state"),
        )
        self._lives: list[ServerProcess] = []
        self._callers: list[asyncio.Task[None]] = []
        self._weather: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def actors(self) -> AsyncIterator[None]:
        """Everybody acts inside the block."""
        self._weather = [
            asyncio.create_task(self.world.weather()),
            asyncio.create_task(self.world.operator()),
        ]
        crowd = asyncio.create_task(self._crowd())
        try:
            yield
        finally:
            for task in (*self._weather, *self._callers, crowd):
                task.cancel()
            everybody = (*self._weather, *self._callers, crowd)
            ended = await asyncio.gather(*everybody, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    async def _crowd(self) -> None:
        """A first wave at once, and then more until the server has died."""
        for _ in range(FIRST_WAVE):
            self._bid()
        await self.world.living()
        while not self.result.reached and len(self.table.bids) < MOST_BIDS:
            await asyncio.sleep(0.05)
            self._bid()

    def _bid(self) -> None:
        platform = self.chance.choice(self.world.platforms)
        if self.chance.random() < 0.1:
            bids = [self.table.new(platform) for _ in range(3)]
            self._go(self.world.batch(bids), bids[0].request_id)
            return
        bid = self.table.new(platform)
        self._go(self.world.caller(bid), bid.request_id)
        if self.chance.random() < 0.2:
            self._go(self.world.caller(bid), bid.request_id)  # the same request, twice

    def _go(self, caller: Coroutine[Any, Any, None], name: str) -> None:
        self._callers.append(asyncio.create_task(caller, name=name))

    # Lives

    async def start(self, failpoint: str = "", wrapper: Sequence[str] = ()) -> ServerProcess:
        """Starts one more server, which is closed at the end whatever happens."""
        server = await ServerProcess.start(self.directory, self.document, failpoint, wrapper)
        self._lives.append(server)
        return server

    def open(self, server: ServerProcess) -> None:
        """Lets callers use it."""
        self.world.server = server
        self.world.up.set()

    def died(self, server: ServerProcess) -> None:
        """Counts a server that was killed; callers wait for the next one."""
        self.world.up.clear()
        assert server.process.returncode == KILLED, f"it ended with {server.process.returncode}"
        self.result.kills += 1

    async def first_life(self) -> bool:
        """Until it dies at its point; False when it never comes there."""
        anywhen = self.result.point == ANYWHEN
        server = await self.start("" if anywhen else self.result.armed)
        if await server.ready():
            self.open(server)
            if anywhen:
                await asyncio.sleep(self.chance.uniform(0.05, 2.0))
                server.kill()
            if not await server.ended(REACHED_WITHIN_S):
                return False
        self.died(server)
        return True

    async def lives_between(self) -> None:
        """Some servers die again while they recover."""
        while self.chance.random() < 0.3:
            server = await self.start(self.chance.choice(mixes.IN_RECOVERY))
            if await server.ready():
                self.open(server)
                if not await server.ended(self.chance.uniform(0.1, 1.2)):
                    server.kill()
                    await server.ended(5)
            self.died(server)

    async def last_life(self) -> None:
        """The weather clears, everybody learns what became of their bids, and it is compared."""
        await self.clear_weather()
        server = await self.start()
        if not await server.ready():
            raise Stuck(f"it does not start: {(self.directory / 'serve.log').read_text()[-2000:]}")
        await self.conclude(server)

    async def clear_weather(self) -> None:
        """No faults from now on."""
        for task in self._weather:
            task.cancel()
        for sandbox in self.world.sandboxes.values():
            await sandbox.clear_faults()

    async def conclude(self, server: ServerProcess) -> None:
        """Waits until every caller knows what became of its bids, and compares. Raises Stuck."""
        self.result.in_doubt = await self._holds(server, budgets_pb2.HOLD_STATE_IN_DOUBT)
        for name in self.world.platforms:
            request = budgets_pb2.ResumeBudgetRequest(budget_id=name, reason="a new day")
            await server.budgets.ResumeBudget(request, timeout=ANSWER_WITHIN_S)
        self.world.last_life = True
        self.open(server)
        await self._until_all_is_known(server)
        self.result.bids = len(self.table.bids)
        entries = await all_entries(server.budgets)
        applied = self.applied(entries)
        self.result.applied = len(applied)
        evidence = Evidence(
            self.table.bids,
            applied,
            entries,
            self.world.told,
            self.world.most_micros,
            self.world.mix.window_s,
        )
        self.result.findings = compare(evidence)
        self.result.findings.lost += self._audited()

    def applied(self, _entries: Sequence[budgets_pb2.LedgerEntry]) -> list[Applied]:
        """Every change that took effect at a platform, by the platforms' own journals."""
        return [
            change
            for name, sandbox in self.world.sandboxes.items()
            for change in self.table.applied(name, sandbox.journal())
        ]

    def _audited(self) -> list[str]:
        """What is wrong with the file itself: the chain of its lines, and every balance anew."""
        snapshot = Snapshot(self.directory / "state")
        try:
            snapshot.verify()
        except (Broken, LedgerError) as error:
            return [f"the audit ledger: {error}"]
        finally:
            snapshot.close()
        return []

    async def _until_all_is_known(self, server: ServerProcess) -> None:
        _, waiting = await asyncio.wait(self._callers, timeout=KNOWN_WITHIN_S)
        if waiting:
            told = {task.get_name(): self.world.told[task.get_name()][-3:] for task in waiting}
            open_now = await self._holds(server)
            raise Stuck(f"told {told}, callers still wait; {open_now} holds are open")
        async with asyncio.timeout(KNOWN_WITHIN_S):
            while await self._holds(server):  # noqa: ASYNC110 - another process knows
                await asyncio.sleep(0.05)

    @staticmethod
    async def _holds(server: ServerProcess, state: int | None = None) -> int:
        request = budgets_pb2.ListHoldsRequest(page_size=1000)
        holds = (await server.budgets.ListHolds(request, timeout=ANSWER_WITHIN_S)).holds
        return sum(state is None or hold.state == state for hold in holds)

    async def close(self) -> None:
        """Ends what is left."""
        for server in self._lives:
            await server.close()
