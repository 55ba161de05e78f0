"""Counts for reports, over a store that is away for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smartconnectors_server.budget import Tallies
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import Tally, Unavailable

USD = 1_000_000


class Store:
    """The part of a ledger that keeps tallies; refuses to while `away`."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.away = False
        self.kept: list[Tally] = []
        self.writes = 0

    def now_ns(self) -> int:
        return self._clock.wall_ns()

    async def keep_tallies(self, tallies: Sequence[Tally]) -> None:
        self.writes += 1
        if self.away:
            raise Unavailable("away")
        self.kept = list(tallies)

    async def tallies(self) -> tuple[Tally, ...]:
        return tuple(self.kept)


def over(store: Any, clock: ManualClock) -> Tallies:
    return Tallies(store, clock)


async def test_what_cannot_be_written_now_is_written_later_and_counting_goes_on(
    clock: ManualClock,
) -> None:
    store = Store(clock)
    tallies = over(store, clock)
    tallies.count("about", "A", USD)
    store.away = True
    await tallies.write()
    tallies.count("about", "A", 2 * USD)
    store.away = False
    await tallies.write()
    assert [(tally.count, tally.sum_micros) for tally in store.kept] == [(2, 3 * USD)]


async def test_only_what_has_changed_is_written(clock: ManualClock) -> None:
    store = Store(clock)
    tallies = over(store, clock)
    await tallies.write()
    assert store.writes == 0
    tallies.count("about", "A", USD)
    tallies.count("about", "B", USD)
    await tallies.write()
    tallies.count("about", "B", USD)
    await tallies.write()
    assert [(tally.outcome, tally.count) for tally in store.kept] == [("B", 2)]


async def test_counting_goes_on_where_the_last_process_ended(clock: ManualClock) -> None:
    store = Store(clock)
    tallies = over(store, clock)
    tallies.count("about", "A", USD, worst_micros=7)
    await tallies.write()
    again = over(store, clock)
    await again.open()
    again.count("about", "A", USD, worst_micros=3)
    (one,) = again.of("about")
    assert (one.count, one.sum_micros, one.worst_micros) == (2, 2 * USD, 7)
    assert again.of("elsewhere") == ()
