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
class Platform:
    book: str = PLATFORM
    limiter: Limiter = field(default_factory=Limiter)


class Place:
    """A ledger, what looks after it, and one platform."""

    def __init__(self, ledger: SqliteLedger, clock: ManualClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.platform = Platform()
        self.conditions = Conditions(ledger, clock, AlertSettings())

    def look(self) -> None:
        self.conditions.look({PLATFORM: self.platform})

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
    for calls in (89, 90, 99, 86, 95, 85):
        place.platform.limiter.calls = calls
        place.look()
    assert await place.told() == ["alert RATE_LIMIT"]
    place = await again()
    place.platform.limiter.calls = 90
    place.look()
    place.platform.limiter.calls = 84
    place.look()
    place.look()
    assert await place.told() == ["alert RATE_LIMIT", "alert_end RATE_LIMIT"]
    assert await place.notes() == [
        "RATE_LIMIT: 90 calls in the window, 10 more are possible",
        "RATE_LIMIT: 84 calls in the window, 16 more are possible",
    ]


async def test_of_a_platform_that_is_not_served_any_more_nothing_stands(again: Open) -> None:
    place = await again()
    place.platform.limiter.calls = 100
    place.look()
    place.conditions.look({})
    assert await place.told() == ["alert RATE_LIMIT", "alert_end RATE_LIMIT"]


async def test_a_breaker_is_told_when_it_opens_and_when_it_closes_and_not_in_between(
    again: Open,
) -> None:
    place = await again()
    for state in (State.OPEN, State.HALF_OPEN, State.OPEN, State.HALF_OPEN):
        place.conditions.circuit(PLATFORM, PLATFORM, state)
        place.clock.advance(15)
    place.conditions.circuit(PLATFORM, PLATFORM, State.CLOSED)
    assert await place.notes() == [
        "CIRCUIT: the circuit breaker has opened; bids wait until it closes",
        "CIRCUIT: the circuit breaker has closed after 60.0 s",
    ]


async def test_a_breaker_that_was_open_is_closed_by_a_restart(again: Open) -> None:
    (await again()).conditions.circuit(PLATFORM, PLATFORM, State.OPEN)
    for _ in range(2):
        place = await again()
        assert await place.told() == ["alert CIRCUIT", "alert_end CIRCUIT"]


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
    place.conditions.follow(AlertSettings(in_doubt_after_s=10, ledger_slow_ms=10))
    hold = await place.ledger.reserve(ask("a", USD))
    await place.ledger.doubt(hold.hold_id)
    place.clock.advance(10)
    place.look()
    place.conditions.committed(0.011)
    assert await place.told() == ["alert IN_DOUBT", "alert LEDGER"]


async def test_it_looks_once_a_second(again: Open, clock: ManualClock) -> None:
    place = await again()
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
