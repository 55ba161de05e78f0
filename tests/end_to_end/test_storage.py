"""A disk that fails under a running server: nothing is admitted or sent while it lasts, callers and
health checks are told so, and when the cause goes away the same process goes on, with all it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.end_to_end import disks

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.connector.sandbox import FaultKind

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Process, Stage, Words

USD = 1_000_000
BID_USD = 15
REFUSED = 5
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
FILE_NAME = "ledger.sqlite3"


async def health(process: Process) -> Any:
    """What a health check is told, at once: a process that cannot answer this is restarted."""
    stub: Any = health_pb2_grpc.HealthStub(process.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(), timeout=60)).status


async def becomes(process: Process, say: Words, status: Any) -> None:
    async def look() -> Any:
        return await health(process)

    await say.eventually(look, lambda seen: seen == status)


@contextlib.asynccontextmanager
async def a_bid_under_way(stage: Stage, say: Words, process: Process) -> AsyncIterator[Any]:
    """A bid that is held, durably, and sent, and that the platform accepts a while later."""
    await stage.fault(FaultKind.SLOW, delay_ms=700)
    under_way = asyncio.ensure_future(process.place(say.bid("under-way", BID_USD, campaign="1002")))
    await say.eventually(lambda: stage.mutates("under-way"), bool)
    yield under_way
    assert under_way.done()


async def assert_it_fails_closed(
    stage: Stage, say: Words, process: Process, under_way: Any, cause: str
) -> None:
    """Nothing is admitted, nothing is sent, everybody is told why, and the process lives."""
    bids = [say.bid(f"refused-{n}", BID_USD, campaign=str(1003 + n)) for n in range(REFUSED)]
    refusals = await asyncio.gather(*(say.refused(process.place(one)) for one in bids))
    for refusal in (*refusals, await say.refused(process.place(bids[0]))):
        assert refusal.reason == "LEDGER_UNAVAILABLE"
        assert cause in refusal.message
        assert refusal.message.endswith("Nothing is admitted.")
        assert refusal.retry_s is not None
    change = budgets_pb2.UpdateBudgetRequest(
        budget_id="google_ads", limit_micros=5000 * USD, reason="to see"
    )
    operator = await say.refused(process.budgets.UpdateBudget(change))
    assert operator.reason == "LEDGER_UNAVAILABLE"
    await becomes(process, say, NOT_SERVING)
    # What the platform has accepted meanwhile is told, and counts.
    assert (await under_way).status == bid_pb2.BID_STATUS_PLACED
    assert len(stage.mutates()) == 2
    assert (await process.stats()).committed_micros == 2 * BID_USD * USD
    assert process.process.returncode is None


async def assert_it_goes_on(stage: Stage, say: Words, process: Process) -> None:
    """The same process admits again; the refused bids are placed once each under the same ids."""
    await becomes(process, say, SERVING)
    bids = [say.bid(f"refused-{n}", BID_USD, campaign=str(1003 + n)) for n in range(REFUSED)]
    results = await asyncio.gather(*(process.place(one) for one in bids))
    assert {(r.status, r.replayed) for r in results} == {(bid_pb2.BID_STATUS_PLACED, False)}
    assert [len(stage.mutates(one.bid.request_id)) for one in bids] == [1] * REFUSED
    everything = (2 + REFUSED) * BID_USD * USD
    await process.settled_to(committed=everything)
    for one in ("before", "under-way", *(bid.bid.request_id for bid in bids)):
        await process.audited(one, "settle")

    process.signal(signal.SIGKILL)
    await process.ended()
    after = await stage.process()
    assert await after.money() == {"committed": everything}
    assert (await after.place(bids[0])).replayed
    assert len(stage.mutates()) == 2 + REFUSED


async def play(
    stage: Stage, say: Words, trouble: AbstractContextManager[None], cause: str, **ledger: Any
) -> None:
    """The whole of it: a bid before, trouble while one is under way, and afterwards."""
    process = await stage.process(ledger=ledger)
    await process.place(say.bid("before", BID_USD))
    async with a_bid_under_way(stage, say, process) as under_way:
        with trouble:
            await assert_it_fails_closed(stage, say, process, under_way, cause)
    await assert_it_goes_on(stage, say, process)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[disks.MountedDisk]:
    """Where the state directory will be."""
    with disks.tmpfs(tmp_path / "state", 1024) as disk:
        yield disk


@pytest.fixture
def real_disk(tmp_path: Path) -> Iterator[disks.MountedDisk]:
    """The same, on a block device."""
    with disks.ext4(tmp_path / "state", tmp_path / "image") as disk:
        yield disk


async def test_a_full_disk_admits_nothing_until_there_is_room_again(
    small_disk: disks.MountedDisk, stage: Stage, say: Words
) -> None:
    await play(stage, say, small_disk.full(), "full")


async def test_files_that_may_not_grow_admit_nothing_until_they_may(
    stage: Stage, say: Words
) -> None:
    process = await stage.process()
    await process.place(say.bid("before", BID_USD))
    log = stage.directory / "state" / f"{FILE_NAME}-wal"
    async with a_bid_under_way(stage, say, process) as under_way:
        with disks.no_longer_file(process.process.pid, log):
            await assert_it_fails_closed(stage, say, process, under_way, "disk")
    await assert_it_goes_on(stage, say, process)


async def test_a_file_that_cannot_be_written_admits_nothing_until_it_can(
    stage: Stage, say: Words
) -> None:
    process = await stage.process()
    await process.place(say.bid("before", BID_USD))
    log = stage.directory / "state" / f"{FILE_NAME}-wal"
    async with a_bid_under_way(stage, say, process) as under_way:
        with disks.unwritable(log):
            await assert_it_fails_closed(stage, say, process, under_way, "disk I/O error")
    await assert_it_goes_on(stage, say, process)


@contextlib.contextmanager
def locked_by_another(path: Path) -> Iterator[None]:
    """Another process's transaction, as a backup tool's that was left open."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


async def test_a_database_that_another_program_locks_admits_nothing_until_it_lets_go(
    stage: Stage, say: Words
) -> None:
    process = await stage.process()
    await process.place(say.bid("before", BID_USD))
    async with a_bid_under_way(stage, say, process) as under_way:
        with locked_by_another(stage.directory / "state" / FILE_NAME):
            await assert_it_fails_closed(stage, say, process, under_way, "database is locked")
    await assert_it_goes_on(stage, say, process)


async def test_a_disk_that_stalls_admits_nothing_until_it_moves_again(
    real_disk: disks.MountedDisk, stage: Stage, say: Words
) -> None:
    await play(stage, say, real_disk.stalled(), "took more than 0.5 s", commit_timeout_s=0.5)


async def test_a_disk_that_the_kernel_turned_read_only_admits_nothing_and_loses_nothing(
    real_disk: disks.MountedDisk, stage: Stage, say: Words
) -> None:
    process = await stage.process()
    await process.place(say.bid("before", BID_USD))
    async with a_bid_under_way(stage, say, process) as under_way:
        real_disk.turn_read_only()
        await assert_it_fails_closed(stage, say, process, under_way, "disk I/O error")
    # Such a disk has to be mounted anew, and the process with it.
    process.signal(signal.SIGKILL)
    await process.ended()
    real_disk.mount_anew()
    after = await stage.process(timeout_ms=300)
    # What could not be written of the one that was under way is asked of the platform.
    await after.settled_to(committed=2 * BID_USD * USD)
    assert (await after.place(say.bid("under-way", BID_USD, campaign="1002"))).replayed
    assert len(stage.mutates()) == 2
