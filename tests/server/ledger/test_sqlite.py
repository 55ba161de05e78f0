"""The embedded ledger on real files: a disk that fails or stalls, damage, and what is forgotten."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import (
    PLATFORM,
    USD,
    all_entries,
    ask,
    budget,
    commit,
    deferred,
    sums,
)
from tests.server.ledger.test_embedded import read_in
from tests.server.ledger.test_group_commit import until

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import (
    Hold,
    HoldState,
    StateDirectoryLocked,
    Unavailable,
)
from smartconnectors_server.ledger.forgetting import KEEP_CLOSED_S, PURGE_EVERY_S
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.ledger.store import FILE_NAME

LARGE = b"x" * 20_000
"""More than fits into the pages that a file already has."""


@asynccontextmanager
async def opened(
    directory: Path, clock: ManualClock, *, commit_timeout_s: float = 5.0
) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(directory, clock, gather_ms=1, commit_timeout_s=commit_timeout_s)
    await ledger.open([budget()])
    await read_in(ledger)
    try:
        yield ledger
    finally:
        await ledger.close()


def fill_the_disk(ledger: SqliteLedger) -> None:
    """No page more fits into the file: SQLite's own "database or disk is full"."""
    writer = ledger._disk._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")


def empty_the_disk(ledger: SqliteLedger) -> None:
    ledger._disk._writer.execute("PRAGMA max_page_count = 1000000")


# A disk that fails


async def test_a_full_disk_admits_nothing_and_loses_nothing(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        held = await ledger.reserve(ask("before", 10 * USD))
        fill_the_disk(ledger)
        with pytest.raises(Unavailable, match="full"):
            await ledger.reserve(ask("a", USD, request=LARGE))
        assert not ledger.available
        with pytest.raises(Unavailable):
            await ledger.reserve(ask("b", USD))
        with pytest.raises(Unavailable):
            await ledger.check(ask("b", USD))
        # What the platform has accepted meanwhile is not forgotten.
        await ledger.settle(held.hold_id, answer=LARGE)
        assert sums(ledger.state(PLATFORM)) == (10, 0, 0, 0)
        empty_the_disk(ledger)
        await until(lambda: ledger.available)
        await ledger.reserve(ask("a", 2 * USD))
        assert sums(ledger.state(PLATFORM)) == (10, 2, 0, 0)
    async with opened(tmp_path, clock) as ledger:
        assert sums(ledger.state(PLATFORM)) == (10, 0, 0, 2)
        told = [(e.verb, e.request_id) for e in await all_entries(ledger) if e.hold_id]
        # The refused one was written after all, and given back by a further line.
        assert [line for line in told if line != ("settle", "before")] == [
            ("reserve", "before"),
            ("reserve", "a"),
            ("release", "a"),
            ("reserve", "a"),
            ("doubt", "a"),
        ]


async def test_a_dispatch_that_cannot_be_written_leaves_the_bid_deferred(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        waiting = await ledger.reserve(deferred(ledger, "a", USD, target="campaigns/1"))
        fill_the_disk(ledger)
        with pytest.raises(Unavailable):
            await ledger.dispatch(waiting.hold_id, target="campaigns/1", before="x" * 20_000)
        (hold,) = ledger.open_holds()
        assert (hold.state, hold.expires_ns) == (HoldState.DEFERRED, waiting.expires_ns)
        empty_the_disk(ledger)
        await until(lambda: ledger.available)
    async with opened(tmp_path, clock) as ledger:
        assert sums(ledger.state(PLATFORM)) == (0, 0, 1, 0)


async def test_a_limit_that_cannot_be_written_is_said_to_be_so(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        fill_the_disk(ledger)
        with pytest.raises(Unavailable):
            await ledger.set_limit(PLATFORM, 9 * USD, "x" * 20_000)
        with pytest.raises(Unavailable):
            await ledger.record_calls(PLATFORM, 1, 1)
        empty_the_disk(ledger)
        await until(lambda: ledger.available)


async def test_stopping_on_a_full_disk_leaves_what_was_sent_in_doubt(
    tmp_path: Path, clock: ManualClock
) -> None:
    ledger = SqliteLedger(tmp_path, clock, gather_ms=1)
    await ledger.open([budget()])
    held = await ledger.reserve(ask("a", 10 * USD))
    fill_the_disk(ledger)
    await ledger.settle(held.hold_id, answer=LARGE)
    await ledger.close()
    async with opened(tmp_path, clock) as ledger:
        assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 10)


async def test_a_mark_that_cannot_be_written_admits_nothing(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        assert ledger._disk._mark is not None
        mark = ledger._disk._mark._descriptor
        sound = os.dup(mark)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, mark)
        with pytest.raises(Unavailable, match="No space left"):
            await ledger.reserve(ask("a", USD))
        os.dup2(sound, mark)
        for descriptor in (sound, full):
            os.close(descriptor)
        await until(lambda: ledger.available)
        assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 0)


# A disk that stalls


async def test_a_stalled_disk_admits_nothing_and_gives_back_what_it_promised(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock, commit_timeout_s=0.1) as ledger:
        other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        asked = [asyncio.ensure_future(ledger.reserve(ask(f"r{n}", USD))) for n in range(5)]
        async with asyncio.timeout(60):
            results = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        assert not ledger.available
        assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 0)
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: ledger.available)
        held = await ledger.reserve(ask("r1", 3 * USD))
        assert ledger.open_holds() == (held,)
    async with opened(tmp_path, clock) as ledger:
        assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 3)


async def test_a_bid_is_not_told_to_be_superseded_before_that_is_on_disk(
    tmp_path: Path, clock: ManualClock
) -> None:
    """A crash would bring it back, and it would be placed after all."""
    async with opened(tmp_path, clock, commit_timeout_s=0.2) as ledger:
        await ledger.reserve(deferred(ledger, "older", USD, target="campaigns/1"))
        other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        asked = deferred(ledger, "newer", USD, target="campaigns/1")
        newer = asyncio.ensure_future(ledger.reserve(asked))
        await until(lambda: _is_newer(ledger))
        with pytest.raises(Unavailable):
            await ledger.find(PLATFORM, "older")
        other.execute("ROLLBACK")
        other.close()
        with pytest.raises(Unavailable):
            await newer
        await until(lambda: ledger.available)
        told = await ledger.find(PLATFORM, "older")
        assert told is not None
        assert told.state is HoldState.SUPERSEDED
        on_disk = ledger._disk.get(told.hold_id)
        assert on_disk is not None
        assert on_disk.state is HoldState.SUPERSEDED


async def test_late_truth_is_not_told_before_it_is_on_disk(
    tmp_path: Path, clock: ManualClock
) -> None:
    """A crash would bring back that it was given back, and nobody would look it up any more."""
    async with opened(tmp_path, clock, commit_timeout_s=0.2) as ledger:
        hold = await ledger.reserve(ask("r", USD))
        await ledger.release(hold.hold_id)
        await ledger.flush()
        other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await ledger.settle(hold.hold_id, late=True)
        with pytest.raises(Unavailable):
            await ledger.find(PLATFORM, "r")
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: ledger.available)
        told = await ledger.find(PLATFORM, "r")
        assert told is not None
        assert told.state is HoldState.SETTLED
        on_disk = ledger._disk.get(hold.hold_id)
        assert on_disk is not None
        assert on_disk.state is HoldState.SETTLED
        assert sums(ledger.state(PLATFORM)) == (1, 0, 0, 0)


def _is_newer(ledger: SqliteLedger) -> bool:
    return [hold.request_id for hold in ledger.open_holds()] == ["newer"]


# The lock


async def test_a_lock_left_by_a_dead_process_is_free(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "ledger.lock").write_text("process 1")
    async with opened(tmp_path, clock) as ledger:
        assert ledger.available
        with pytest.raises(StateDirectoryLocked, match=f"process {os.getpid()}"):
            await SqliteLedger(tmp_path, clock).open([budget()])
        assert ledger.available


# Forgetting


async def forget(ledger: SqliteLedger, clock: ManualClock) -> None:
    """Lets enough time pass, and something commit, for old holds to be forgotten."""
    clock.advance(KEEP_CLOSED_S + PURGE_EVERY_S)
    await ledger.record_calls("x", ledger.now_ns(), 1)
    await ledger.record_calls("x", ledger.now_ns(), 1)


def closed_on_disk(ledger: SqliteLedger, hold: Hold) -> bool:
    return ledger._disk.get(hold.hold_id) is not None


async def test_what_is_open_is_never_forgotten(tmp_path: Path, clock: ManualClock) -> None:
    async with opened(tmp_path, clock) as ledger:
        await ledger.reserve(deferred(ledger, "deferred", USD))
        doubted = await ledger.reserve(ask("in doubt", 2 * USD))
        await ledger.doubt(doubted.hold_id)
        await ledger.reserve(ask("held", 3 * USD))
        rejected = await ledger.reserve(ask("rejected", USD))
        await ledger.release(rejected.hold_id, HoldState.REJECTED)
        await forget(ledger, clock)
        assert not closed_on_disk(ledger, rejected)
    async with opened(tmp_path, clock) as ledger:
        assert sums(ledger.state(PLATFORM)) == (0, 0, 1, 5)
        found = await ledger.find(PLATFORM, "held")
        assert found is not None
        assert await ledger.find(PLATFORM, "rejected") is None
        assert any(e.verb == "reject" for e in await all_entries(ledger))


async def test_an_answer_is_kept_for_a_day_and_for_two_windows(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        settled = await commit(ledger, "a", USD)
        clock.advance(KEEP_CLOSED_S - 1)
        await ledger.record_calls("x", ledger.now_ns(), 1)
        await ledger.record_calls("x", ledger.now_ns(), 1)
        assert closed_on_disk(ledger, settled)


async def test_the_last_prices_are_kept_however_many_unpriced_changes_follow(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        await commit(ledger, "priced", USD, ltv_micros=7)
        clock.advance(1)
        for number in range(101):
            await commit(ledger, f"r{number}", USD)
        await forget(ledger, clock)
    async with opened(tmp_path, clock) as ledger:
        assert [hold.request_id for hold in ledger.recent_settled(PLATFORM)] == ["priced"]
        assert await ledger.find(PLATFORM, "r0") is None


async def test_many_are_forgotten_soon_and_none_of_them_too_early(
    tmp_path: Path, clock: ManualClock
) -> None:
    def on_disk(ledger: SqliteLedger) -> int:
        (count,) = ledger._disk._reader.execute("SELECT count(*) FROM holds").fetchone()
        return int(count)

    async with opened(tmp_path, clock) as ledger:
        many = [ledger.reserve(ask(f"r{n}", 0, exempt=True)) for n in range(2500)]
        for hold in await asyncio.gather(*many):
            await ledger.release(hold.hold_id, HoldState.REJECTED)
        clock.advance(KEEP_CLOSED_S - 10)
        for _ in range(10):
            await commit(ledger, f"late {clock.wall_ns()}", 0)
            clock.advance(0.5)
        assert on_disk(ledger) == 2510
        clock.advance(PURGE_EVERY_S)
        for _ in range(4):
            await ledger.record_calls("x", ledger.now_ns(), 1)
            await ledger.flush()
            clock.advance(0.5)
        assert on_disk(ledger) == 10


# Remembering beyond memory


async def test_late_truth_binds_an_id_that_was_known_to_be_absent(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        hold = await ledger.reserve(ask("a", USD))
        await ledger.release(hold.hold_id)
    async with opened(tmp_path, clock) as ledger:
        assert await ledger.find(PLATFORM, "a") is None  # from here on known to be absent
        await ledger.settle(hold.hold_id, late=True)
        await ledger.record_calls("x", 1, 1)
        ledger._book._by_request.clear()  # as memory does after 10,000 further holds
        found = await ledger.find(PLATFORM, "a")
        assert found is not None
        assert found.state is HoldState.SETTLED
