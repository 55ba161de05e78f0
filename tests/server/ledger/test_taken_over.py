"""A second writer, and files that are replaced under a server: nothing more is admitted there."""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget, commit, sums
from tests.server.ledger.test_store import everything, hold, line, of_holds, of_lines

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import TakenOver, Unavailable
from smartconnectors_server.ledger.records import Step, Tally
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.ledger.store import FILE_NAME, Batch, Store

TWO = r"ends at audit line 2, which this server did not write \(its own last is 1\): another server"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two that write to one file, as no lock should ever have allowed; one line is there."""
    first = Store(tmp_path)
    first.write(of_lines(line(1)))
    second = Store(tmp_path)
    yield first, second
    first.close()
    second.close()


def test_a_line_of_another_writer_is_no_line_of_ours(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    theirs.write(of_lines(line(2, note="theirs")))
    for _ in range(2):
        with pytest.raises(TakenOver, match=TWO):
            ours.write(of_lines(line(2, note="ours")))
    assert [entry.note for entry in everything(ours)] == ["", "theirs"]
    theirs.write(of_lines(line(3)))


def test_a_hold_of_another_writer_is_not_overwritten(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    of_theirs = hold("h2", request_id="theirs")
    theirs.write(Batch([Step((of_theirs,), (line(2),))]))
    with pytest.raises(TakenOver):
        ours.write(Batch([Step((hold("h2", request_id="ours"),), (line(2),))]))
    with pytest.raises(TakenOver):
        ours.write(of_holds(hold("h2", request_id="ours")))
    assert ours.get("h2") == of_theirs


@pytest.mark.parametrize(
    "batch",
    [
        Batch(calls=[(PLATFORM, 5, 1)]),
        Batch(limits=[(PLATFORM, 7, 1)]),
        Batch(tallies=[Tally("x", "PLACED", 1, 1, 0, 1, 1)]),
    ],
    ids=["calls", "limits", "tallies"],
)
def test_nothing_at_all_is_written_beside_another_writer(
    two: tuple[Store, Store], batch: Batch
) -> None:
    ours, theirs = two
    theirs.write(of_lines(line(2)))
    with pytest.raises(TakenOver):
        ours.write(batch)
    assert ours.calls_since(PLATFORM, 0) == ours.tallies() == []
    assert ours.limits() == {}


def test_a_newer_line_of_another_past_under_the_same_number_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(of_lines(line(1)))
    store._writer.execute("DROP TRIGGER entries_are_not_changed")
    store._writer.execute("UPDATE entries SET hash = 'of another past'")
    with pytest.raises(TakenOver):
        store.write(of_lines(line(2)))
    store.close()


@pytest.mark.parametrize("gone", [FILE_NAME, f"{FILE_NAME}-wal", "."])
@pytest.mark.parametrize("another", [False, True], ids=["removed", "replaced"])
def test_what_is_removed_or_replaced_under_a_server_is_written_to_no_more(
    tmp_path: Path, gone: str, another: bool
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    store = Store(state)
    store.write(of_lines(line(1)))
    path = state / gone
    path.rename(tmp_path / "moved")
    if another and path == state:
        shutil.copytree(tmp_path / "moved", path)
    elif another:
        shutil.copy(tmp_path / "moved", path)
    with pytest.raises(TakenOver, match="was removed or replaced while this server has it open"):
        store.write(of_lines(line(2)))
    assert store.last_sequence() == 1
    store.close()


@asynccontextmanager
async def opened(directory: Path, clock: ManualClock) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(directory, clock, gather_ms=1)
    await ledger.open([budget()])
    try:
        yield ledger
    finally:
        await ledger.close()


async def test_a_ledger_beside_another_writer_admits_nothing_until_it_is_started_again(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, clock) as ledger:
        await commit(ledger, "a", USD)
        await ledger.flush()
        theirs = Store(tmp_path)
        number = theirs.last_sequence() + 1
        foreign = line(number, "reserve", hold_id=f"h{number:012d}", at_ns=ledger.now_ns())
        theirs.write(of_lines(foreign))
        for name in ("b", "c"):
            with pytest.raises(Unavailable, match="another server writes to the same file"):
                await ledger.reserve(ask(name, USD))
        assert not ledger.available
        with pytest.raises(Unavailable, match="another server"):
            await ledger.flush()
        assert sums(ledger.state(PLATFORM)) == (1, 0, 0, 0), "what was refused is not held"
        said = [r for r in caplog.records if r.levelno >= logging.ERROR]
        assert len(said) == 1, "it is said once, and not with every attempt"
        assert "another server writes to the same file" in said[0].getMessage()
    assert theirs.last_sequence() == number, "nothing was written at the end, either"
    theirs.close()


async def test_a_ledger_whose_file_was_replaced_is_available_again_after_a_start(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        await commit(ledger, "a", USD)
        await ledger.flush()
        (tmp_path / FILE_NAME).rename(tmp_path / "aside")
        with pytest.raises(Unavailable, match="removed or replaced"):
            await ledger.reserve(ask("b", USD))
        (tmp_path / "aside").rename(tmp_path / FILE_NAME)
        with pytest.raises(Unavailable, match="removed or replaced"):
            await ledger.reserve(ask("b", USD))
    async with opened(tmp_path, clock) as ledger:
        await ledger.reserve(ask("b", USD))
        assert sums(ledger.state(PLATFORM)) == (1, 1, 0, 0)
