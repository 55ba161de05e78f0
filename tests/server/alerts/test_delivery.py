"""Each alert at least once to each sink, in whatever way the sink and this process fail."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import PLATFORM

from smartconnectors_server.alerts.cursor import Cursor
from smartconnectors_server.alerts.delivery import Delivery, Gone, NotDelivered
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import Alert, Condition, Subject
from smartconnectors_server.ledger.sqlite import SqliteLedger

Send = Callable[[Alert], Awaitable[None]]


class Fake:
    """A sink that does what `does` does.

    Attributes:
        tried: every attempt, by id.
        got: what arrived.
    """

    name = "oncall"

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.got: list[str] = []
        self.fails: Callable[[Alert, int], Exception | None] = lambda _alert, _times: None
        self.unwanted: set[str] = set()

    def wants(self, alert: Alert) -> bool:
        return alert.id not in self.unwanted

    async def send(self, alert: Alert) -> None:
        self.tried.append(alert.id)
        error = self.fails(alert, self.tried.count(alert.id))
        if error is not None:
            raise error
        self.got.append(alert.id)


class Place:
    """A delivery that runs."""

    def __init__(self, ledger: SqliteLedger, directory: Path, clock: ManualClock) -> None:
        self.ledger = ledger
        self.directory = directory
        self.clock = clock
        self.sink = Fake()
        self.counted: Counter[str] = Counter()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """As a new process would."""

        def count(sink: str, outcome: str) -> None:
            assert sink == "oncall"
            self.counted[outcome] += 1

        self.delivery = Delivery(
            self.sink,
            self.ledger.alerts,
            Cursor(self.directory, "oncall"),
            self.clock,
            count,
            random.Random(1),
        )
        await self.delivery.open()
        self._running = asyncio.create_task(self.delivery.run())

    async def die(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def tell(self, number: int) -> list[str]:
        """So many alerts; their ids."""
        before = self.ledger.alerts.last
        for _ in range(number):
            subject = Subject(Condition.CIRCUIT, PLATFORM)
            holds = not self.ledger.alerts.has_told(subject)
            self.ledger.alerts.tell(subject, holds, lambda: "x", budget_ids=(PLATFORM,))
        await self.ledger.flush()
        return [alert.id for alert in await self.ledger.alerts.page(before, 500)]

    async def until(self, holds: Callable[[], bool], passing_s: float = 0.0) -> None:
        """Lets the delivery run; `passing_s` of the clock each time."""
        give_up_at = asyncio.get_running_loop().time() + 60
        while not holds():
            assert asyncio.get_running_loop().time() < give_up_at, (self.sink.tried, self.counted)
            await asyncio.sleep(0.001)
            self.clock.advance(passing_s)


@pytest.fixture
async def place(ledger: SqliteLedger, tmp_path: Path, clock: ManualClock) -> Place:
    place = Place(ledger, tmp_path / "alerts", clock)
    await place.start()
    return place


def kept(place: Place) -> int | None:
    return Cursor(place.directory, "oncall").read()


async def test_what_is_recorded_is_delivered_in_order_and_then_not_pending(place: Place) -> None:
    ids = await place.tell(250)
    await place.until(lambda: len(place.sink.got) == 250)
    assert place.sink.tried == ids
    await place.until(lambda: kept(place) == int(ids[-1].removeprefix("alert-")))
    assert (place.delivery.pending, place.counted) == (0, {"delivered": 250})
    await place.die()


async def test_a_new_sink_is_not_told_what_was_before_it(place: Place) -> None:
    await place.until(lambda: kept(place) == 0)
    await place.die()
    ids = await place.tell(2)
    assert not place.sink.tried
    await place.start()
    await place.until(lambda: place.sink.got == ids)
    await place.die()


async def test_while_the_receiver_is_down_the_oldest_is_tried_less_and_less_often(
    place: Place,
) -> None:
    place.sink.fails = lambda _, times: NotDelivered("x", down=True) if times <= 12 else None
    ids = await place.tell(3)
    tried_at: list[float] = []

    def tries() -> bool:
        while len(tried_at) < len(place.sink.tried):
            tried_at.append(place.clock.monotonic_ns() / 1e9)
        return bool(place.sink.got)

    await place.until(tries, passing_s=0.5)
    assert place.sink.tried[:13] == [ids[0]] * 13
    waits = [b - a for a, b in itertools.pairwise(tried_at)][:12]
    # The clock runs on while a woken task has not had its turn yet.
    assert waits[0] <= 20
    assert 140 <= min(waits[10:]) <= max(waits[10:]) <= 340
    await place.until(lambda: len(place.sink.got) == 1, passing_s=1)
    place.sink.fails = lambda _alert, _times: None
    await place.until(lambda: place.sink.got == ids, passing_s=1)
    await place.die()


async def test_a_receiver_that_says_when_is_left_alone_until_then(place: Place) -> None:
    place.sink.fails = lambda _, times: (
        NotDelivered("x", down=True, wait_s=1000.0) if times == 1 else None
    )
    (alert_id,) = await place.tell(1)
    await place.until(lambda: len(place.sink.tried) == 1)
    began_ns = place.clock.monotonic_ns()
    await place.until(lambda: place.sink.got == [alert_id], passing_s=10)
    assert place.clock.monotonic_ns() - began_ns >= 1000 * 10**9
    await place.die()


async def test_one_alert_that_is_refused_keeps_no_other_waiting(place: Place) -> None:
    first, *others = await place.tell(4)
    place.sink.fails = lambda alert, _: (
        NotDelivered("answered 400", down=False) if alert.id == first else None
    )
    await place.until(lambda: place.sink.got == others, passing_s=0.1)
    assert place.delivery.pending == 1
    await place.until(lambda: kept(place) == int(first.removeprefix("alert-")) - 1)
    place.sink.fails = lambda _alert, _times: None
    await place.until(lambda: place.sink.got == [*others, first], passing_s=10)
    await place.until(lambda: place.delivery.pending == 0)
    await place.die()


async def test_after_three_days_of_trying_it_is_given_up_and_said_so(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = await place.tell(2)
    place.sink.fails = lambda alert, _: (
        NotDelivered("answered 400", down=False) if alert.id == first else None
    )
    began_ns = place.clock.monotonic_ns()
    await place.until(lambda: place.counted["given_up"] == 1, passing_s=1000)
    assert place.clock.monotonic_ns() - began_ns > 3 * 86_400 * 10**9
    assert f"{first} was given up after days: answered 400" in caplog.text
    assert place.sink.got == [second]
    await place.until(lambda: place.delivery.pending == 0)
    await place.die()


async def test_a_receiver_that_wants_no_more_gets_no_more_until_it_is_configured_anew(
    place: Place,
) -> None:
    place.sink.fails = lambda _alert, _times: Gone()
    ids = await place.tell(2)
    await place.until(lambda: place.counted["gone"] == 1)
    place.clock.advance(100_000)
    ids += await place.tell(1)
    assert (place.sink.tried, place.delivery.pending) == (ids[:1], 3)
    place.sink.fails = lambda _alert, _times: None
    place.delivery.use(place.sink)
    await place.until(lambda: place.sink.got == ids)
    await place.die()


async def test_what_a_crash_falls_between_is_delivered_again_with_the_same_id(
    place: Place,
) -> None:
    ids = await place.tell(5)
    held = asyncio.Event()

    async def sends(alert: Alert) -> None:
        await Fake.send(place.sink, alert)
        place.clock.advance(2)
        if len(place.sink.got) == 3:
            held.set()
            await asyncio.Event().wait()  # arrived, and the process dies before it knows

    place.sink.send = sends  # type: ignore[method-assign]
    await held.wait()
    await place.die()
    del place.sink.send
    await place.start()
    await place.until(lambda: set(place.sink.got) == set(ids))
    assert place.sink.got.count(ids[2]) == 2
    await place.die()


async def test_a_burst_of_alerts_costs_few_syncs_of_the_disk(place: Place) -> None:
    written: list[int] = []
    write = place.delivery._cursor.write

    def counted(sequence: int) -> None:
        written.append(sequence)
        write(sequence)

    place.delivery._cursor.write = counted  # type: ignore[method-assign]
    ids = await place.tell(80)
    await place.until(lambda: kept(place) == int(ids[-1].removeprefix("alert-")))
    assert len(written) <= 10
    await place.die()


async def test_kinds_that_are_not_wanted_are_passed_over(place: Place) -> None:
    await place.die()
    ids = await place.tell(3)
    place.sink.unwanted = {ids[0], ids[2]}
    await place.start()
    await place.until(lambda: place.delivery.pending == 0)
    assert place.sink.tried == [ids[1]]
    await place.until(lambda: kept(place) == int(ids[2].removeprefix("alert-")))
    await place.die()


async def test_an_outage_is_logged_when_it_begins_and_when_it_has_ended(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    place.sink.fails = lambda _, times: NotDelivered("x", down=True) if times < 9 else None
    (alert_id,) = await place.tell(1)
    await place.until(lambda: place.sink.got == [alert_id], passing_s=10)
    lines = [message for message in caplog.messages if "oncall" in message]
    assert lines == [
        f"alerts for oncall: {alert_id} was not delivered: x",
        *(line for line in lines if "times in" in line),
        "alerts for oncall are delivered again",
    ]
    await place.die()


def test_a_cursor_that_cannot_be_understood_begins_anew(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path / "alerts", "oncall")
    assert cursor.read() is None
    cursor.write(12)
    assert cursor.read() == 12
    (tmp_path / "alerts" / "oncall.cursor").write_bytes(b"\xff\x00")
    assert cursor.read() == 0
    assert [path.name for path in (tmp_path / "alerts").iterdir()] == ["oncall.cursor"]
