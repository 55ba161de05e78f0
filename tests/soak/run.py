"""One soak from beginning to end: warm-up, load, quiet, verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from tests.soak.bids import CAMPAIGNS, MEAN_MICROS, Bids
from tests.soak.callers import Callers
from tests.soak.faults import SLOW_CALL_MS, TIMEOUT_MS, Faults
from tests.soak.half_open import Kind, open_and_wait
from tests.soak.memory import Memory, Sample, look_at, memory_of
from tests.soak.processes import Control, Running, SoakError, running
from tests.soak.table import Table

from smartconnectors_server.ledger.book import REMEMBERED_CLOSED_HOLDS
from smartconnectors_server.platforms import PLATFORMS

WINDOW_S = 60.0
MAX_IN_FLIGHT = 200
BURST_CALLS = 3 * MAX_IN_FLIGHT
BURST_EVERY_S = 20.0
BATCHES_A_SECOND, LOOKS_A_SECOND, COMINGS_A_SECOND = 1.0, 4.0, 1.0
STREAM_BIDS_A_SECOND = 4.0
SLOW_READERS = 4
SLOW_READERS_LIVE_S = 90.0
HALF_OPEN_OF_EACH = 4
LEAST_WARM_UP_S, MOST_WARM_UP_S, WARM_UP_SHARE = 60.0, 300.0, 0.15
ADMITTED_SHARE = 0.7
"""How much of what is asked for fits the budgets."""
SAMPLE_EVERY_S, PROGRESS_EVERY_S, COUNT_EVERY_S = 2.0, 10.0, 2.0
FIND_OUT_AFTER_S = 15.0
QUIET_WITHIN_S = 150.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. `bids_per_s`: unary bids; streams, batches and bursts come on top."""

    minutes: float
    bids_per_s: float
    seed: int

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    @property
    def least_warm_up_s(self) -> float:
        """Caches may take longer to fill; see `Soak._warm_up`."""
        share = max(LEAST_WARM_UP_S, min(MOST_WARM_UP_S, self.seconds * WARM_UP_SHARE))
        return min(share, self.seconds / 2)

    @property
    def limit_micros(self) -> int:
        """Of each platform's budget."""
        all_bids_per_s = (
            self.bids_per_s
            + BURST_CALLS / BURST_EVERY_S / 3
            + BATCHES_A_SECOND * len(CAMPAIGNS)
            + STREAM_BIDS_A_SECOND * len(PLATFORMS)
        )
        share = ADMITTED_SHARE * all_bids_per_s / len(PLATFORMS)
        return int(share * WINDOW_S) * MEAN_MICROS

    def settings(self) -> dict[str, Any]:
        """The server's."""
        platform = {
            "timeout_ms": TIMEOUT_MS,
            "rate_limit": {"calls": 1_000_000, "window_s": WINDOW_S},
            "budget": {"limit": str(self.limit_micros // 10**6), "window_s": WINDOW_S},
            "circuit_breaker": {"slow_call_ms": SLOW_CALL_MS, "open_s": 2.0},
        }
        return {
            "server": {"max_in_flight": MAX_IN_FLIGHT, "drain_pause_s": 0},
            "reconciler": {"interval_s": 0.5},
            "platforms": dict.fromkeys(sorted(PLATFORMS), platform),
        }


@dataclass(slots=True)
class Outcome:
    """What a soak found."""

    plan: Plan
    table: Table
    samples: list[Sample] = field(default_factory=list)
    warm_s: float = 0.0
    loaded_s: float = 0.0
    closed_holds_when_warm: int = 0
    memory: Memory | None = None
    open_holds: int | None = None
    """After the quiet; None: it did not come so far."""
    complete: bool = False
    server_ended: bool = False
    answers: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    notices: int = 0
    skipped: int = 0
    half_open_closed: int = 0

    @property
    def caches_full(self) -> bool:
        return self.closed_holds_when_warm >= REMEMBERED_CLOSED_HOLDS

    @property
    def failures(self) -> list[str]:
        """Why it failed; empty: it did not."""
        wrong = [f"{what}: {count}" for what, count in self.table.wrong.items()]
        if self.open_holds:
            wrong.append(f"holds still open after the quiet: {self.open_holds}")
        if self.server_ended:
            wrong.append("the server ended by itself")
        if self.memory is not None and not self.memory.flat:
            wrong.append(f"the server's memory grew by {self.memory.growth:.1%}")
        return wrong


class Soak:
    """Runs one against processes that are there already."""

    def __init__(self, plan: Plan, target: Running, control: Control) -> None:
        self._began_s = time.monotonic()
        limits = dict.fromkeys(sorted(PLATFORMS), plan.limit_micros)
        table = Table(limits, WINDOW_S)
        self.outcome = Outcome(plan, table)
        self._plan = plan
        self._target = target
        self._control = control
        chance = random.Random(plan.seed)
        bids = {name: Bids(name, table, chance, f"s{plan.seed}") for name in sorted(PLATFORMS)}
        self._callers = Callers(target.address, bids, table, chance, self._now_s)
        self._faults = Faults(control)
        self._warm = False

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s

    async def run(self) -> None:
        """To its end, or until it is cancelled: what was found so far is in `outcome` either way.

        Raises whatever ended it early.
        """
        try:
            async with self._background(self._watching()):
                async with self._background(self._loading()):
                    await self._warm_up()
                    await self._until(self._plan.seconds)
                self.outcome.loaded_s = self._now_s()
                await self._faults.end()
                await self._callers.finish()
                self._remember()
                await self._become_quiet()
            await self._count_journals()
            self.outcome.table.close(self._now_s())
            self.outcome.complete = True
        finally:
            self._remember()
            await self._callers.close()

    def _remember(self) -> None:
        outcome = self.outcome
        outcome.loaded_s = outcome.loaded_s or self._now_s()
        outcome.answers = dict(self._callers.answers.most_common())
        outcome.faults = dict(self._faults.played)
        outcome.notices, outcome.skipped = self._callers.notices, self._callers.skipped
        if outcome.warm_s:
            outcome.memory = memory_of(
                outcome.samples, warm_s=outcome.warm_s, end_s=outcome.loaded_s
            )

    # The load

    def _loading(self) -> list[Awaitable[Any]]:
        callers, chance = self._callers, random.Random(self._plan.seed + 1)
        work: list[Awaitable[Any]] = [
            callers.at_rate(self._bids_per_s, callers.bid),
            callers.at_rate(lambda: BATCHES_A_SECOND, callers.batch),
            callers.at_rate(lambda: LOOKS_A_SECOND, callers.look),
            callers.at_rate(lambda: COMINGS_A_SECOND, callers.come_and_go),
            self._every(BURST_EVERY_S, lambda: callers.burst(BURST_CALLS)),
            self._faults.run(),
        ]
        for platform in sorted(PLATFORMS):
            work.append(callers.stream(platform, STREAM_BIDS_A_SECOND))
            work.append(callers.stream_without_reading(platform, SLOW_READERS_LIVE_S))
        work += [callers.watch() for _ in range(SLOW_READERS)]
        work += [callers.watch_without_reading(SLOW_READERS_LIVE_S) for _ in range(SLOW_READERS)]
        work += [self._half_open(kind, chance) for kind in Kind for _ in range(HALF_OPEN_OF_EACH)]
        return work

    def _bids_per_s(self) -> float:
        return self._plan.bids_per_s

    async def _half_open(self, kind: Kind, chance: random.Random) -> None:
        while True:
            await asyncio.sleep(chance.uniform(0, 5))
            try:
                async with asyncio.timeout(SLOW_READERS_LIVE_S):
                    await open_and_wait(self._target.address, kind)
            except TimeoutError:
                continue
            self.outcome.half_open_closed += 1

    async def _warm_up(self) -> None:
        """Until what the server remembers by count is as much as it will be, else what follows
        would look like a leak. Half the run at most.
        """
        await self._until(self._plan.least_warm_up_s)
        while self._now_s() < self._plan.seconds / 2:
            if self._target.closed_holds() >= REMEMBERED_CLOSED_HOLDS:
                break
            await asyncio.sleep(COUNT_EVERY_S)
        self.outcome.closed_holds_when_warm = self._target.closed_holds()
        self.outcome.warm_s = self._now_s()

    # Watching

    def _watching(self) -> list[Awaitable[Any]]:
        return [
            self._every(SAMPLE_EVERY_S, self._sample),
            self._every(COUNT_EVERY_S, self._count_journals),
            self._every(COUNT_EVERY_S, self._find_out),
            self._every(PROGRESS_EVERY_S, self._progress),
            self._server_lives(),
        ]

    async def _sample(self) -> None:
        sample = look_at(self._target.server_id, self._target.state_dir, self._now_s())
        self.outcome.samples.append(sample)

    async def _count_journals(self) -> None:
        table = self.outcome.table
        for platform in sorted(PLATFORMS):
            table.applied(platform, await self._control.take_journal(platform))
        for bid in table.missing(self._now_s()):
            table.give_up(bid, assumed=await self._callers.assumed(bid))
        table.settle(self._now_s())

    async def _find_out(self) -> None:
        await self._callers.find_out(older_than_s=FIND_OUT_AFTER_S)

    async def _server_lives(self) -> None:
        code = await self._target.server.wait()
        self.outcome.server_ended = True
        raise SoakError(f"the server ended by itself, with code {code}")

    async def _progress(self) -> None:
        outcome = self.outcome
        if not outcome.samples:
            return
        sample, counts = outcome.samples[-1], outcome.table.counts
        phase = "warm" if outcome.warm_s else "warming up"
        wrong = sum(outcome.table.wrong.values())
        line = (
            f"{sample.at_s:6.0f} s {phase}: {counts['sent']} sent, {counts['applied']} applied, "
            f"{wrong} wrong; server {sample.rss_kib / 1024:.1f} MiB, {sample.files} files, "
            f"ledger {sample.ledger_bytes / 2**20:.0f} MiB"
        )
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    # The end

    async def _become_quiet(self) -> None:
        """Waits until no hold is open and nothing is unknown, as long as a deferred bid may live
        and then some.
        """
        until_s = self._now_s() + QUIET_WITHIN_S
        while True:
            await self._callers.find_out(older_than_s=0)
            self.outcome.open_holds = await self._callers.open_holds()
            unknown = self.outcome.table.unknown(asked_before_s=self._now_s() + 1)
            if self._now_s() > until_s or not (self.outcome.open_holds or unknown):
                return
            await asyncio.sleep(1)

    # Parts

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - self._now_s()))

    async def _every(self, seconds: float, work: Callable[[], Awaitable[Any]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await work()

    @contextlib.asynccontextmanager
    async def _background(self, work: list[Awaitable[Any]]) -> AsyncIterator[None]:
        """Runs all of it beside the block. When one part fails, the block is cancelled and the
        failure raised.
        """
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_forever(part)) for part in work]
                yield
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None


async def _forever(work: Awaitable[Any]) -> None:
    await work


async def soak(plan: Plan, scratch: Path, tell: Callable[[Outcome], None]) -> None:
    """Starts everything and runs it; `tell` gets the outcome, which fills as it goes.

    Raises SoakError, OSError, grpc.aio.AioRpcError.
    """
    async with running(scratch, plan.settings()) as target, aiohttp.ClientSession() as session:
        one = Soak(plan, target, Control(session, target.control))
        tell(one.outcome)
        await one.run()
