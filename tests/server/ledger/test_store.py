"""The file: what a batch writes, what is read from it, what is forgotten, and what is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask

from smartconnectors_server.clock import ClockReading
from smartconnectors_server.ledger import Damaged, Entry, Hold, HoldState
from smartconnectors_server.ledger.chain import GENESIS, link
from smartconnectors_server.ledger.mark import FILE_NAME as MARK_NAME
from smartconnectors_server.ledger.mark import marked
from smartconnectors_server.ledger.records import Step, Tally
from smartconnectors_server.ledger.reported import KEPT_DAYS, Over, ReportedDay
from smartconnectors_server.ledger.store import FILE_NAME, Batch, Store

DAMAGE = "ends at audit line 1, but 3 were committed.* up to 2 lines of money are forgotten"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def line(sequence: int, verb: str = "settle", **changed: Any) -> Entry:
    fields: dict[str, Any] = {"budget_ids": (PLATFORM,), "hold_id": f"h{sequence}"}
    fields |= {"platform": PLATFORM, "request_id": f"r{sequence}", "currency_code": "USD"}
    fields |= {"at_ns": 1_000 + sequence, "amount_micros": sequence, **changed}
    return Entry(verb=verb, sequence=sequence, **fields)


def hold(hold_id: str, state: HoldState = HoldState.SETTLED, **changed: Any) -> Hold:
    held = Hold.begun(ask(f"r of {hold_id}", USD), hold_id, 1)
    return dataclasses.replace(held, **{"state": state, "updated_ns": 10, **changed})


def of_lines(*lines: Entry) -> Batch:
    return Batch([Step((), lines)])


def of_holds(*holds: Hold) -> Batch:
    return Batch([Step(holds, ())])


def reported(day: str) -> ReportedDay:
    return ReportedDay(PLATFORM, "1001", day, USD, "USD", "UTC", 1)


def everything(store: Store) -> list[Entry]:
    return store.entries("", "", 0, 1_000)


def open_files(directory: Path) -> list[str]:
    """What this process has open in the directory."""
    found = []
    for link_to in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one of this listing is gone by then
            found.append(str(link_to.readlink()))
    return [name for name in found if name.startswith(f"{directory}/")]


# Writing


def test_a_batch_is_empty_only_when_nothing_is_in_it() -> None:
    assert not Batch()
    assert Batch(steps=[Step()])
    assert Batch(calls=[("x", 1, 1)])
    assert Batch(limits=[("x", None, 1)])
    assert Batch(reported=[reported("2026-11-29")])
    assert Batch(overs=[Over(PLATFORM, "2026-11-29", acted=False)])
    assert Batch(tallies=[Tally("x", "PLACED", 1, 1, 0, 1, 1)])
    assert Batch().steps is not Batch().steps


def test_a_commit_is_on_the_disk_when_it_returns_and_readers_do_not_stop_it(store: Store) -> None:
    def setting(name: str) -> object:
        return store._writer.execute(f"PRAGMA {name}").fetchone()[0]

    assert setting("journal_mode") == "wal"
    assert setting("synchronous") == 2, "FULL: each commit is synced"
    assert setting("busy_timeout") == 2_000, "whoever holds the file is not waited for longer"


def test_each_line_is_linked_to_the_one_before_also_by_a_later_process(tmp_path: Path) -> None:
    head = GENESIS
    for sequence in range(1, 4):
        store = Store(tmp_path)
        store.write(of_lines(line(sequence)))
        store.close()
    with_two = Store(tmp_path)
    with_two.write(of_lines(line(4), line(5)))
    with_two.write(of_lines(line(6)))
    written = everything(with_two)
    assert [entry.sequence for entry in written] == [1, 2, 3, 4, 5, 6]
    for entry in written:
        head = link(head, entry)
        assert entry.hash == head
    assert marked(tmp_path) == (6, head)
    with_two.close()


def test_a_batch_that_is_written_again_writes_only_what_is_new(
    store: Store, tmp_path: Path
) -> None:
    store.write(of_lines(line(1), line(2)))
    store.write(of_lines(line(1), line(2), line(3)))
    first, second, third = everything(store)
    assert third.hash == link(second.hash, third)
    assert second.hash == link(first.hash, second)
    assert marked(tmp_path) == (3, third.hash)


def test_the_hash_is_of_the_texts_as_the_file_gives_them_back(store: Store) -> None:
    odd = "zero \0 and half a pair \ud800"
    store.write(of_lines(line(1, note=odd, actor=odd)))
    (entry,) = everything(store)
    assert entry.note == entry.actor == "zero ? and half a pair ?"
    assert entry.hash == link(GENESIS, entry)


def test_a_batch_is_written_whole_or_not_at_all(store: Store, tmp_path: Path) -> None:
    store.write(of_lines(line(1)))
    before = marked(tmp_path)
    broken: Any = ("no pause", 1, None)
    batch = Batch([Step((hold("h1"),), (line(2),))], calls=[(PLATFORM, 5, 1)], limits=[broken])
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
        store.write(batch)
    assert len(everything(store)) == 1
    assert store.get("h1") is None
    assert store.calls_since(PLATFORM, 0) == []
    assert marked(tmp_path) == before
    store.write(dataclasses.replace(batch, limits=[("ours", 1, 0)]))
    _, second = everything(store)
    assert second.sequence == 2
    assert store.get("h1") == hold("h1")
    assert store.calls_since(PLATFORM, 0) == [(5, 1)]


def test_a_disk_that_is_full_says_so_and_nothing_else(store: Store) -> None:
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.write(of_lines(line(1, note="x" * 200_000)))
    store._writer.execute("PRAGMA max_page_count = 1000000")
    store.write(of_lines(line(1)))


# Reading


def test_a_new_file_holds_nothing(store: Store) -> None:
    assert (store.last_sequence(), store.last_at_ns()) == (0, 0)
    assert store.reading() is store.get("h1") is store.ids.find(PLATFORM, "r") is None
    assert store.last_about(PLATFORM, "limit") is None
    assert store.limits() == {}
    assert everything(store) == store.open_holds() == store.recent_settled() == []


def test_the_reading_of_the_clocks_is_the_one_that_was_written_last(store: Store) -> None:
    first, second = ClockReading("one", 5, 6, 7), ClockReading("two", 8, 9, 10)
    store.keep_reading(first)
    assert store.reading() == first
    store.write(Batch(limits=[("a", 7, 0)], reading=second))
    assert store.reading() == second
    store.write(Batch(limits=[("a", 8, 0)]))
    assert store.reading() == second


def test_activity_is_of_holds_and_of_calls_to_platforms(store: Store) -> None:
    assert store.last_activity_ns() == 0
    store.write(of_lines(line(1), line(2, "limit", hold_id="", request_id="", platform="")))
    assert store.last_activity_ns() == 1_001
    store.write(Batch(calls=[(PLATFORM, 1_005, 1), ("meta", 1_004, 1)]))
    assert store.last_activity_ns() == 1_005


def test_an_operators_limit_stays_when_only_the_pause_changes(store: Store) -> None:
    store.write(Batch(limits=[("a", 7, 0), ("b", None, 1)]))
    assert store.limits() == {"a": (7, False), "b": (None, True)}
    store.write(Batch(limits=[("a", None, 1)]))
    assert store.limits()["a"] == (7, True)


def test_lines_are_read_by_what_they_are_about(store: Store) -> None:
    about = {"hold_id": "", "request_id": "", "platform": ""}
    store.write(
        of_lines(
            line(1),
            line(2, "limit", **about),
            line(3, "settle_late", budget_ids=("total", PLATFORM)),
            line(4, "limit", **about),
            line(5, "reserve"),
            line(6, "limit", **about, budget_ids=("total",)),
            # What a platform reported is not what was done to the budget.
            line(7, "limit", **{**about, "platform": PLATFORM}),
        )
    )
    assert (store.last_sequence(), store.last_at_ns()) == (7, 1_007)
    last = store.last_about(PLATFORM, "limit")
    assert last is not None
    assert last.sequence == 4
    assert store.settled_since(PLATFORM, 1_000) == [(1_001, 1), (1_003, 3)]
    assert store.settled_since(PLATFORM, 1_001) == [(1_003, 3)]
    # A total counts whatever its platforms committed.
    assert store.settled_since("total", 0) == [(1_001, 1), (1_003, 3)]
    assert store.settled_since("shadow/total", 0) == []

    def numbers(*asked: Any) -> list[int]:
        return [entry.sequence for entry in store.entries(*asked)]

    assert numbers("total", "", 0, 9) == [3, 6]
    assert numbers("", "r5", 0, 9) == [5]
    assert numbers("", "", 2, 2) == [3, 4]


def test_holds_are_read_by_state_id_and_request(store: Store) -> None:
    opened = [hold("h3", HoldState.HELD), hold("h1", HoldState.IN_DOUBT)]
    settled = hold("h2", request_id="r")
    released = hold("h4", HoldState.RELEASED, request_id="r")
    store.write(of_holds(*opened, settled, released))
    assert store.open_holds() == opened[::-1]
    assert store.get("h4") == released
    assert store.ids.find(PLATFORM, "r") == settled, "the released one does not bind it"
    changed = dataclasses.replace(settled, answer=b"x")
    store.write(of_holds(changed))
    assert store.get("h2") == changed


def test_request_ids_are_read_a_thousand_at_a_time_in_the_order_of_their_holds(
    store: Store,
) -> None:
    holds = [hold(f"h{n:04d}", request_id=f"r{n % 7}") for n in range(1_001)]
    holds[3] = dataclasses.replace(holds[3], state=HoldState.RELEASED, platform="other")
    store.write(of_holds(*holds[::-1]))
    first = store.ids.after("")
    assert first == [(h.hold_id, h.key) for h in holds[:1_000]]
    assert store.ids.after("h0999") == [("h1000", (PLATFORM, "", "r6"))]
    assert store.ids.after("h1000") == []


def test_the_last_prices_of_each_platform_are_read_oldest_first(store: Store) -> None:
    priced = {
        platform: [
            hold(f"{platform}{n:03d}", platform=platform, updated_ns=n, ltv_micros=1)
            for n in range(1, 102)
        ]
        for platform in ("a", "b")
    }
    store.write(of_holds(*priced["b"], *priced["a"], hold("free", platform="a")))
    assert store.recent_settled() == priced["a"][1:] + priced["b"][1:]


# Forgetting


def test_a_thousand_are_forgotten_at_once_and_nothing_that_is_open(store: Store) -> None:
    closed = [s for s in HoldState if not s.is_open]
    old = [hold(f"{s.value}{n}", s, updated_ns=1) for s in closed for n in range(300)]
    more = [hold(f"more{n}", HoldState.REJECTED, platform="x", updated_ns=1) for n in range(300)]
    opened = [hold(f"open {s.value}", s, updated_ns=1) for s in HoldState if s.is_open]
    young = hold("young", updated_ns=50)
    store.write(of_holds(*old, *more, *opened, young))
    assert [store.purge(50, 0) for _ in range(3)] == [1_000, 800, 0]
    assert {h.hold_id for h in store.open_holds()} == {h.hold_id for h in opened}
    assert store.get("young") == young


@pytest.mark.parametrize(("prices", "forgotten"), [(99, 0), (100, 0), (101, 1), (103, 3)])
def test_the_last_hundred_prices_are_never_forgotten(
    prices: int, forgotten: int, store: Store
) -> None:
    priced = [hold(f"h{n:03d}", updated_ns=n, ltv_micros=1) for n in range(1, prices + 1)]
    store.write(of_holds(*priced))
    assert store.purge(10_000, 0) == forgotten
    assert store.recent_settled() == priced[forgotten:]


def test_the_last_hundred_prices_of_each_caller_are_never_forgotten(store: Store) -> None:
    mine, theirs = (
        [
            hold(f"{actor}{n:03d}", updated_ns=n + more, ltv_micros=1, actor=actor)
            for n in range(1, 103)
        ]
        for actor, more in (('"a\u00e9', 0), ("b", 1_000))
    )
    store.write(of_holds(*mine, *theirs))
    assert store.purge(10_000, 0) == 4
    assert store.recent_settled() == mine[2:] + theirs[2:]


def test_the_prices_of_the_hundred_callers_that_settled_last_are_kept(store: Store) -> None:
    priced = [
        hold(f"h{n:03d}", updated_ns=1_000 - n, ltv_micros=1, actor=f"caller{n:03d}")
        for n in range(102)
    ]
    store.write(of_holds(*priced))
    assert store.recent_settled() == priced[99::-1]
    assert store.purge(10_000, 0) == 2
    assert store.recent_settled() == priced[99::-1]


def test_calls_are_forgotten_when_they_are_old(store: Store) -> None:
    store.write(Batch(calls=[(PLATFORM, 3, 1), (PLATFORM, 4, 2), ("x", 5, 9)]))
    assert store.calls_since(PLATFORM, 0) == [(3, 1), (4, 2)]
    store.purge(0, 4)
    assert store.calls_since(PLATFORM, 0) == [(4, 2)]
    assert store.calls_since(PLATFORM, 4) == []


# Opening and closing


def test_what_is_closed_is_let_go_of_and_may_be_closed_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert open_files(tmp_path)
    store.close()
    assert open_files(tmp_path) == []
    store.close()


def test_a_mark_says_from_the_start_what_the_file_holds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert marked(tmp_path) == (0, GENESIS)
    store.write(of_lines(line(1)))
    store.close()
    (tmp_path / MARK_NAME).unlink()
    store = Store(tmp_path)
    assert marked(tmp_path) == (1, everything(store)[0].hash)
    store.close()


def test_a_mark_that_knows_no_hash_still_counts_lines(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(of_lines(line(1)))
    store.close()
    (tmp_path / MARK_NAME).write_text(f"{1:020d}")
    Store(tmp_path).close()
    (tmp_path / MARK_NAME).write_text(f"{3:020d}")
    with pytest.raises(Damaged, match=DAMAGE):
        Store(tmp_path)


def test_a_line_that_is_missing_in_the_middle_is_damage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(of_lines(line(1), line(2), line(3)))
    second = everything(store)[1]
    store._writer.execute("DROP TRIGGER entries_are_not_deleted")
    store._writer.execute("DELETE FROM entries WHERE sequence = 2")
    store.close()
    (tmp_path / MARK_NAME).write_text(f"{2:020d} {second.hash}")
    with pytest.raises(Damaged, match="is not the file whose audit line 2 was committed") as raised:
        Store(tmp_path)
    assert open_files(tmp_path) == [], f"nothing is left open by {raised.value!r}"


def test_what_is_no_database_is_let_go_of(tmp_path: Path) -> None:
    assert FILE_NAME == "ledger.sqlite3", "those who restore a backup know it by this name"
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1000)
    with pytest.raises(sqlite3.DatabaseError, match="is not a database") as raised:
        Store(tmp_path)
    assert open_files(tmp_path) == [], f"nothing is left open by {raised.value!r}"


def test_of_what_was_reported_the_newest_days_are_kept(store: Store) -> None:
    first = date(2026, 1, 1)
    days = [reported(str(first + timedelta(days=number))) for number in range(KEPT_DAYS + 1)]
    over = Over(PLATFORM, days[-1].day, acted=True)
    store.write(Batch(reported=days, overs=[over]))
    assert store.reported.reported_days() == days
    assert store.reported.overs() == [over]
    store.purge(0, 0)
    assert store.reported.reported_days() == days[1:]


def test_what_is_erased_is_nowhere_in_the_directory(store: Store, tmp_path: Path) -> None:
    planted = b"who-this-is" * 40
    store.write(of_holds(hold("h1", customer="c0ffee", request=planted)))
    store.write(of_holds(*(hold(f"h{n}", request=b"another's") for n in range(2, 50))))
    assert store.erase("c0ffee") == 1
    store.forget_what_was_overwritten()
    for file in tmp_path.iterdir():
        assert planted.hex().encode() not in file.read_bytes(), file.name
