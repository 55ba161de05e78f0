"""Many changes, one transaction: in order, none lost, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from smartconnectors_server.ledger import Unavailable
from smartconnectors_server.ledger.group_commit import GroupCommit
from smartconnectors_server.ledger.records import Step
from smartconnectors_server.ledger.reported import Over, ReportedDay
from smartconnectors_server.ledger.store import Batch


class Disk:
    """Where batches go: it can be slow, and it can refuse."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.attempts = 0
        self.error: BaseException | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.begun = threading.Event()

    def write(self, batch: Batch) -> None:
        self.attempts += 1
        self.begun.set()
        assert self.may_go_on.wait(30)
        if self.error is not None:
            raise self.error
        self.batches.append(batch)

    @property
    def calls(self) -> list[int]:
        """The counts of the calls that were written, in order."""
        return [count for batch in self.batches for _, _, count in batch.calls]


async def nothing(_batch: Batch) -> None:
    """Nothing follows a commit."""


async def until(true: Callable[[], bool]) -> None:
    """Returns when it is so."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - no event of another thread's reaches this loop
            await asyncio.sleep(0.002)


@asynccontextmanager
async def committing(
    disk: Disk,
    *,
    gather_s: float = 0.001,
    commit_timeout_s: float = 5.0,
    after_commit: Callable[[Batch], Awaitable[None]] = nothing,
) -> AsyncIterator[GroupCommit]:
    commits = GroupCommit(
        disk.write, after_commit, gather_s=gather_s, commit_timeout_s=commit_timeout_s
    )
    commits.start()
    try:
        yield commits
    finally:
        disk.error = None
        disk.may_go_on.set()
        await commits.stop()


async def test_what_was_awaited_is_written_in_order() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        await asyncio.gather(*(commits.durable(calls=("x", 0, n)) for n in range(100)))
        assert disk.calls == list(range(100))
        assert len(disk.batches) < 10


async def test_what_goes_wrong_behind_a_commit_stops_no_further_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(_batch: Batch) -> None:
        raise RuntimeError("a listener with a bug")

    disk = Disk()
    async with committing(disk, after_commit=fails) as commits:
        for number in range(3):
            async with asyncio.timeout(60):
                await commits.durable(calls=("x", 0, number))
        assert disk.calls == [0, 1, 2]
    assert "unforeseen error behind a commit" in caplog.text


async def test_what_nobody_waits_for_is_written_too() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        commits.later(Step())
        await until(lambda: len(disk.batches) == 1)
        assert disk.batches[0].steps == [Step()]


async def test_stopping_writes_what_is_queued_and_waits_for_no_company() -> None:
    disk = Disk()
    async with asyncio.timeout(10), committing(disk, gather_s=1_000.0) as commits:
        commits.later(Step())
        for _ in range(10):
            await asyncio.sleep(0)
        assert disk.batches == [], "nobody waits for it"
    assert len(disk.batches) == 1


async def test_what_nobody_waits_for_waits_for_company() -> None:
    disk = Disk()
    async with asyncio.timeout(10), committing(disk, gather_s=1_000.0) as commits:
        for _ in range(3):
            commits.later(Step())
            for _ in range(10):
                await asyncio.sleep(0)
        await commits.durable(calls=("x", 0, 1))
        assert [len(batch.steps) for batch in disk.batches] == [3]


async def test_whoever_comes_alone_waits_for_no_company() -> None:
    disk = Disk()
    async with asyncio.timeout(10), committing(disk, gather_s=1_000.0) as commits:
        for number in range(3):
            await commits.durable(calls=("x", 0, number))
        assert disk.calls == [0, 1, 2]


async def test_after_two_at_once_further_ones_are_gathered() -> None:
    disk = Disk()
    async with committing(disk, gather_s=0.1) as commits:
        disk.may_go_on.clear()
        alone = asyncio.ensure_future(commits.durable(calls=("x", 0, 0)))
        await until(disk.begun.is_set)
        two = [asyncio.ensure_future(commits.durable(calls=("x", 0, n))) for n in (1, 2)]
        disk.may_go_on.set()
        await asyncio.gather(alone, *two)
        third = asyncio.ensure_future(commits.durable(calls=("x", 0, 3)))
        for _ in range(10):
            await asyncio.sleep(0)
        await asyncio.gather(third, commits.durable(calls=("x", 0, 4)))
        written = [[count for _, _, count in batch.calls] for batch in disk.batches]
        assert written == [[0], [1, 2], [3, 4]]


async def test_while_nothing_changes_nothing_is_written() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        await commits.durable(calls=("x", 0, 1))
        for _ in range(20):
            assert await commits.run(lambda a, b: a + b, 2, 3) == 5
        assert len(disk.batches) == 1


async def test_what_else_runs_on_the_thread_waits_for_the_commit_under_way() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        disk.may_go_on.clear()
        first = asyncio.ensure_future(commits.durable(calls=("x", 0, 1)))
        await until(disk.begun.is_set)
        seen = asyncio.ensure_future(commits.run(lambda: list(disk.calls)))
        for _ in range(10):
            await asyncio.sleep(0)
        disk.may_go_on.set()
        await first
        assert await seen == [1]


async def test_nothing_is_taken_before_the_start_nor_once_it_stops() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write, nothing, gather_s=0.001, commit_timeout_s=5.0)
    assert not commits.available
    with pytest.raises(Unavailable, match="it is not open"):
        commits.check()
    commits.start()
    assert commits.available
    commits.check()
    disk.may_go_on.clear()
    last = asyncio.ensure_future(commits.durable(calls=("x", 0, 1)))
    await until(disk.begun.is_set)
    stopping = asyncio.ensure_future(commits.stop())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="the server stops"):
        commits.check()
    disk.may_go_on.set()
    await asyncio.gather(last, stopping)
    assert not commits.available
    with pytest.raises(RuntimeError, match="shutdown"):
        await commits.run(int)
    await commits.stop()


async def test_who_never_started_stops_at_once() -> None:
    disk = Disk()
    async with asyncio.timeout(10):
        commits = GroupCommit(disk.write, nothing, gather_s=0.001, commit_timeout_s=5.0)
        await commits.stop()
    assert disk.attempts == 0


async def test_a_failed_commit_refuses_who_waits_and_loses_nothing() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        disk.error = sqlite3.OperationalError("database or disk is full")
        with pytest.raises(Unavailable, match="disk is full"):
            await commits.durable(calls=("x", 0, 1))
        assert not commits.available
        with pytest.raises(Unavailable):
            commits.check()
        commits.later(Step())
        disk.error = None
        await until(lambda: commits.available)
        await commits.durable(calls=("x", 0, 2))
        assert disk.calls == [1, 2]


async def test_a_disk_that_is_away_is_not_tried_again_at_once() -> None:
    disk = Disk()
    async with committing(disk, gather_s=0.0) as commits:
        disk.error = sqlite3.OperationalError("disk I/O error")
        with pytest.raises(Unavailable):
            await commits.durable(calls=("x", 0, 1))
        for _ in range(20):  # each takes as long as an attempt would
            await asyncio.to_thread(disk.may_go_on.wait)
        assert disk.attempts == 1


async def test_a_failed_commit_of_nothing_is_tried_again_too() -> None:
    """Nothing is taken meanwhile, so nothing would come that could be tried."""
    disk = Disk()
    async with committing(disk) as commits:
        disk.error = sqlite3.OperationalError("disk I/O error")
        with pytest.raises(Unavailable):
            await commits.durable()
        disk.error = None
        await until(lambda: commits.available)


async def test_an_outage_is_said_once_when_it_begins_and_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = Disk()
    with caplog.at_level(logging.WARNING):
        async with committing(disk) as commits:
            await commits.durable(calls=("x", 0, 0))
            disk.error = sqlite3.OperationalError("disk I/O error")
            with pytest.raises(Unavailable):
                await commits.durable(calls=("x", 0, 1))
            with pytest.raises(Unavailable, match="written: disk I/O error"):
                commits.check()
            with pytest.raises(Unavailable):  # one more attempt
                await commits.durable()
            disk.error = None
            await until(lambda: commits.available)
            await commits.durable()
    assert [record.getMessage() for record in caplog.records] == [
        "the ledger cannot be written: disk I/O error",
        "the ledger can be written again",
    ]


async def test_who_gives_up_does_not_keep_a_failed_commit_from_being_tried_again() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        disk.may_go_on.clear()
        waiting = [asyncio.ensure_future(commits.durable(calls=("x", 0, n))) for n in range(3)]
        await until(disk.begun.is_set)
        waiting[0].cancel()
        await asyncio.sleep(0)
        disk.error = sqlite3.OperationalError("disk I/O error")
        disk.may_go_on.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(r) for r in results] == [asyncio.CancelledError, Unavailable, Unavailable]
        disk.error = None
        await until(lambda: commits.available)
        assert disk.calls == [0, 1, 2]


async def test_what_a_failed_commit_left_is_written_before_what_came_meanwhile() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        disk.may_go_on.clear()
        days = [ReportedDay("x", "1", f"2026-11-0{n}", 1, "USD", "UTC", 1) for n in (1, 2)]
        overs = [Over("x", f"2026-11-0{n}", acted=False) for n in (1, 2)]
        first = asyncio.ensure_future(
            commits.durable(
                Step(), calls=("x", 0, 1), limit=("x", 1, 0), reported=(days[:1], overs[:1])
            )
        )
        await until(disk.begun.is_set)
        disk.error = sqlite3.OperationalError("disk I/O error")
        later = Step()
        commits.later(later)
        second = asyncio.ensure_future(
            commits.durable(calls=("x", 0, 2), limit=("x", 2, 0), reported=(days[1:], overs[1:]))
        )
        await asyncio.sleep(0)
        disk.may_go_on.set()
        with pytest.raises(Unavailable):
            await first
        disk.error = None
        await second
        (batch,) = disk.batches
        assert [count for _, _, count in batch.calls] == [1, 2]
        assert batch.limits == [("x", 1, 0), ("x", 2, 0)]
        assert (batch.reported, batch.overs) == (days, overs)
        assert len(batch.steps) == 2
        assert batch.steps[1] is later


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("unforeseen")])
async def test_whatever_fails_the_commits_go_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    async with committing(disk) as commits:
        disk.error = error
        async with asyncio.timeout(60):
            with pytest.raises(Unavailable):
                await commits.durable(calls=("x", 0, 1))
        disk.error = None
        await until(lambda: commits.available)
        assert disk.calls == [1]
    assert ("unforeseen error in a commit" in caplog.text) == isinstance(error, KeyError)


async def test_a_stalled_commit_refuses_everybody_within_its_timeout() -> None:
    disk = Disk()
    async with committing(disk, commit_timeout_s=0.1) as commits:
        disk.may_go_on.clear()
        first = asyncio.ensure_future(commits.durable(calls=("x", 0, 1)))
        await until(disk.begun.is_set)
        second = asyncio.ensure_future(commits.durable(calls=("x", 0, 2)))
        async with asyncio.timeout(60):
            for waiting in (first, second):
                with pytest.raises(Unavailable, match=r"took more than 0\.1 s"):
                    await waiting
        assert not commits.available
        assert disk.batches == []
        disk.may_go_on.set()
        await until(lambda: commits.available)
        await until(lambda: disk.calls == [1, 2])


async def test_stopping_on_a_disk_that_fails_leaves_nobody_waiting() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        disk.may_go_on.clear()
        first = asyncio.ensure_future(commits.durable(calls=("x", 0, 1)))
        await until(disk.begun.is_set)
        second = asyncio.ensure_future(commits.durable(calls=("x", 0, 2)))
        await asyncio.sleep(0)
        disk.error = sqlite3.OperationalError("disk I/O error")
        stopping = asyncio.ensure_future(commits.stop())
        await asyncio.sleep(0)
        disk.may_go_on.set()
        async with asyncio.timeout(60):
            results = await asyncio.gather(first, second, stopping, return_exceptions=True)
        assert [type(result) for result in results] == [Unavailable, Unavailable, type(None)]


async def test_a_queue_that_is_full_takes_nothing_more() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        disk.may_go_on.clear()
        commits.later(Step())
        await until(disk.begun.is_set)
        for _ in range(20_000):
            commits.check()
            commits.later(Step())
        with pytest.raises(Unavailable, match="behind"):
            commits.check()


async def test_who_gives_up_does_not_keep_the_others_from_their_answer() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        disk.may_go_on.clear()
        waiting = [asyncio.ensure_future(commits.durable(calls=("x", 0, n))) for n in range(3)]
        await until(disk.begun.is_set)
        waiting[1].cancel()
        disk.may_go_on.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results[0] is results[2] is None
        assert disk.calls == [0, 1, 2]
