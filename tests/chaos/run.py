"""One run: a server in hardship, and the same comparison as after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc.aio
from tests.chaos.hardships import HARDSHIPS, MAY_DIE, send
from tests.chaos.link import Link
from tests.chaos.shortage import FewThreads
from tests.crash.compare import SETTLES, all_entries
from tests.crash.run import ANSWER_WITHIN_S, KNOWN_WITHIN_S, Result, Run, Stuck, empty
from tests.crash.sent import Applied
from tests.crash.server import READY_WITHIN_S, ServerProcess

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2

SETTLED_DOWN_S = 0.05
SETTLING_NS = 200_000_000
"""A server may still be committing an answer that it got just before the platform went away."""
MIXES = ("lossy", "crowd", "short window", "outage")
KILLED_AFTERWARDS = 0.3
"""How often the server is killed when the hardship is over."""


async def run(
    seed: int, hardship: str, sandboxes: Mapping[str, tuple[Any, str]], directory: Path
) -> Result:
    """Runs one seed of one hardship. `directory` is emptied before. Raises Stuck."""
    chance = random.Random(f"{seed} {hardship}")
    result = Result(hardship, seed, chance.choice(MIXES), hardship)
    empty(directory)
    for sandbox, _ in sandboxes.values():
        await sandbox.reset()
    links = {name: Link(endpoint, chance) for name, (_, endpoint) in sandboxes.items()}
    linked = {name: (sandboxes[name][0], await link.start()) for name, link in links.items()}
    one = ChaosRun(chance, result, linked, directory, links)
    try:
        async with one.actors():
            await one.play()
    finally:
        await one.close()
        for link in links.values():
            await link.close()
    return result


class ChaosRun(Run):
    """A run whose server is not killed at a point of its own but put through a hardship."""

    def __init__(
        self,
        chance: random.Random,
        result: Result,
        sandboxes: Mapping[str, tuple[Any, str]],
        directory: Path,
        links: Mapping[str, Link],
    ) -> None:
        super().__init__(chance, result, sandboxes, directory)
        self.links = links
        self._now: ServerProcess | None = None
        self._group: FewThreads | None = None
        self._state, self._copy = directory / "state", directory / "copy"
        # A mark outside of the state directory tells an old copy of it.
        ledger = {**self.document["ledger"], "mark_file": str(directory / "ledger.mark")}
        self.document = {**self.document, "ledger": ledger}
        self._forgotten: list[Applied] = []
        """What platforms had applied when they lost their state."""
        self._lost_at_ns: dict[str, list[int]] = defaultdict(list)

    async def play(self) -> None:
        """The whole of it."""
        name = self.result.point
        self._now = await self._ready()
        self.open(self._now)
        await HARDSHIPS[name](self)
        for link in self.links.values():
            link.clear()
        self.result.reached = True
        if await self._now.ended(0.2):
            if name not in MAY_DIE:
                raise Stuck(f"the server ended with {self._now.process.returncode}")
        elif self.chance.random() < KILLED_AFTERWARDS:
            self.kill()
        else:
            await self.clear_weather()
            await self.conclude(self._now)
            return
        await self._now.ended(READY_WITHIN_S)
        self.world.up.clear()
        self.result.kills += 1
        await self.last_life()

    async def _ready(self, wrapper: Sequence[str] = ()) -> ServerProcess:
        server = await self.start(wrapper=wrapper)
        if not await server.ready():
            raise Stuck("the server does not start")
        return server

    @property
    def process_id(self) -> int:
        """The server's."""
        assert self._now is not None
        return self._now.process.pid

    def signal(self, number: int) -> None:
        """Sends the server a signal."""
        send(self.process_id, number)

    def kill(self) -> None:
        """SIGKILL; callers wait for the next life."""
        assert self._now is not None
        self.world.up.clear()
        self._now.kill()

    def thread_group(self) -> FewThreads:
        """A control group for this run's servers."""
        self._group = FewThreads(f"chaos-{self.process_id}")
        return self._group

    async def start_in_shortage(self, wrapper: Sequence[str]) -> None:
        """Kills the server and starts it in a shortage. It has to become ready or to end with a
        message, and must not hang; afterwards it is started in plenty. Raises Stuck.
        """
        await asyncio.sleep(self.chance.uniform(0.3, 1.0))
        self.kill()
        assert self._now is not None
        await self._now.ended(READY_WITHIN_S)
        self.result.kills += 1
        short = await self.start(wrapper=wrapper)
        try:
            started = await short.ready()
        except TimeoutError:
            raise Stuck("in a shortage it neither started nor ended") from None
        if started:
            short.process.terminate()
            if not await short.ended(KNOWN_WITHIN_S):
                raise Stuck("it was started in a shortage and does not end on SIGTERM")
        elif short.process.returncode == 0:
            raise Stuck("it did not start and ended with 0")
        self._now = await self._ready()
        self.open(self._now)

    # Copies of the state directory

    def copy_state(self, names: Sequence[str]) -> None:
        """Copies these files of the state directory, as they are now."""
        self._copy.mkdir(exist_ok=True)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(self._state / name, self._copy / name)

    async def another_bid_is_placed(self) -> None:
        """Waits for something that a copy made before does not know. Raises Stuck."""
        assert self._now is not None
        before = len(await all_entries(self._now.budgets))
        async with asyncio.timeout(KNOWN_WITHIN_S):
            while len(await all_entries(self._now.budgets)) == before:
                bid = self.table.new(self.chance.choice(self.world.platforms))
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await self._now.place(bid.platform, bid.request, ANSWER_WITHIN_S)

    async def start_on_the_copy(self) -> None:
        """Kills the server, and starts one on the copy, which lacks lines: it must be refused.
        Then the newest state directory is put back. Raises Stuck.
        """
        self.kill()
        assert self._now is not None
        await self._now.ended(READY_WITHIN_S)
        self.result.kills += 1
        aside = self.directory / "aside"
        shutil.move(self._state, aside)
        shutil.move(self._copy, self._state)
        server = await self.start()
        if await server.ready():
            raise Stuck("a server started on an old copy of its state directory")
        shutil.rmtree(self._state)
        shutil.move(aside, self._state)
        self._now = await self._ready()
        self.open(self._now)

    # Platforms that lose their state

    async def lose_platform_state(self, name: str) -> None:
        """The platform goes away for a moment and comes back as it was at first."""
        link, sandbox = self.links[name], self.world.sandboxes[name]
        link.cut()
        await asyncio.sleep(SETTLED_DOWN_S)  # what it has received takes effect
        self._forgotten += self.table.applied(name, sandbox.take_journal())
        self._lost_at_ns[name].append(time.time_ns())
        await sandbox.reset()
        await asyncio.sleep(self.chance.uniform(0.1, 0.5))
        link.clear()

    def applied(self, entries: Sequence[budgets_pb2.LedgerEntry]) -> list[Applied]:
        """Every change that took effect, without those that a platform lost with its state before
        anybody could know of them: a look at the platform rightly finds them not there.
        """
        settled_ns: dict[str, int] = {}
        for entry in entries:
            if entry.verb in SETTLES:
                settled_ns.setdefault(entry.request_id, entry.at.ToNanoseconds())
        return super().applied(entries) + [
            change
            for change in self._forgotten
            if change.bid is not None and not self._lost(change, settled_ns)
        ]

    def _lost(self, change: Applied, settled_ns: Mapping[str, int]) -> bool:
        assert change.bid is not None
        lost_at_ns = min(at for at in self._lost_at_ns[change.platform] if at >= change.at_ns)
        known_ns = settled_ns.get(change.bid.request_id)
        return known_ns is None or known_ns > lost_at_ns + SETTLING_NS
