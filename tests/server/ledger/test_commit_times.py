"""Who asks hears how long each commit took and how much it carried."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import USD, ask, budget
from tests.server.ledger.test_group_commit import Disk, nothing

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
