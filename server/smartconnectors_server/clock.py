"""Time, injected everywhere. Nothing else in this package asks the operating system for it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol

NANOS_PER_SECOND = 1_000_000_000
NANOS_PER_MILLI = 1_000_000

# Linux has a clock that also counts the time a machine is suspended.
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """Where time comes from. Nanoseconds, as integers."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch; may step when the system's clock is set."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that only grow, also while the machine sleeps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds` of this clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() if _BOOT_CLOCK is None else time.clock_gettime_ns(_BOOT_CLOCK)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told to: for tests and simulations, part of the public API."""

    def __init__(self, start_ns: int = 1_700_000_000 * NANOS_PER_SECOND) -> None:
        self._wall_ns = start_ns
        self._monotonic_ns = NANOS_PER_SECOND
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake_ns = self._monotonic_ns + int(seconds * NANOS_PER_SECOND)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (wake_ns, next(self._order), future))
        await future

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward and wakes who has slept long enough."""
        self.advance_ns(round(seconds * NANOS_PER_SECOND))

    def advance_ns(self, nanos: int) -> None:
        """As `advance`, in nanoseconds."""
        self._monotonic_ns += nanos
        self._wall_ns += nanos
        while self._sleepers and self._sleepers[0][0] <= self._monotonic_ns:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def step_wall(self, seconds: float) -> None:
        """Steps the wall clock alone, as an administrator or NTP would."""
        self._wall_ns += round(seconds * NANOS_PER_SECOND)


class LedgerClock:
    """The time that money is counted in: max(persisted, wall) at boot plus the monotonic clock.

    A step of the wall clock while the server runs changes nothing; one before it starts can only
    make the window late, never empty it early by a step backwards.
    """

    def __init__(self, clock: Clock, persisted_ns: int = 0) -> None:
        self._clock = clock
        self._base_ns = max(persisted_ns, clock.wall_ns()) - clock.monotonic_ns()

    def now_ns(self) -> int:
        """Ledger time, in nanoseconds since the Unix epoch."""
        return self._base_ns + self._clock.monotonic_ns()
