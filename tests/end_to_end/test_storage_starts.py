"""What a start makes of the file that it finds: what a crash left half-written is no loss; lines
that were committed and are gone are noticed; what cannot be used is refused with what to do.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from tests.end_to_end import disks

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage, Words

USD = 1_000_000
BIDS = 8
REFUSED = 1
"""The exit code of a server that cannot start."""
FILE = "ledger.sqlite3"
WAL = f"{FILE}-wal"
WAL_HEADER = 32
FRAME_HEADER = 24


async def bid_and_die(stage: Stage, say: Words, first: int = 0, **overrides: Any) -> None:
    """Eight bids are placed and committed, and the server is killed."""
    process = await stage.process(**overrides)
    bids = [
        say.bid(f"r{n}", 10, campaign=str(1001 + n % BIDS), ltv_usd=30 + n)
        for n in range(first, first + BIDS)
    ]
    results = await asyncio.gather(*(process.place(one) for one in bids))
    assert {result.status for result in results} == {bid_pb2.BID_STATUS_PLACED}
    for one in bids:
        await process.audited(one.bid.request_id, "settle")
    process.signal(signal.SIGKILL)
    await process.ended()


async def refusal_to_start(stage: Stage, **overrides: Any) -> str:
    """What a server that does not start says; the message has to say so with its exit code."""
    process = await stage.spawn(**overrides)
    log = stage.directory / "serve.log"
    before = log.stat().st_size
    assert await asyncio.wait_for(process.wait(), 60) == REFUSED
    logged = log.read_bytes()[before:].decode()
    assert "Traceback" not in logged
    said: str = json.loads(logged.splitlines()[-1])["event"]
    assert said.startswith("Cannot start: "), logged
    return said


# A torn end that was never committed


def _frame(wal: bytes) -> bytes:
    """The last frame: what a further one looks like."""
    (page_size,) = (int.from_bytes(wal[8:12]),)
    return wal[-(FRAME_HEADER + page_size) :]


def _flipped(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 0xFF])


TORN: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda wal: bytes(255 - byte for byte in wal[-6000:]),
    "zeros": lambda wal: bytes(len(_frame(wal))),
    "a frame's header alone": lambda wal: _frame(wal)[:FRAME_HEADER],
    "half a frame": lambda wal: _frame(wal)[: len(_frame(wal)) // 2],
    "a whole frame that does not add up": lambda wal: _flipped(_frame(wal)),
    "an older frame once more": lambda wal: wal[WAL_HEADER : WAL_HEADER + len(_frame(wal))],
}


@pytest.mark.parametrize("torn", TORN)
async def test_what_was_half_written_when_it_died_costs_nothing_that_was_committed(
    stage: Stage, say: Words, torn: str
) -> None:
    await bid_and_die(stage, say)
    log = stage.directory / "state" / WAL
    with log.open("ab") as file:
        file.write(TORN[torn](log.read_bytes()))
    await bid_and_die(stage, say, first=BIDS)
    server = await stage.process()
    assert await server.money() == {"committed": 2 * BIDS * 10 * USD}
    assert (await server.place(say.bid("r0", 10, ltv_usd=30))).replayed
    assert len(stage.mutates()) == 2 * BIDS


# Committed lines that are gone


def lose_the_log(state: Path, older: Path) -> None:
    (state / WAL).unlink()


def cut_the_log_off(state: Path, older: Path) -> None:
    with (state / WAL).open("r+b") as file:
        file.truncate((state / WAL).stat().st_size * 2 // 3)


def put_an_older_copy_back(state: Path, older: Path) -> None:
    for name in (FILE, WAL, f"{FILE}-shm"):
        shutil.copy(older / name, state / name)


def lose_the_database(state: Path, older: Path) -> None:
    for name in (FILE, WAL, f"{FILE}-shm"):
        (state / name).unlink()


@pytest.mark.parametrize(
    "lose", [lose_the_log, cut_the_log_off, put_an_older_copy_back, lose_the_database]
)
async def test_committed_lines_that_are_gone_are_noticed_and_nothing_is_admitted_without_them(
    stage: Stage, say: Words, lose: Callable[[Path, Path], None]
) -> None:
    await bid_and_die(stage, say)
    state, older = stage.directory / "state", stage.directory / "older"
    shutil.copytree(state, older)
    await bid_and_die(stage, say, first=BIDS)
    lost = stage.directory / "lost"
    shutil.copytree(state, lost)
    lose(state, older)

    said = await refusal_to_start(stage)

    assert "ends at audit line" in said
    assert "were committed. Restore the file" in said
    # Restored, it starts with everything.
    shutil.rmtree(state)
    shutil.move(lost, state)
    server = await stage.process()
    assert await server.money() == {"committed": 2 * BIDS * 10 * USD}
    assert len(stage.mutates()) == 2 * BIDS


# A disk or a file that cannot be used


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[disks.MountedDisk]:
    """Where the state directory will be."""
    with disks.tmpfs(tmp_path / "state", 1024) as disk:
        yield disk


async def assert_it_starts(stage: Stage, say: Words, committed_usd: int) -> None:
    server = await stage.process()
    await server.settled_to(**({"committed": committed_usd * USD} if committed_usd else {}))
    assert (await server.place(say.bid("after", 10, ltv_usd=90))).status
    await server.kill()


async def test_a_start_on_a_full_disk_says_to_free_some_space(
    small_disk: disks.MountedDisk, stage: Stage, say: Words
) -> None:
    with small_disk.full():
        said = await refusal_to_start(stage)
    assert str(small_disk.path) in said
    assert ": free some space there" in said
    await assert_it_starts(stage, say, 0)


async def test_a_start_on_a_disk_that_has_filled_up_loses_nothing(
    small_disk: disks.MountedDisk, stage: Stage, say: Words
) -> None:
    await bid_and_die(stage, say)
    # What is held has to be put in doubt by the next start.
    process = await stage.process(server={"failpoint": "answered"})
    with pytest.raises(grpc.aio.AioRpcError):
        await process.place(say.bid("answered", 10, ltv_usd=80))
    await process.ended()
    with small_disk.full():
        said = await refusal_to_start(stage)
    assert "full: free some space there" in said
    await assert_it_starts(stage, say, BIDS * 10 + 10)


async def test_a_start_on_a_read_only_disk_says_to_make_it_writable(
    small_disk: disks.MountedDisk, stage: Stage, say: Words
) -> None:
    await bid_and_die(stage, say)
    with small_disk.read_only():
        said = await refusal_to_start(stage)
    assert str(small_disk.path) in said
    assert "writable for this user" in said
    await assert_it_starts(stage, say, BIDS * 10)


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_start_on_a_locked_database_says_to_end_the_other_program(
    stage: Stage, say: Words, lock: str
) -> None:
    await bid_and_die(stage, say)
    other = sqlite3.connect(stage.directory / "state" / FILE, isolation_level=None)
    other.execute(lock)
    said = await refusal_to_start(stage)
    other.execute("ROLLBACK")
    other.close()
    assert "database is locked: another program holds the file" in said
    await assert_it_starts(stage, say, BIDS * 10)


async def test_a_start_on_a_file_that_is_no_database_says_to_restore_it(
    stage: Stage, say: Words
) -> None:
    await bid_and_die(stage, say)
    state = stage.directory / "state"
    sound = stage.directory / "sound"
    shutil.copytree(state, sound)
    (state / WAL).unlink()
    (state / FILE).write_bytes(b"not a database " * 1000)
    said = await refusal_to_start(stage)
    assert "file is not a database: restore the file from a backup" in said
    shutil.rmtree(state)
    shutil.move(sound, state)
    await assert_it_starts(stage, say, BIDS * 10)


async def test_a_start_on_a_file_with_broken_pages_says_to_restore_it(
    stage: Stage, say: Words
) -> None:
    await bid_and_die(stage, say)
    state = stage.directory / "state"
    checkpoint = sqlite3.connect(state / FILE)
    checkpoint.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    checkpoint.close()
    sound = stage.directory / "sound"
    shutil.copytree(state, sound)
    with (state / FILE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * ((state / FILE).stat().st_size - 4096))
    said = await refusal_to_start(stage)
    assert "malformed: restore the file from a backup" in said
    shutil.rmtree(state)
    shutil.move(sound, state)
    await assert_it_starts(stage, say, BIDS * 10)


# A whole directory that is an old copy


async def test_a_whole_old_copy_is_refused_by_a_mark_outside_of_it_and_says_how_to_accept_it(
    stage: Stage, say: Words
) -> None:
    mark = stage.directory / "elsewhere.mark"
    ledger = {"mark_file": str(mark)}
    state, older = stage.directory / "state", stage.directory / "older"
    await bid_and_die(stage, say, ledger=ledger)
    shutil.copytree(state, older)
    await bid_and_die(stage, say, first=BIDS, ledger=ledger)
    shutil.rmtree(state)
    shutil.copytree(older, state)
    said = await refusal_to_start(stage, ledger=ledger)
    assert "is an old copy" in said
    assert "are missing" in said
    assert f"remove {mark}" in said
    mark.unlink()
    server = await stage.process(ledger=ledger)
    assert await server.money() == {"committed": BIDS * 10 * USD}


async def test_a_whole_old_copy_without_such_a_mark_is_told_when_google_shows_a_later_request(
    stage: Stage, say: Words
) -> None:
    state, older = stage.directory / "state", stage.directory / "older"
    await bid_and_die(stage, say)
    shutil.copytree(state, older)
    await bid_and_die(stage, say, first=BIDS)
    shutil.rmtree(state)
    shutil.copytree(older, state)
    server = await stage.process()
    await server.place(say.bid("later", 10, campaign="1001", ltv_usd=90))

    async def alerts() -> list[budgets_pb2.Alert]:
        return list((await server.budgets.ListAlerts(budgets_pb2.ListAlertsRequest())).alerts)

    seen = await say.eventually(alerts, bool)
    assert [alert.kind for alert in seen] == [budgets_pb2.ALERT_KIND_UNKNOWN_REQUEST_ID]
    assert f"campaigns/1001 was last changed by request r{BIDS}," in seen[0].text
