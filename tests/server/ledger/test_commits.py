"""When a commit begins and what it carries, and who hears of it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import USD, ask, budget
from tests.server.ledger.test_group_commit import Disk, committing, nothing, until

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import Unavailable
from smartconnectors_server.ledger.group_commit import GroupCommit
from smartconnectors_server.ledger.records import Step
from smartconnectors_server.ledger.sqlite import SqliteLedger


async def test_each_commit_is_told_with_its_seconds_and_its_steps_when_it_has_ended() -> None:
    disk = Disk()
    heard: list[tuple[float, int]] = []
    commits = GroupCommit(
        disk.write,
        nothing,
        gather_s=0.001,
        commit_timeout_s=5.0,
        on_commit=lambda seconds, steps: heard.append((seconds, steps)),
    )
    commits.start()
    await commits.durable(Step())
    await commits.durable()
    assert [steps for _, steps in heard] == [1, 0]
    assert all(0.0 <= seconds < 60.0 for seconds, _ in heard)
    disk.error = sqlite3.OperationalError("disk I/O error")
    with pytest.raises(Unavailable):
        await commits.durable(Step())
    assert len(heard) == 2, "it has not ended"
    disk.error = None
    await commits.stop()


async def test_the_ledger_passes_it_on(tmp_path: Path, clock: ManualClock) -> None:
    heard: list[int] = []
    ledger = SqliteLedger(tmp_path, clock, on_commit=lambda _, steps: heard.append(steps))
    await ledger.open([budget()])
    before = sum(heard)
    await ledger.reserve(ask("a", USD))
    assert sum(heard) == before + 1
    await ledger.close()


async def test_what_nobody_waits_for_is_written_also_when_nothing_else_is_under_way() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        await commits.durable(calls=("x", 0, 1))
        commits.later(Step())
        await until(lambda: len(disk.batches) == 2)
        assert [len(batch.steps) for batch in disk.batches] == [0, 1]


async def test_what_nobody_waits_for_waits_for_company_also_after_a_commit() -> None:
    disk = Disk()
    async with asyncio.timeout(10), committing(disk, gather_s=1_000.0) as commits:
        await commits.durable(calls=("x", 0, 1))
        for _ in range(3):
            commits.later(Step())
            for _ in range(10):
                await asyncio.sleep(0)
        await commits.durable()
        assert [len(batch.steps) for batch in disk.batches] == [0, 3]


async def test_nothing_is_written_but_what_was_given() -> None:
    disk = Disk()
    async with committing(disk, gather_s=0.0) as commits:
        step = Step()
        await commits.durable(step)
        for _ in range(20):
            await commits.run(int)
        (batch,) = disk.batches
        assert (batch.steps, batch.calls, batch.limits) == ([step], [], [])


async def test_stopping_writes_what_was_queued_while_a_commit_was_under_way() -> None:
    disk = Disk()
    async with committing(disk) as commits:
        disk.may_go_on.clear()
        first = asyncio.ensure_future(commits.durable(calls=("x", 0, 1)))
        await until(disk.begun.is_set)
        second = asyncio.ensure_future(commits.durable(calls=("x", 0, 2)))
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(commits.stop())
        await asyncio.sleep(0)
        disk.may_go_on.set()
        await asyncio.gather(first, second, stopping)
        assert disk.calls == [1, 2]


async def test_who_hears_of_commits_and_fails_keeps_nobody_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(_seconds: float, _steps: int) -> None:
        raise RuntimeError("a listener with a bug")

    disk = Disk()
    commits = GroupCommit(
        disk.write, nothing, gather_s=0.001, commit_timeout_s=5.0, on_commit=fails
    )
    commits.start()
    for number in range(3):
        async with asyncio.timeout(60):
            await commits.durable(calls=("x", 0, number))
    assert disk.calls == [0, 1, 2]
    await commits.stop()
    assert "unforeseen error behind a commit" in caplog.text
