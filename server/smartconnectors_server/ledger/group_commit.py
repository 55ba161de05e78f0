"""Group commit: many changes, one transaction, one hop to the thread that writes.

Idle, a change is committed at once; busy, changes are gathered for a few milliseconds first, since
the cost is one disk sync whatever a batch holds. Changes that nobody waits for wait for company.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from smartconnectors_server.failpoints import Moment
from smartconnectors_server.ledger.advice import with_advice
from smartconnectors_server.ledger.records import Step, Tally
from smartconnectors_server.ledger.refusals import TakenOver, Unavailable
from smartconnectors_server.ledger.reported import Over, ReportedDay
from smartconnectors_server.ledger.store import Batch
from smartconnectors_server.ledger.writes import reached_in
from smartconnectors_server.threads import Pool, started

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

MAX_QUEUED_STEPS = 20_000
RETRY_S = 0.5

log = logging.getLogger(__name__)


class GroupCommit:
    """The queue of what is not durable yet, and the task that makes it so.

    A commit that fails or stalls makes it unavailable: who waits is refused, and the batch goes
    back to the head of the queue, so that order is kept and nothing is forgotten. After
    TakenOver nothing is written again, and it stays unavailable until the process ends.
    """

    def __init__(
        self,
        write: Callable[[Batch], None],
        after_commit: Callable[[Batch], Awaitable[None]],
        *,
        gather_s: float,
        commit_timeout_s: float,
        on_commit: Callable[[float, int], None] = lambda _seconds, _steps: None,
        pool: Pool = started,
    ) -> None:
        """`write` runs on a thread of its own, which `pool` makes at the start. When it raises, the
        batch is written again, so what it may have written already must do no harm then.
        `on_commit` hears how many seconds each commit took, and how many steps it carried.
        """
        self._write = write
        self._after_commit = after_commit
        self._gather_s = gather_s
        self._commit_timeout_s = commit_timeout_s
        self._on_commit = on_commit
        self._pool = pool
        self._thread: ThreadPoolExecutor | None = None
        self._queue = Batch()
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._somebody_waits = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._busy = False
        self._stopping = False
        self._available = False
        self._taken_over = False
        self._why = "it is not open"

    @property
    def available(self) -> bool:
        """False while a commit fails or stalls, and before the start."""
        return self._available

    def start(self) -> None:
        """Begins to commit. Raises NoThread, and has begun nothing then."""
        self._thread = self._pool(1, "ledger")
        self._available = True
        self._task = asyncio.create_task(self._commit_forever(), name="ledger-commits")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Commits what is queued, once; what cannot be committed then is in doubt next time."""
        self._stopping = True
        self._why = "the server stops"
        if self._task is not None:
            self._wake.set()
            self._somebody_waits.set()
            await asyncio.wait([self._task])
            self._task = None
        if self._thread is not None:
            self._thread.shutdown(wait=False)
        self._available = False

    def check(self) -> None:
        """Raises Unavailable when nothing more is taken."""
        if not self._available or self._stopping:
            raise Unavailable(f"the ledger cannot be written: {self._why}")
        if len(self._queue.steps) >= MAX_QUEUED_STEPS:
            raise Unavailable("the ledger is behind; its queue is full")

    def later(self, step: Step, *, limit: tuple[str, int | None, int] | None = None) -> None:
        """Queues a step that is made durable behind the caller's back."""
        reached_in(Moment.IN_MEMORY, (step,))
        self._queue.steps.append(step)
        if limit is not None:
            self._queue.limits.append(limit)
        self._wake.set()

    async def durable(
        self,
        step: Step | None = None,
        *,
        calls: tuple[str, int, int] | None = None,
        limit: tuple[str, int | None, int] | None = None,
        reported: tuple[Sequence[ReportedDay], Sequence[Over]] = ((), ()),
        tallies: Sequence[Tally] = (),
    ) -> None:
        """Queues what is given and returns when it and everything before it are durable.

        Raises Unavailable; it is still queued then, and the caller queues what takes it back.
        """
        reached_in(Moment.IN_MEMORY, () if step is None else (step,), calls=calls is not None)
        if self._stopping and (self._task is None or self._task.done()):
            raise Unavailable(f"the ledger cannot be written: {self._why}")
        if step is not None:
            self._queue.steps.append(step)
        if calls is not None:
            self._queue.calls.append(calls)
        if limit is not None:
            self._queue.limits.append(limit)
        self._queue.reported.extend(reported[0])
        self._queue.overs.extend(reported[1])
        self._queue.tallies.extend(tallies)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        self._somebody_waits.set()
        await waiter

    async def run(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Runs something else on the thread that writes. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _commit_forever(self) -> None:
        while True:
            if self._taken_over:
                self._queue = Batch()
                self._fail(self._waiters, self._why)
                self._waiters = []
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            if not self._queue and not self._waiters:
                if self._stopping:
                    return
                if self._available:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                # Nothing is taken while it is away: a commit of nothing says that it is back.
            if not self._stopping:
                await self._gather()
            batch, self._queue = self._queue, Batch()
            waiters, self._waiters = self._waiters, []
            self._somebody_waits.clear()
            self._busy = len(waiters) > 1
            if not await self._commit(batch, waiters) and self._stopping:
                self._fail(self._waiters, "the server stops")
                return

    async def _gather(self) -> None:
        if self._busy:
            await asyncio.sleep(self._gather_s)
        elif not self._waiters:
            try:
                await asyncio.wait_for(self._somebody_waits.wait(), self._gather_s)
            except TimeoutError:
                return

    async def _commit(self, batch: Batch, waiters: list[asyncio.Future[None]]) -> bool:
        """Commits one batch, or puts it back at the head of the queue."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            running = loop.run_in_executor(self._thread, self._write, batch)
            done, _ = await asyncio.wait([running], timeout=self._commit_timeout_s)
            if not done:
                # Who came meanwhile waits for the same disk.
                waiters += self._waiters
                self._waiters = []
                self._fail(waiters, f"a commit took more than {self._commit_timeout_s:g} s")
            await running
        except Exception as error:
            # Whatever it is: if this task died of it, everybody would wait for ever.
            self._taken_over = isinstance(error, TakenOver)
            if not isinstance(error, sqlite3.Error | OSError | TakenOver):
                log.exception("unforeseen error in a commit")
            self._fail(waiters, with_advice(error))
            self._queue = Batch(
                batch.steps + self._queue.steps,
                batch.calls + self._queue.calls,
                batch.limits + self._queue.limits,
                batch.reported + self._queue.reported,
                batch.overs + self._queue.overs,
                batch.tallies + self._queue.tallies,
            )
            if not self._stopping and not self._taken_over:
                await asyncio.sleep(RETRY_S)
            return False
        took_s = loop.time() - began_s
        if not self._available:
            log.warning("the ledger can be written again")
            self._available = True
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        try:
            await self._after_commit(batch)
            self._on_commit(took_s, len(batch.steps))
        except Exception:
            # As above; what follows a commit has no part in it.
            log.exception("unforeseen error behind a commit")
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        """If it ended otherwise than by `stop`, nothing is committed any more and nothing waits."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("commits have ended; the server has to be restarted", exc_info=error)
            self._stopping = True
            self._fail(self._waiters, "commits have ended; the log says why")
            self._waiters = []

    def _fail(self, waiters: list[asyncio.Future[None]], why: str) -> None:
        if self._available:
            log.error("the ledger cannot be written: %s", why)
        self._available = False
        self._why = why
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(Unavailable(f"the ledger cannot be written: {why}"))
