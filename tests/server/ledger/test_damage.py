"""Ledger files that are not what was committed to them, and what is said then."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget, commit, sums

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import Damaged, Unavailable, WrongVersion
from smartconnectors_server.ledger.mark import FILE_NAME as MARK_NAME
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.ledger.store import FILE_NAME


@asynccontextmanager
async def opened(directory: Path, clock: ManualClock) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(directory, clock, gather_ms=1)
    await ledger.open([budget()])
    try:
        yield ledger
    finally:
        await ledger.close()


async def written(directory: Path, clock: ManualClock, *names: str) -> None:
    async with opened(directory, clock) as ledger:
        for name in names:
            await commit(ledger, name, USD)


async def test_an_older_copy_of_the_file_is_recognised(tmp_path: Path, clock: ManualClock) -> None:
    await written(tmp_path, clock, "a", "b")
    old = tmp_path / "old copy"
    shutil.copy(tmp_path / FILE_NAME, old)
    await written(tmp_path, clock, "c")
    shutil.copy(old, tmp_path / FILE_NAME)
    with pytest.raises(Damaged, match=r"ends at audit line 5, but 7 were\s+committed"):
        await SqliteLedger(tmp_path, clock).open([budget()])
    # It says how to go on without them, and that works.
    (tmp_path / MARK_NAME).unlink()
    async with opened(tmp_path, clock) as ledger:
        assert sums(ledger.state(PLATFORM)) == (2, 0, 0, 0)


async def test_a_file_of_another_life_is_recognised(tmp_path: Path, clock: ManualClock) -> None:
    await written(tmp_path / "ours", clock, "a")
    await written(tmp_path / "theirs", clock, "b", "c")
    shutil.copy(tmp_path / "theirs" / FILE_NAME, tmp_path / "ours" / FILE_NAME)
    with pytest.raises(Damaged, match="not the file"):
        await SqliteLedger(tmp_path / "ours", clock).open([budget()])


async def test_a_file_in_another_format_is_refused_and_left_alone(
    tmp_path: Path, clock: ManualClock
) -> None:
    old = sqlite3.connect(tmp_path / FILE_NAME)
    old.execute("CREATE TABLE entries (sequence INTEGER PRIMARY KEY, at_ns INTEGER)")
    old.close()
    with pytest.raises(WrongVersion, match=r"format is 0, this\s+one reads 4"):
        await SqliteLedger(tmp_path, clock).open([budget()])
    old = sqlite3.connect(tmp_path / FILE_NAME)
    assert old.execute("SELECT name FROM sqlite_schema").fetchall() == [("entries",)]
    old.close()


async def test_an_audit_line_can_be_neither_changed_nor_deleted(
    tmp_path: Path, clock: ManualClock
) -> None:
    await written(tmp_path, clock, "a")
    file = sqlite3.connect(tmp_path / FILE_NAME)
    for statement in ("UPDATE entries SET amount_micros = 1", "DELETE FROM entries"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
            file.execute(statement)
    file.close()


async def test_a_file_that_is_gone_is_missed(tmp_path: Path, clock: ManualClock) -> None:
    await written(tmp_path, clock, "a")
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(Damaged):
        await SqliteLedger(tmp_path, clock).open([budget()])


async def test_a_log_that_was_cut_off_is_recognised(tmp_path: Path, clock: ManualClock) -> None:
    crashed = tmp_path / "crashed"
    async with opened(tmp_path / "live", clock) as ledger:
        for number in range(20):
            await commit(ledger, f"r{number}", USD)
        await ledger.record_calls(PLATFORM, 1, 1)
        shutil.copytree(tmp_path / "live", crashed)
    log = crashed / f"{FILE_NAME}-wal"
    size = log.stat().st_size
    assert size > 50_000
    os.truncate(log, size // 2)
    check = sqlite3.connect(crashed / FILE_NAME)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()
    with pytest.raises(Damaged):
        await SqliteLedger(crashed, clock).open([budget()])


async def test_a_copy_of_a_crashed_directory_opens_with_everything_that_was_promised(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path / "live", clock) as ledger:
        await commit(ledger, "a", 10 * USD)
        await ledger.reserve(ask("b", 5 * USD))
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    async with opened(tmp_path / "crashed", clock) as ledger:
        assert sums(ledger.state(PLATFORM)) == (10, 0, 0, 5)


@pytest.mark.parametrize("mark", [b"garbage", b"\xff\xfe", b"-5"])
async def test_a_mark_that_is_unreadable_is_damage_too(
    mark: bytes, tmp_path: Path, clock: ManualClock
) -> None:
    await written(tmp_path, clock, "a")
    (tmp_path / MARK_NAME).write_bytes(mark)
    with pytest.raises(Damaged, match=MARK_NAME):
        await SqliteLedger(tmp_path, clock).open([budget()])


@pytest.mark.parametrize("mark", [b"", b"\0" * 85])
async def test_a_mark_that_a_power_cut_left_empty_is_no_damage(
    mark: bytes, tmp_path: Path, clock: ManualClock
) -> None:
    await written(tmp_path, clock, "a")
    (tmp_path / MARK_NAME).write_bytes(mark)
    async with opened(tmp_path, clock) as ledger:
        assert sums(ledger.state(PLATFORM)) == (1, 0, 0, 0)


async def test_a_file_that_is_no_database_is_refused_and_the_directory_given_back(
    tmp_path: Path, clock: ManualClock
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1000)
    for _ in range(2):  # the second one would meet the lock of the first
        with pytest.raises(Unavailable, match=str(tmp_path)):
            await SqliteLedger(tmp_path, clock).open([budget()])
    (tmp_path / FILE_NAME).unlink()
    async with opened(tmp_path, clock) as ledger:
        assert ledger.available


async def test_a_file_that_cannot_be_written_at_start_is_refused_and_the_directory_given_back(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        await ledger.reserve(ask("a", USD))
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger = SqliteLedger(tmp_path, clock, commit_timeout_s=0.1)
    with pytest.raises(Unavailable):
        await ledger.open([budget()])
    other.execute("ROLLBACK")
    other.close()
    async with opened(tmp_path, clock) as ledger:
        assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 1)
