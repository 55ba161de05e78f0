"""Request ids that a platform shows and no line of the ledger is about."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, all_entries, ask, budget, commit
from tests.server.ledger.test_group_commit import until

from smartconnectors_server.alert_settings import AlertSettings
from smartconnectors_server.alerts import UnknownIds
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import AlertKind, HoldState, Unavailable
from smartconnectors_server.ledger.audit import Audit
from smartconnectors_server.ledger.sqlite import SqliteLedger

DAY_S = 86_400.0
SHADOW = f"shadow/{PLATFORM}"


class Place:
    """A ledger, and what looks up the ids that are seen."""

    def __init__(self, ledger: SqliteLedger, clock: ManualClock, told: bool = True) -> None:
        self.ledger = ledger
        self.counted: list[str] = []
        settings = AlertSettings(unknown_request_ids=told)
        self.ids = UnknownIds(ledger, clock, settings, self.counted.append)
        self.ids.begin()

    async def sees(self, *request_ids: str, book: str = PLATFORM) -> None:
        for request_id in request_ids:
            self.ids.seen(book, request_id, "campaigns/1001")
        await self.ids.look()

    async def notes(self) -> list[str]:
        """Of every line about alerts."""
        audit, notes = Audit(), []
        for line in await all_entries(self.ledger):
            audit.take(line)
            if line.verb.startswith("alert"):
                notes.append(f"{line.verb} {line.note}")
        return notes


Open = Callable[..., Awaitable[Place]]


@pytest.fixture
async def again(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Open]:
    """Opens the place, and closes the one before."""
    opened: list[SqliteLedger] = []

    async def open_one(*, told: bool = True) -> Place:
        while opened:
            await opened.pop().close()
        ledger = SqliteLedger(tmp_path, clock)
        await ledger.open([budget()])
        opened.append(ledger)
        return Place(ledger, clock, told)

    yield open_one
    while opened:
        await opened.pop().close()


async def test_an_id_that_no_line_is_about_is_told_once_with_what_it_means(again: Open) -> None:
    place = await again()
    await place.sees("theirs", "theirs")
    await place.sees("theirs")
    said = (
        "alert UNKNOWN_ID: campaigns/1001 was last changed by request theirs, which the ledger "
        "does not know: the state directory is an old copy or a new one, or another server changes "
        "this campaign; what was committed for it counts in no budget here"
    )
    assert await place.notes() == [said]
    assert place.counted == [PLATFORM]
    (alert,) = place.ledger.alerts.recent()
    assert (alert.kind, alert.platform) == (AlertKind.UNKNOWN_REQUEST_ID, PLATFORM)
    assert alert.text.startswith(f"{PLATFORM}: campaigns/1001 was last changed by request theirs")


async def test_of_further_ids_the_count_grows_and_nothing_more_is_told(again: Open) -> None:
    place = await again()
    await place.sees(*(f"theirs {number}" for number in range(5)))
    assert len(await place.notes()) == 1
    assert place.counted == [PLATFORM] * 5


async def test_an_id_of_any_bid_that_is_on_record_is_known(again: Open) -> None:
    place = await again()
    await commit(place.ledger, "settled", USD)
    await place.ledger.reserve(ask("held", USD))
    for state in (HoldState.RELEASED, HoldState.REJECTED):
        hold = await place.ledger.reserve(ask(state.value, USD))
        await place.ledger.release(hold.hold_id, state)
    ids = ("settled", "held", "released", "rejected", "")
    await place.sees(*ids)
    place = await again()
    await place.sees(*ids)
    assert await place.notes() == []


async def test_an_id_that_is_older_than_what_binds_it_is_known_all_the_same(
    again: Open, clock: ManualClock
) -> None:
    place = await again()
    hold = await commit(place.ledger, "old", USD)
    await place.ledger.flush()
    clock.advance(30 * DAY_S)
    for number in range(3):  # old holds are forgotten by now
        await place.ledger.record_calls("x", place.ledger.now_ns(), number)
    place = await again()
    assert await place.ledger.get(hold.hold_id) is None
    await place.sees("old")
    assert await place.notes() == []


async def test_a_rehearsal_sees_what_the_real_platform_was_sent(again: Open) -> None:
    place = await again()
    await commit(place.ledger, "real", USD)
    await place.sees("real", book=SHADOW)
    assert await place.notes() == []
    await place.sees("theirs", book=SHADOW)
    assert place.counted == [PLATFORM]


async def test_an_id_of_another_platform_is_another_id(again: Open) -> None:
    place = await again()
    await commit(place.ledger, "same", USD, platform="meta", budget_ids=(PLATFORM,))
    await place.sees("same")
    assert place.counted == [PLATFORM]


async def test_it_ends_a_day_after_the_last_such_id_was_seen_over_restarts_too(
    again: Open, clock: ManualClock
) -> None:
    place = await again()
    await place.sees("theirs")
    clock.advance(DAY_S - 1)
    await place.sees("theirs")
    clock.advance(DAY_S - 1)
    place = await again()
    await place.sees()
    clock.advance(DAY_S - 1)
    await place.sees()
    assert len(await place.notes()) == 1
    clock.advance(1)
    await place.sees()
    await place.sees()
    assert (await place.notes())[1:] == [
        "alert_end UNKNOWN_ID: no request id that the ledger does not know has been seen for a day"
    ]
    await place.sees("theirs again")
    assert len(await place.notes()) == 3


async def test_where_servers_share_campaigns_it_can_be_switched_off(again: Open) -> None:
    place = await again()
    await place.sees("theirs")
    place = await again(told=False)
    await place.sees("another")
    assert place.counted == []
    assert [note.partition(":")[0] for note in await place.notes()] == [
        "alert UNKNOWN_ID",
        "alert_end UNKNOWN_ID",
    ]
    place.ids.follow(AlertSettings())
    await place.sees("another")
    assert place.counted == [PLATFORM]


async def test_what_cannot_be_looked_up_yet_is_looked_up_later(again: Open) -> None:
    place = await again()
    place.ids.seen(PLATFORM, "theirs", "campaigns/1001")
    await place.ledger.close()
    with pytest.raises(Unavailable):
        await place.ids.look()
    assert place.counted == []
    place.ids._ledger = (await again()).ledger
    await place.ids.look()
    assert place.counted == [PLATFORM]


async def test_ids_that_wait_are_bounded(again: Open) -> None:
    place = await again()
    for number in range(3_000):
        place.ids.seen(PLATFORM, f"theirs {number}", "campaigns/1001")
    await place.ids.look()
    assert len(place.counted) == 1_000


async def test_an_unforeseen_error_does_not_end_the_looks(
    ledger: SqliteLedger, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    counted: list[str] = []

    def fails_once(platform: str) -> None:
        counted.append(platform)
        if len(counted) == 1:
            raise KeyError("unforeseen")

    ids = UnknownIds(ledger, clock, AlertSettings(), fails_once)
    running = asyncio.ensure_future(ids.run())
    with caplog.at_level(logging.ERROR):
        for number in range(2):
            ids.seen(PLATFORM, f"theirs {number}", "campaigns/1001")
            await asyncio.sleep(0)
            clock.advance(1.0)
            await until(lambda number=number: len(counted) > number)  # type: ignore[misc]
            await asyncio.sleep(0.01)
    running.cancel()
    assert "unforeseen error while request ids were looked up" in caplog.text
