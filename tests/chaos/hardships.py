"""What a server is put through while it bids. Each is a function of a run; when it returns, the
cause is gone, and the server must find its way back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.chaos import shortage
from tests.crash.mixes import LATEST_MS, TIMEOUT_MS

if TYPE_CHECKING:
    from tests.chaos.run import ChaosRun

MIB = 1024 * 1024
FILES = ("ledger.sqlite3", "ledger.sqlite3-wal", "ledger.mark", "site.key")
"""What a backup of a state directory has."""
ROUNDS = 4


async def stopped(run: ChaosRun) -> None:
    """SIGSTOP in the middle of things, for shorter and longer than a call may take."""
    for _ in range(ROUNDS):
        await asyncio.sleep(run.chance.uniform(0.1, 0.6))
        run.signal(signal.SIGSTOP)
        await asyncio.sleep(run.chance.uniform(0.05, 4 * TIMEOUT_MS / 1000))
        run.signal(signal.SIGCONT)


async def starved(run: ChaosRun) -> None:
    """A few milliseconds of processor time in each tenth of a second."""
    for _ in range(30):
        run.signal(signal.SIGSTOP)
        await asyncio.sleep(run.chance.uniform(0.06, 0.12))
        run.signal(signal.SIGCONT)
        await asyncio.sleep(run.chance.uniform(0.002, 0.02))


async def platform_lost_state(run: ChaosRun) -> None:
    """A platform goes away, and comes back as it was before anything was changed."""
    for _ in range(2):
        await asyncio.sleep(run.chance.uniform(0.3, 0.8))
        await run.lose_platform_state(run.chance.choice(run.world.platforms))


async def both_killed(run: ChaosRun) -> None:
    """Platform and server die in the same moment; the platform loses its state."""
    await asyncio.sleep(run.chance.uniform(0.2, 1.0))
    run.kill()
    await run.lose_platform_state(run.chance.choice(run.world.platforms))


async def held_requests(run: ChaosRun) -> None:
    """Requests reach the platform late, and also after the server has given them up."""
    for link in run.links.values():
        link.hold_s = lambda: run.chance.choice([0.0, 0.0, run.chance.uniform(0, LATEST_MS / 1000)])
    await asyncio.sleep(2.5)


async def truncated_requests(run: ChaosRun) -> None:
    """Requests are cut in the middle."""
    for link in run.links.values():
        link.truncate = 0.25
    await asyncio.sleep(2.5)


async def few_files(run: ChaosRun) -> None:
    """No more files or connections can be opened."""
    for _ in range(ROUNDS):
        with shortage.few_files(run.process_id, run.chance.randrange(4)):
            await asyncio.sleep(run.chance.uniform(0.3, 0.8))
        await asyncio.sleep(0.2)


async def few_files_at_start(run: ChaosRun) -> None:
    """The same while a server starts: it either starts or ends with a message."""
    limit = run.chance.randrange(8, 40)
    await run.start_in_shortage(("sh", "-c", 'ulimit -n "$0"; exec "$@"', str(limit)))


async def little_memory(run: ChaosRun) -> None:
    """Memory is refused. The server may die of it."""
    for _ in range(ROUNDS):
        with shortage.little_memory(run.process_id, run.chance.randrange(MIB)):
            await asyncio.sleep(run.chance.uniform(0.2, 0.6))
        await asyncio.sleep(0.2)


async def few_threads(run: ChaosRun) -> None:
    """No more threads can be made."""
    group = run.thread_group()
    group.add(run.process_id)
    for _ in range(ROUNDS):
        group.limit(0)
        await asyncio.sleep(run.chance.uniform(0.3, 0.8))
        group.limit(None)
        await asyncio.sleep(0.2)


async def few_threads_at_start(run: ChaosRun) -> None:
    """The same while a server starts: it either starts or ends with a message."""
    group = run.thread_group()
    group.limit(run.chance.randrange(2, 14))
    try:
        await run.start_in_shortage(group.wrapper)
    finally:
        group.limit(None)


async def old_copy(run: ChaosRun) -> None:
    """A state directory as it was a moment ago is put in the place of the newer one."""
    await asyncio.sleep(run.chance.uniform(0.3, 1.0))
    run.signal(signal.SIGSTOP)
    run.copy_state(FILES)
    run.signal(signal.SIGCONT)
    await run.another_bid_is_placed()
    await run.start_on_the_copy()


async def torn_copy(run: ChaosRun) -> None:
    """The same with a copy made file by file, in any order, while bids go on."""
    await asyncio.sleep(run.chance.uniform(0.3, 1.0))
    files = list(FILES)
    run.chance.shuffle(files)
    for name in files:
        run.copy_state([name])
        await asyncio.sleep(run.chance.uniform(0.0, 0.3))
    await run.another_bid_is_placed()
    await run.start_on_the_copy()


Hardship = Callable[["ChaosRun"], Awaitable[None]]

HARDSHIPS: dict[str, Hardship] = {
    play.__name__.replace("_", "-"): play
    for play in (
        stopped,
        starved,
        platform_lost_state,
        both_killed,
        held_requests,
        truncated_requests,
        few_files,
        few_files_at_start,
        little_memory,
        few_threads,
        few_threads_at_start,
        old_copy,
        torn_copy,
    )
}
MAY_DIE = frozenset({"little-memory", "both-killed"})
"""Hardships that end the server; elsewhere it has to live through them."""


def possible_here(name: str) -> bool:
    """Whether this machine lets the tests play it."""
    return "threads" not in name or shortage.threads_can_be_limited()


def send(process_id: int, number: int) -> None:
    """A signal, to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, number)
