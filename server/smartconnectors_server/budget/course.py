"""How what is committed came about over the budgets' windows: the steps of a chart.

For eyes alone: the steps are a sixtieth of a window, and what falls out leaves a step at a time.
The window itself decides what fits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.ledger import (
    Hold,
    Ledger,
    SlidingWindow,
    Unavailable,
    Window,
    bounds_ns,
)
from smartconnectors_server.zones import zone_of

STEPS = 60
_STEP_S = {"hour": 60, "day": 1800, "month": 43_200}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Course:
    """What was committed, step by step.

    Attributes:
        from_ns: when the first step begins, in ledger time.
        steps: how many fill the window; a calendar window has more than have begun.
        micros: of each step up to now, the oldest first.
    """

    from_ns: int
    step_ns: int
    steps: int
    micros: tuple[int, ...]


@dataclass(slots=True)
class _Sums:
    """Number of a step since the epoch -> micros."""

    window: Window
    step_ns: int
    micros: dict[int, int] = field(default_factory=dict)

    def add(self, at_ns: int, amount_micros: int) -> None:
        number = at_ns // self.step_ns
        if number not in self.micros:
            first = span_ns(self.window, at_ns)[0] // self.step_ns
            self.micros = {at: sum_ for at, sum_ in self.micros.items() if at >= first}
        self.micros[number] = self.micros.get(number, 0) + amount_micros


def span_ns(window: Window, now_ns: int) -> tuple[int, int]:
    """When a window that holds `now_ns` begins, and when it ends."""
    if isinstance(window, SlidingWindow):
        return now_ns - round(window.seconds * NANOS_PER_SECOND), now_ns
    local = datetime.fromtimestamp(now_ns // NANOS_PER_SECOND, zone_of(window.time_zone))
    if window.unit == "hour":
        begins_ns = round(local.replace(minute=0, second=0).timestamp()) * NANOS_PER_SECOND
        return begins_ns, begins_ns + 3600 * NANOS_PER_SECOND
    if window.unit == "day":
        return bounds_ns(local.date(), window.time_zone)
    first = local.date().replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return bounds_ns(first, window.time_zone)[0], bounds_ns(last, window.time_zone)[1]


def step_ns_of(window: Window) -> int:
    """How long a step is."""
    if isinstance(window, SlidingWindow):
        return max(1, round(window.seconds * NANOS_PER_SECOND) // STEPS)
    return _STEP_S[window.unit] * NANOS_PER_SECOND


class Courses:
    """The course of the first limit of each platform's budget, by book."""

    def __init__(self, ledger: Ledger, books: Iterable[str]) -> None:
        self._ledger = ledger
        self._books = tuple(books)
        self._sums: dict[str, _Sums] = {}

    def begin(self) -> None:
        """From now on what is committed is added. The ledger is open."""
        for book in self._books:
            window = self._ledger.state(book).limits[0].limit.window
            self._sums[book] = _Sums(window, step_ns_of(window))

    async def recall(self, until_ns: int) -> None:
        """Adds what was committed inside the windows until then, before this process. Where that
        cannot be read, the courses begin empty.
        """
        for book, sums in self._sums.items():
            since_ns = span_ns(sums.window, until_ns)[0]
            try:
                lines = await self._ledger.settled_since(book, since_ns)
            except Unavailable as error:
                log.info("%s: the chart of what was committed begins now: %s", book, error)
                continue
            for at_ns, amount_micros in lines:
                if at_ns <= until_ns:
                    sums.add(at_ns, amount_micros)

    def settled(self, hold: Hold) -> None:
        """Adds what was committed just now."""
        sums = self._sums.get(hold.platform)
        if sums is not None:
            sums.add(hold.updated_ns, hold.amount_micros)

    def of(self, book: str) -> Course:
        """The course of a book up to now. Raises KeyError."""
        sums = self._sums[book]
        now_ns, step_ns = self._ledger.now_ns(), sums.step_ns
        begins_ns, ends_ns = span_ns(sums.window, now_ns)
        last = now_ns // step_ns
        if isinstance(sums.window, SlidingWindow):
            first, steps = last - STEPS + 1, STEPS
        else:
            first = begins_ns // step_ns
            steps = -(-ends_ns // step_ns) - first
        micros = tuple(sums.micros.get(number, 0) for number in range(first, last + 1))
        return Course(first * step_ns, step_ns, steps, micros)
