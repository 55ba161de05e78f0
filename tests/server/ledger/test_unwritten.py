"""What is not on disk yet, or not in memory any more: who is told what of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ledger.bench import (
    PLATFORM,
    USD,
    all_entries,
    ask,
    commit,
    deferred,
    sums,
)
from tests.server.ledger.test_embedded import opened
from tests.server.ledger.test_group_commit import until

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import (
    HoldNotOpen,
    HoldState,
    Unavailable,
)

ALONE = 1_000_000.0
"""Milliseconds for which what nobody waits for is gathered: it is not on disk meanwhile."""


async def test_what_was_given_back_is_not_found_though_the_file_does_not_know_yet(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock, gather_ms=ALONE) as ledger:
        held = await ledger.reserve(ask("a", USD))
        released = await ledger.release(held.hold_id, answer=b"x", error="{}", note="why")
        on_disk = ledger._disk.get(held.hold_id)
        assert on_disk is not None
        assert on_disk.state is HoldState.HELD
        assert await ledger.find(PLATFORM, "a") is None
        assert await ledger.get(held.hold_id) == released
        assert (released.answer, released.error, released.note) == (b"x", "{}", "why")


async def test_late_truth_follows_what_is_known_and_not_what_the_file_says(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock, gather_ms=ALONE) as ledger:
        held = await ledger.reserve(ask("a", USD))
        await ledger.release(held.hold_id)
        settled = await ledger.settle(held.hold_id, answer=b"x", note="late", late=True)
        assert (settled.state, settled.answer) == (HoldState.SETTLED, b"x")
        assert settled.note == "late"
        assert ledger._disk.get(held.hold_id) == settled, "it is on disk when it is told"
        assert sums(ledger.state(PLATFORM)) == (1, 0, 0, 0)


async def test_late_truth_is_found_in_the_file_when_memory_has_forgotten_it(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        held = await ledger.reserve(ask("a", USD))
        await ledger.release(held.hold_id)
    async with opened(tmp_path, clock) as ledger:
        with pytest.raises(HoldNotOpen):
            await ledger.settle("h999999999999", late=True)
        settled = await ledger.settle(held.hold_id, late=True)
        assert settled.answer == b""
        assert await ledger.find(PLATFORM, "a") == settled
        assert await ledger.get(held.hold_id) == settled


async def test_a_closed_hold_is_shown_from_the_file_after_a_restart(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        settled = await commit(ledger, "a", USD)
    async with opened(tmp_path, clock) as ledger:
        assert await ledger.get(settled.hold_id) == settled
        assert await ledger.get("h999999999999") is None


async def test_whoever_looks_while_another_reserves_sees_that(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Otherwise the id would be known to be absent, and be admitted again one day."""
    async with opened(tmp_path, clock) as ledger:
        held, found = await asyncio.gather(
            ledger.reserve(ask("a", USD)), ledger.find(PLATFORM, "a")
        )
        assert found == held
        assert not ledger._ids.lacks(held.key)


async def test_an_id_that_was_absent_is_not_once_it_was_reserved(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        assert await ledger.find(PLATFORM, "a") is None
        settled = await commit(ledger, "a", USD)
        await ledger.flush()
        ledger._book._by_request.clear()  # as memory does after many further holds
        assert await ledger.find(PLATFORM, "a") == settled


async def test_for_a_new_id_the_file_is_not_looked_at_and_for_an_old_one_it_is(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        await commit(ledger, "old", USD)
    async with opened(tmp_path, clock) as ledger:
        await until(lambda: ledger._ids.lacks((PLATFORM, "", "new")))
        await ledger._reader.stop()
        assert await ledger.find(PLATFORM, "new") is None
        with pytest.raises(Unavailable):
            await ledger.find(PLATFORM, "old")


async def test_while_the_file_cannot_be_read_new_ids_are_refused_as_health_says(
    tmp_path: Path, clock: ManualClock
) -> None:
    goes_on = threading.Event()
    async with opened(tmp_path, clock, commit_timeout_s=0.05) as ledger:
        await until(lambda: ledger._ids.lacks((PLATFORM, "", "new")))
        with pytest.raises(Unavailable):
            await ledger._reader.read(goes_on.wait)
        assert not ledger.available
        with pytest.raises(Unavailable, match="cannot be read"):
            await ledger.reserve(ask("new", USD))
        goes_on.set()
        await until(lambda: ledger.available)
        await ledger.reserve(ask("new", USD))


async def test_who_gives_up_a_reserve_leaves_a_line_that_says_so(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock, gather_ms=ALONE) as ledger:
        assert await ledger.find(PLATFORM, "a") is None
        reserving = asyncio.ensure_future(ledger.reserve(ask("a", USD)))
        await asyncio.sleep(0)
        reserving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reserving
        *_, last = await all_entries(ledger)
        assert (last.verb, last.note) == ("release", "the caller gave up")


async def test_a_reserve_that_cannot_be_written_leaves_a_line_that_says_so(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        ledger._disk._writer.execute(
            "CREATE TRIGGER t BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with pytest.raises(Unavailable):
            await ledger.reserve(ask("a", USD))
        ledger._disk._writer.execute("DROP TRIGGER t")
        with contextlib.suppress(Unavailable):
            await ledger.flush()
        *_, last = await all_entries(ledger)
        assert (last.verb, last.note) == ("release", "the ledger could not be written")


async def test_who_gives_up_a_dispatch_leaves_the_bid_waiting_as_it_was(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock, gather_ms=ALONE) as ledger:
        asked = deferred(ledger, "a", USD, target="t", uncapped_micros=7, source="fallback")
        waiting = await ledger.reserve(asked)
        dispatching = asyncio.ensure_future(ledger.dispatch(waiting.hold_id, target="t", before=""))
        await asyncio.sleep(0)
        dispatching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dispatching
        note = "not dispatched: the ledger could not be written"
        assert ledger.open_holds() == (dataclasses.replace(waiting, note=note),)


async def test_what_is_deferred_or_in_doubt_says_what_was_said(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        one, two, three = [await ledger.reserve(ask(name, USD)) for name in "abc"]
        put: dict[str, Any] = {"amount_micros": 1, "until_ns": 5, "source": "fallback"}
        first = await ledger.defer(one.hold_id, **put)
        assert (first.uncapped_micros, first.note) == (0, "")
        second = await ledger.defer(two.hold_id, **put, uncapped_micros=9, note="why")
        assert (second.uncapped_micros, second.note) == (9, "why")
        third = await ledger.doubt(three.hold_id, error="{}", note="why")
        assert (third.error, third.note) == ("{}", "why")


async def test_an_alert_that_nobody_listens_to_is_no_error(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, clock) as ledger:
        await ledger.reserve(ask("a", 500 * USD))
        await ledger.flush()
    assert "unforeseen" not in caplog.text


async def test_lines_are_read_page_by_page(tmp_path: Path, clock: ManualClock) -> None:
    async with opened(tmp_path, clock) as ledger:
        for name in "abcd":
            await ledger.reserve(ask(name, USD))
        whole = await ledger.entries()
        assert ([row.sequence for row in whole.rows], whole.next_token) == ([1, 2, 3, 4, 5], "")
        assert (await ledger.entries(size=5)) == whole
        page = await ledger.entries(size=3)
        assert ([row.sequence for row in page.rows], page.next_token) == ([1, 2, 3], "3")
        rest = await ledger.entries(size=3, token=page.next_token)
        assert ([row.sequence for row in rest.rows], rest.next_token) == ([4, 5], "")


async def test_of_a_page_a_hundred_lines_are_shown_unless_more_are_asked_for(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, clock) as ledger:
        await asyncio.gather(*(ledger.record_calls("x", n, 1) for n in range(3)))
        for number in range(101):
            await ledger.set_limit(PLATFORM, USD + number, "x")
        assert len((await ledger.entries()).rows) == 100
