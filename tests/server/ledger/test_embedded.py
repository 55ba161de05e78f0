"""The embedded ledger opened and closed, and while its disk is away; what it forgets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ledger.bench import (
    PLATFORM,
    USD,
    ask,
    budget,
    commit,
    daily,
    deferred,
)
from tests.server.ledger.test_group_commit import until
from tests.server.ledger.test_recovery import about
from tests.server.ledger.test_store import hold, of_holds, of_lines, open_files
from tests.server.test_threads import starved

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import (
    Budget,
    Damaged,
    Hold,
    HoldState,
    Limit,
    SlidingWindow,
    StateDirectoryLocked,
    Tally,
    Unavailable,
    WrongVersion,
)
from smartconnectors_server.ledger.configured import described
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.ledger.store import FILE_NAME, Store

DAY_S = 86_400.0
DAY_NS = 86_400 * 10**9
PURGE_EVERY_NS = 600 * 10**9


async def read_in(ledger: SqliteLedger) -> None:
    """Returns when the file has been read in: who looks at it beside the ledger's own reader while
    that is in the middle of a look would see what that look sees.
    """
    await until(lambda: ledger._ids.lacks(("", "", "")))


@asynccontextmanager
async def opened(
    directory: Path,
    clock: ManualClock,
    *budgets: Budget,
    gather_ms: float = 1.0,
    commit_timeout_s: float = 5.0,
) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(directory, clock, gather_ms=gather_ms, commit_timeout_s=commit_timeout_s)
    await ledger.open(budgets or (budget(),))
    await read_in(ledger)
    try:
        yield ledger
    finally:
        await ledger.close()


@contextlib.contextmanager
def away(ledger: SqliteLedger) -> Any:
    """Its commits fail and nothing is taken, as far as it knows."""
    ledger._commits._fail([], "the disk is away")
    yield
    ledger._commits._available = True


# Opening and closing


async def test_it_makes_its_directory_and_gives_everything_back(
    tmp_path: Path, clock: ManualClock
) -> None:
    directory = tmp_path / "not" / "there"
    for _ in range(2):
        ledger = SqliteLedger(directory, clock)
        await ledger.open([budget()])
        assert open_files(directory)
        await ledger.close()
        assert open_files(directory) == []
        await ledger.close()


async def test_before_it_is_opened_it_knows_nothing_and_takes_nothing(
    tmp_path: Path, clock: ManualClock
) -> None:
    ledger = SqliteLedger(tmp_path, clock)
    assert not ledger.available
    assert ledger.budget_ids() == ledger.open_holds() == ()
    assert ledger.now_ns() == clock.wall_ns()
    with pytest.raises(Unavailable, match="the ledger is not open"):
        await ledger.get("h1")
    await ledger.close()


async def test_while_it_is_away_nothing_is_taken_and_nothing_changes(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        waiting = await ledger.reserve(deferred(ledger, "a", USD, customer="c0ffee"))
        refused: list[Callable[[], Awaitable[Any]]] = [
            lambda: ledger.set_limit(PLATFORM, USD, "less"),
            lambda: ledger.set_paused(PLATFORM, True, "stop"),
            lambda: ledger.reserve(ask("b", USD)),
            lambda: ledger.check(ask("b", USD)),
            lambda: ledger.dispatch(waiting.hold_id, target="t", before=""),
            lambda: ledger.record_calls(PLATFORM, 1, 1),
            lambda: ledger.keep_tallies([Tally("count", PLATFORM, 1)]),
            lambda: ledger.erase("c0ffee", "asked for"),
        ]
        before = ledger.state(PLATFORM)
        with away(ledger):
            assert not ledger.available
            for attempt in refused:
                async with asyncio.timeout(60):
                    with pytest.raises(Unavailable, match="the disk is away"):
                        await attempt()
        assert ledger.state(PLATFORM) == before
        assert await ledger.get(waiting.hold_id) == waiting
        await ledger.flush()
        assert await ledger.tallies() == ()


async def test_who_changes_a_limit_is_shown_what_stands_then(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        shown = await ledger.set_limit(PLATFORM, 7 * USD, "less")
        assert shown == ledger.state(PLATFORM)
        assert shown.limits[0].limit.limit_micros == 7 * USD


async def test_closing_waits_for_the_look_at_the_file_that_is_under_way(
    tmp_path: Path, clock: ManualClock
) -> None:
    goes_on = threading.Event()
    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open([budget()])
    look = asyncio.ensure_future(ledger._reader.read(goes_on.wait))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(ledger.close())
    done, _ = await asyncio.wait([closing], timeout=0.1)
    assert not done
    assert open_files(tmp_path), "it is not taken from under the look"
    goes_on.set()
    await asyncio.gather(look, closing)
    assert open_files(tmp_path) == []


async def test_a_look_that_stalls_makes_it_unavailable_too(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        settled = await commit(ledger, "a", USD)
        assert ledger.available
        stalled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ledger._reader._stalled = stalled
        assert not ledger.available
        assert await ledger.find(PLATFORM, "a") == settled, "for this the file is not needed"
        stalled.set_result(None)
        assert ledger.available


async def test_what_is_known_is_told_while_the_disk_is_away(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        settled = await commit(ledger, "a", USD)
        await ledger.flush()
        (pages,) = ledger._disk._writer.execute("PRAGMA page_count").fetchone()
        ledger._disk._writer.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(Unavailable):
            await ledger.reserve(ask("b", USD, request=b"x" * 50_000))
        assert await ledger.find(PLATFORM, "a") == settled
        ledger._disk._writer.execute("PRAGMA max_page_count = 1000000")


async def test_a_record_that_cannot_be_read_is_damage(tmp_path: Path, clock: ManualClock) -> None:
    async with opened(tmp_path, clock) as ledger:
        await ledger.reserve(ask("a", USD))
    file = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    file.execute("UPDATE holds SET record = 'nothing'")
    for _ in range(2):  # the second one would meet the lock of the first
        with pytest.raises(Damaged, match=r"cannot be read \(JSONDecodeError\)\. Restore it"):
            await SqliteLedger(tmp_path, clock).open([budget()])
    file.execute("PRAGMA user_version = 9")
    file.close()
    with pytest.raises(WrongVersion):
        await SqliteLedger(tmp_path, clock).open([budget()])


async def test_a_second_server_is_refused_and_the_first_one_goes_on(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        with pytest.raises(StateDirectoryLocked):
            await SqliteLedger(tmp_path, clock).open([budget()])
        await ledger.reserve(ask("a", USD))


async def test_a_start_that_cannot_be_written_says_where_and_gives_the_directory_back(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock):
        pass
    file = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    file.execute("CREATE TRIGGER t BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'no'); END")
    other = budget(PLATFORM, 7 * USD)
    with pytest.raises(Unavailable, match=str(tmp_path)):
        await SqliteLedger(tmp_path, clock).open([other])
    file.execute("DROP TRIGGER t")
    file.close()
    async with opened(tmp_path, clock, other) as ledger:
        assert ledger.available


async def test_a_start_that_is_given_up_gives_the_directory_back(
    tmp_path: Path, clock: ManualClock
) -> None:
    starting = asyncio.ensure_future(SqliteLedger(tmp_path, clock).open([budget()]))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    async with opened(tmp_path, clock) as ledger:
        assert ledger.available


async def test_an_old_copy_of_the_whole_directory_is_refused_by_the_mark_outside_of_it(
    tmp_path: Path, clock: ManualClock
) -> None:
    state, old, mark = (tmp_path / name for name in ("state", "old", "elsewhere.mark"))
    ledger = SqliteLedger(state, clock, mark_file=mark)
    await ledger.open((budget(PLATFORM, 100 * USD),))
    await commit(ledger, "a", 10 * USD)
    await ledger.flush()
    shutil.copytree(state, old)
    beside = SqliteLedger(old, clock, mark_file=mark)
    with pytest.raises(StateDirectoryLocked, match="the mark of another server"):
        await beside.open((budget(PLATFORM, 100 * USD),))
    await commit(ledger, "b", 90 * USD)
    await ledger.close()
    restored = SqliteLedger(old, clock, mark_file=mark)
    with pytest.raises(Damaged, match=r"is an old copy: .*[2-9] are missing. Put the newest copy"):
        await restored.open((budget(PLATFORM, 100 * USD),))
    # The newest one starts, and so does the old one when that is accepted.
    for directory, committed in ((state, 100 * USD), (old, 10 * USD)):
        again = SqliteLedger(directory, clock, mark_file=mark)
        await again.open((budget(PLATFORM, 100 * USD),))
        assert again.state(PLATFORM).limits[0].committed_micros == committed
        await again.close()
        mark.unlink()


async def test_while_the_mark_outside_cannot_be_written_nothing_is_admitted(
    tmp_path: Path, clock: ManualClock
) -> None:
    ledger = SqliteLedger(tmp_path / "state", clock, mark_file=tmp_path / "elsewhere.mark")
    await ledger.open((budget(),))
    outside = ledger._disk._mark_outside
    assert outside is not None
    kept, outside._descriptor = outside._descriptor, -1
    with pytest.raises(Unavailable, match=r"elsewhere\.mark"):
        await ledger.reserve(ask("a", USD))
    outside._descriptor = kept
    await until(lambda: ledger.available)
    await ledger.reserve(ask("b", USD))
    await ledger.close()


async def test_a_calendar_whose_zone_is_not_known_here_is_refused_by_its_name(
    tmp_path: Path, clock: ManualClock
) -> None:
    ledger = SqliteLedger(tmp_path, clock)
    with pytest.raises(Unavailable, match=r"calendar limit cannot be kept: .*'Asia/Nowhere'"):
        await ledger.open((budget(PLATFORM, USD, daily(USD, "Asia/Nowhere")),))


async def test_a_stored_limit_in_a_zone_that_is_not_known_here_stops_no_start(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock):
        pass
    before = budget(PLATFORM, USD, daily(USD, "Asia/Nowhere"))
    store = Store(tmp_path)
    store.write(of_lines(about(store.last_sequence() + 1, "configure", note=described(before))))
    store.close()
    async with opened(tmp_path, clock) as ledger:
        assert ledger.available


@pytest.mark.parametrize("refused", ["ledger", "ledger-reads"])
async def test_a_ledger_that_gets_no_thread_says_so_and_gives_its_directory_back(
    refused: str, tmp_path: Path, clock: ManualClock
) -> None:
    def pool(count: int, name: str) -> ThreadPoolExecutor:
        return starved(0 if name == refused else count)(count, name)

    async with asyncio.timeout(10):
        with pytest.raises(
            Unavailable, match=f"{tmp_path}: no thread can be started for {refused}"
        ):
            await SqliteLedger(tmp_path, clock, pool=pool).open((budget(),))
    async with opened(tmp_path, clock) as ledger:
        assert ledger.available


@pytest.mark.parametrize(
    ("step_s", "said"),
    [
        (60.0, ""),
        (-60.0, ""),
        (60.5, "ledger time is 60 s behind the wall clock"),
        (-120.0, "ledger time is 120 s ahead of the wall clock"),
    ],
)
async def test_a_wall_clock_that_was_set_by_more_than_a_minute_is_worth_a_word(
    step_s: float,
    said: str,
    tmp_path: Path,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened(tmp_path, clock) as ledger:
        await commit(ledger, "a", USD)
        before_ns = ledger.now_ns()
    clock.step_wall(step_s)
    with caplog.at_level(logging.WARNING):
        async with opened(tmp_path, clock) as ledger:
            assert ledger.now_ns() == before_ns
    assert (said in caplog.text) if said else not caplog.text


@pytest.mark.parametrize("names_boots", [True, False])
async def test_a_boot_id_that_cannot_be_read_is_said_once_at_the_start(
    names_boots: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with opened(tmp_path, ManualClock(names_boots=names_boots)) as ledger:
            await commit(ledger, "a", USD)
    assert caplog.text.count("no boot id can be read") == (0 if names_boots else 1)


@pytest.mark.parametrize(("window_s", "idle_s"), [(600.0, DAY_S), (DAY_S, 2 * DAY_S)])
async def test_ledger_time_takes_the_wall_clocks_when_nothing_is_remembered_that_it_could_free(
    window_s: float, idle_s: float, tmp_path: Path, clock: ManualClock
) -> None:
    ours = Budget(PLATFORM, "USD", (Limit(500 * USD, SlidingWindow(window_s)),))
    async with opened(tmp_path, clock, ours) as ledger:
        clock.step_wall(3600.0)  # the clock is set right
        await commit(ledger, "a", USD)
    clock.advance(idle_s)
    async with opened(tmp_path, clock, ours) as ledger:
        assert clock.wall_ns() - ledger.now_ns() == 3600 * 10**9
    clock.advance(0.001)
    async with opened(tmp_path, clock, ours) as ledger:
        assert ledger.now_ns() == clock.wall_ns()


async def test_ledger_time_does_not_take_the_wall_clocks_while_a_bid_is_in_doubt(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        clock.step_wall(3600.0)
        hold = await ledger.reserve(ask("a", USD))
        await ledger.doubt(hold.hold_id)
    clock.advance(10 * DAY_S)
    async with opened(tmp_path, clock) as ledger:
        assert clock.wall_ns() - ledger.now_ns() == 3600 * 10**9


async def test_who_is_closed_writes_how_late_it_is(tmp_path: Path, clock: ManualClock) -> None:
    async with opened(tmp_path, clock) as ledger:
        await commit(ledger, "a", USD)
        clock.step_wall(-50.0)
        clock.advance(100.0)
        before_ns = ledger.now_ns()
    clock.advance(10.0)
    async with opened(tmp_path, clock) as ledger:
        assert ledger.now_ns() == before_ns + 10 * 10**9, "and not 50 s less"


# Forgetting


async def committed(ledger: SqliteLedger) -> None:
    """Returns when a commit, and what follows one, has ended."""
    for _ in range(2):
        await ledger.record_calls("x", ledger.now_ns(), 1)


@pytest.mark.parametrize(("window_days", "kept_days"), [(0.01, 1), (0.5, 1), (0.6, 1.2), (3, 6)])
@pytest.mark.parametrize("more_ns", [0, 1])
async def test_answers_are_kept_for_a_day_and_for_two_of_the_longest_windows(
    window_days: float, kept_days: float, more_ns: int, tmp_path: Path, clock: ManualClock
) -> None:
    limit = Limit(500 * USD, SlidingWindow(window_days * 86_400))
    async with opened(tmp_path, clock, Budget(PLATFORM, "USD", (limit,))) as ledger:
        settled = await commit(ledger, "a", USD)
        clock.advance_ns(round(kept_days * DAY_NS) + more_ns)
        await committed(ledger)
        assert (ledger._disk.get(settled.hold_id) is None) == bool(more_ns)


@pytest.mark.parametrize("more_ns", [0, 1])
async def test_calls_are_kept_for_two_days(
    more_ns: int, tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        await ledger.record_calls(PLATFORM, ledger.now_ns(), 1)
        clock.advance_ns(2 * DAY_NS + more_ns)
        await committed(ledger)
        kept = await ledger.calls_since(PLATFORM, 0)
        assert len(kept) == 1 - more_ns


async def test_old_holds_are_looked_for_every_ten_minutes_and_soon_again_while_there_are_more(
    tmp_path: Path, clock: ManualClock
) -> None:
    old: list[Hold] = [hold(f"h{number:04d}", HoldState.REJECTED) for number in range(1_001)]
    store = Store(tmp_path)
    store.write(of_holds(*old))
    store.close()

    def left(ledger: SqliteLedger) -> int:
        return sum(ledger._disk.get(one.hold_id) is not None for one in old)

    async with opened(tmp_path, clock) as ledger:
        found = []
        for pause_ns in (0, PURGE_EVERY_NS - 1, 1, 499_999_999, 1):
            clock.advance_ns(pause_ns)
            await committed(ledger)
            found.append(left(ledger))
        assert found == [1_001, 1_001, 1, 1, 0]
        await ledger._commits.run(ledger._disk.write, of_holds(old[0]))
        found = []
        for pause_ns in (PURGE_EVERY_NS - 1, 1):
            clock.advance_ns(pause_ns)
            await committed(ledger)
            found.append(left(ledger))
        assert found == [1, 0]


async def test_what_cannot_be_forgotten_stops_nothing(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, clock) as ledger:
        ledger._disk._writer.execute("ALTER TABLE calls RENAME TO elsewhere")
        clock.advance_ns(PURGE_EVERY_NS)
        await ledger.reserve(ask("a", USD))
        await ledger.flush()
        assert "old holds could not be forgotten, which is harmless: no such table" in caplog.text
        assert caplog.text.count("old holds") == 1, "it is tried again in ten minutes"
        assert ledger.available
