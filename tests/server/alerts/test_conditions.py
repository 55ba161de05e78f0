"""What is recorded beside budgets: once when it begins, once when it ends, over restarts too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, all_entries, ask, budget

from smartconnectors_server.alert_settings import AlertSettings
from smartconnectors_server.alerts import Conditions
from smartconnectors_server.circuitbreaker import State
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger.sqlite import SqliteLedger


@dataclass
class Limiter:
    calls: int = 0
    limit: int = 100

    def used(self) -> int:
        return self.calls

    def headroom(self) -> int:
        return self.limit - self.calls


@dataclass
class Breaker:
    state: State = State.CLOSED
    has_answered: bool = True


@dataclass
class Connection:
    attempted: bool = True
    is_connected: bool = True
    why: str = ""


@dataclass
class Platform:
    book: str = PLATFORM
    limiter: Limiter = field(default_factory=Limiter)
    breaker: Breaker = field(default_factory=Breaker)
    link: Connection = field(default_factory=Connection)


class Place:
    """A ledger, what looks after it, and one platform."""

    def __init__(self, ledger: SqliteLedger, clock: ManualClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.platform = Platform()
        self.conditions = Conditions(ledger, clock, AlertSettings())

    def look(self) -> None:
        self.conditions.look({PLATFORM: self.platform})

    def looks_for(self, seconds: float) -> None:
        """Time passes, with a look each second."""
        for _ in range(round(seconds)):
            self.clock.advance(1)
            self.look()

    def circuit(self, state: State) -> None:
        """The breaker comes to a state."""
        self.platform.breaker.state = state
        self.conditions.circuit(PLATFORM, PLATFORM, state)

    async def told(self) -> list[str]:
        """Every line about alerts, without the figures."""
        lines = [line for line in await all_entries(self.ledger) if line.verb.startswith("alert")]
        return [f"{line.verb} {line.note.partition(':')[0]}" for line in lines]

    async def notes(self) -> list[str]:
        lines = await all_entries(self.ledger)
        return [line.note for line in lines if line.verb.startswith("alert")]


Open = Callable[[], Awaitable[Place]]


@pytest.fixture
async def again(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Open]:
    """Opens the place, and closes the one before."""
    opened: list[SqliteLedger] = []

    async def open_one() -> Place:
        while opened:
            await opened.pop().close()
        ledger = SqliteLedger(tmp_path, clock)
        await ledger.open([budget()])
        opened.append(ledger)
        place = Place(ledger, clock)
        place.conditions.begin()
        return place

    yield open_one
    while opened:
        await opened.pop().close()


async def test_a_quota_near_its_end_is_told_once_until_it_has_eased(again: Open) -> None:
    place = await again()
    for calls in (89, 90, 99, 71, 95, 70):
        place.platform.limiter.calls = calls
        place.looks_for(40)
    assert await place.told() == ["alert RATE_LIMIT"]
    place = await again()
    place.platform.limiter.calls = 69
    place.looks_for(62)
    assert await place.told() == ["alert RATE_LIMIT", "alert_end RATE_LIMIT"]
    assert await place.notes() == [
        "RATE_LIMIT: 90 calls in the window, 10 more are possible",
        "RATE_LIMIT: 69 calls in the window, 31 more are possible",
    ]


async def test_a_quota_that_is_near_its_end_for_a_moment_is_not_told(again: Open) -> None:
    place = await again()
    for calls in (95, 10) * 20:
        place.platform.limiter.calls = calls
        place.looks_for(5)
    assert await place.told() == []


async def test_a_quota_that_eases_for_a_moment_is_not_told_to_have_eased(again: Open) -> None:
    place = await again()
    place.platform.limiter.calls = 95
    place.looks_for(31)
    for calls in (10, 95) * 20:
        place.platform.limiter.calls = calls
        place.looks_for(7)
    assert await place.told() == ["alert RATE_LIMIT"]


async def test_of_a_platform_that_is_not_served_any_more_nothing_stands(again: Open) -> None:
    place = await again()
    place.platform.limiter.calls = 100
    place.platform.link.is_connected = False
    place.circuit(State.OPEN)
    place.looks_for(31)
    assert len(await place.told()) == 3
    place.conditions.look({})
    assert sorted((await place.told())[3:]) == [
        "alert_end CIRCUIT",
        "alert_end NOT_CONNECTED",
        "alert_end RATE_LIMIT",
    ]


async def test_a_breaker_is_told_at_once_when_it_opens_and_once_it_has_stayed_closed(
    again: Open,
) -> None:
    place = await again()
    for state in (State.OPEN, State.HALF_OPEN, State.OPEN, State.HALF_OPEN):
        place.circuit(state)
        assert await place.told() == ["alert CIRCUIT"]
        place.looks_for(15)
    place.circuit(State.CLOSED)
    place.looks_for(60)
    assert await place.told() == ["alert CIRCUIT"]
    place.looks_for(1)
    assert await place.notes() == [
        "CIRCUIT: the circuit breaker has opened; bids wait until it closes",
        "CIRCUIT: the circuit breaker has closed after 60.0 s",
    ]


async def test_a_breaker_that_closes_and_opens_again_and_again_is_told_once(again: Open) -> None:
    place = await again()
    for _ in range(20):
        place.circuit(State.OPEN)
        place.looks_for(30)
        place.circuit(State.CLOSED)
        place.looks_for(20)
    assert await place.told() == ["alert CIRCUIT"]


async def test_a_restart_alone_tells_nobody_that_a_breaker_has_closed(again: Open) -> None:
    (await again()).circuit(State.OPEN)
    for _ in range(2):
        place = await again()
        place.platform.breaker.has_answered = False
        place.looks_for(600)
        assert await place.told() == ["alert CIRCUIT"]


async def test_after_a_restart_a_breaker_is_told_to_be_closed_when_calls_are_answered(
    again: Open,
) -> None:
    (await again()).circuit(State.OPEN)
    place = await again()
    place.looks_for(61)
    assert (await place.notes())[1:] == [
        "CIRCUIT: the circuit breaker is closed, and calls are answered"
    ]


async def test_a_platform_that_cannot_be_connected_is_told_until_it_stays_connected(
    again: Open,
) -> None:
    place = await again()
    place.platform.link = link = Connection(is_connected=False, why="nobody answers")
    place.looks_for(30)
    assert await place.told() == []
    place.looks_for(1)
    link.is_connected = True
    place.looks_for(62)
    assert await place.notes() == [
        "NOT_CONNECTED: not connected: nobody answers",
        "NOT_CONNECTED: the platform is connected",
    ]


async def test_a_platform_that_is_connected_for_the_first_time_is_not_told(again: Open) -> None:
    place = await again()
    place.platform.link = Connection(attempted=False, is_connected=False)
    place.looks_for(120)
    assert await place.told() == []


async def test_a_level_of_a_budget_ends_though_no_further_bid_comes(again: Open) -> None:
    place = await again()
    hold = await place.ledger.reserve(ask("a", 480 * USD))
    await place.ledger.release(hold.hold_id)
    await place.ledger.flush()
    place.looks_for(59)
    assert await place.told() == ["alert CRITICAL"]
    place.looks_for(1)
    assert await place.told() == ["alert CRITICAL", "alert_end NONE"]


async def test_two_callers_holds_in_doubt_with_one_id_are_told_apart(again: Open) -> None:
    place = await again()
    holds = [
        await place.ledger.reserve(ask("x", 5 * USD, actor=actor, target=f"campaigns/{actor}"))
        for actor in ("a", "b")
    ]
    for hold in holds:
        await place.ledger.doubt(hold.hold_id)
    place.clock.advance(900)
    place.look()
    assert await place.told() == ["alert IN_DOUBT"] * 2
    place = await again()
    await place.ledger.settle(holds[0].hold_id)
    place.look()
    assert await place.told() == ["alert IN_DOUBT", "alert IN_DOUBT", "alert_end IN_DOUBT"]
    lines = (await place.ledger.entries(request_id="x")).rows
    assert [line.actor for line in lines if "alert" in line.verb] == ["a", "b", "a"]


async def test_a_hold_in_doubt_for_long_is_told_once_until_it_is_known(again: Open) -> None:
    place = await again()
    holds = [await place.ledger.reserve(ask(name, 5 * USD)) for name in ("a", "b")]
    for hold in holds:
        await place.ledger.doubt(hold.hold_id)
        place.look()
        place.clock.advance(450)
    place.look()
    assert await place.notes() == [
        "IN_DOUBT: request a, $5.00 on campaigns/a, is in doubt for 900 s"
    ]
    place = await again()
    place.look()
    place.clock.advance(450)
    place.look()
    assert await place.told() == ["alert IN_DOUBT"] * 2
    await place.ledger.settle(holds[1].hold_id)
    place.look()
    place.look()
    assert (await place.notes())[2:] == ["IN_DOUBT: request b is not in doubt any more"]
    alert = place.ledger.alerts.recent()[0]
    assert (alert.platform, alert.request_id, alert.ends) == (PLATFORM, "b", True)


async def test_a_hold_that_is_known_in_time_is_not_told(again: Open) -> None:
    place = await again()
    hold = await place.ledger.reserve(ask("a", USD))
    await place.ledger.doubt(hold.hold_id)
    place.clock.advance(899.9)
    place.look()
    await place.ledger.settle(hold.hold_id)
    place.clock.advance(1)
    place.look()
    assert await place.told() == []


async def test_a_slow_commit_is_told_and_ends_after_a_minute_of_quick_ones(again: Open) -> None:
    place = await again()
    place.conditions.committed(1.0)
    assert await place.told() == []
    place.conditions.committed(1.25)
    place.clock.advance(40)
    place.conditions.committed(3.0)
    place.conditions.committed(0.001)
    place.clock.advance(59)
    place.look()
    assert await place.notes() == ["LEDGER: a commit took 1.2 s"]
    place = await again()
    place.clock.advance(60)
    place.look()
    assert (await place.notes())[1:] == ["LEDGER: commits have been quick for a minute"]


async def test_what_counts_as_long_and_slow_can_be_changed(again: Open) -> None:
    place = await again()
    settings = AlertSettings(
        in_doubt_after_s=10, ledger_slow_ms=10, begins_after_s=0, ends_after_s=0
    )
    place.conditions.follow(settings)
    for calls in (95, 10):
        place.platform.limiter.calls = calls
        place.look()
    hold = await place.ledger.reserve(ask("a", USD))
    await place.ledger.doubt(hold.hold_id)
    place.clock.advance(10)
    place.look()
    place.conditions.committed(0.011)
    assert await place.told() == [
        "alert RATE_LIMIT",
        "alert_end RATE_LIMIT",
        "alert IN_DOUBT",
        "alert LEDGER",
    ]


async def test_it_looks_once_a_second(again: Open, clock: ManualClock) -> None:
    place = await again()
    place.conditions.follow(AlertSettings(begins_after_s=0))
    running = asyncio.create_task(place.conditions.run({PLATFORM: place.platform}))
    place.platform.limiter.calls = 95
    await asyncio.sleep(0)
    clock.advance(0.9)
    await asyncio.sleep(0)
    assert await place.told() == []
    clock.advance(0.1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert await place.told() == ["alert RATE_LIMIT"]
    running.cancel()
