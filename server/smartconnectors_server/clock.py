"""Time, injected everywhere. Nothing else in this package asks the operating system for it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import time
from pathlib import Path
from typing import Protocol

NANOS_PER_SECOND = 1_000_000_000
NANOS_PER_MILLI = 1_000_000

# Linux has a clock that also counts the time a machine is suspended.
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Where time comes from. Nanoseconds, as integers."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch; may step when the system's clock is set."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that only grow, also while the machine sleeps."""
        ...

    def awake_ns(self) -> int:
        """Nanoseconds that only grow while the machine is awake, as the timers of its kernel's TCP
        do. Counts from any time.
        """
        ...

    def boot_id(self) -> str:
        """Names what the monotonic clock counts from: while it is the same, in this process or a
        later one, so is the beginning of the monotonic clock. Empty: not known.
        """
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

    def awake_ns(self) -> int:
        return time.monotonic_ns()

    def boot_id(self) -> str:
        with contextlib.suppress(OSError):
            return _BOOT_ID.read_text().strip()
        return ""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told to: for tests and simulations, part of the public API."""

    def __init__(self, start_ns: int = 1_700_000_000 * NANOS_PER_SECOND) -> None:
        self._wall_ns = start_ns
        self._monotonic_ns = NANOS_PER_SECOND
        self._asleep_ns = 0
        self._boots = 1
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def awake_ns(self) -> int:
        return self._monotonic_ns - self._asleep_ns

    def boot_id(self) -> str:
        return f"boot {self._boots}"

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

    def suspend(self, seconds: float) -> None:
        """Moves both clocks forward as a machine does that is suspended for so long."""
        self._asleep_ns += round(seconds * NANOS_PER_SECOND)
        self.advance(seconds)

    def step_wall(self, seconds: float) -> None:
        """Steps the wall clock alone, as an administrator or NTP would."""
        self._wall_ns += round(seconds * NANOS_PER_SECOND)

    def reboot(self, away_s: float) -> None:
        """Starts the machine again: the monotonic clock begins anew, and the wall clock comes up
        `away_s` later than it was. Nobody may be asleep on it.
        """
        assert not self._sleepers
        self._boots += 1
        self._monotonic_ns = NANOS_PER_SECOND
        self._asleep_ns = 0
        self.step_wall(away_s)


class LedgerClock:
    """The time that money is counted in: a base and the monotonic clock.

    The base is kept for as long as the machine runs, over restarts of the process, so that a step
    of the wall clock changes nothing. When the machine was started again, nothing but the wall
    clock can say how long it was off: time goes on from there, or from the latest time that was
    written if the wall clock lies before it.
    """

    def __init__(
        self, clock: Clock, persisted_ns: int = 0, base: tuple[str, int] | None = None
    ) -> None:
        """`persisted_ns`: the latest ledger time that was written. `base`: what `base` was in an
        earlier process.
        """
        self._clock = clock
        self._boot_id = clock.boot_id()
        monotonic_ns = clock.monotonic_ns()
        # A boot id that lies (a container moved with its files) is caught by time going back.
        if base and base[0] == self._boot_id != "" and base[1] + monotonic_ns >= persisted_ns:
            self._base_ns = base[1]
        else:
            self._base_ns = max(persisted_ns, clock.wall_ns()) - monotonic_ns

    @property
    def base(self) -> tuple[str, int]:
        """Which boot this is, and ledger time when the monotonic clock was zero."""
        return self._boot_id, self._base_ns

    def now_ns(self) -> int:
        """Ledger time, in nanoseconds since the Unix epoch."""
        return self._base_ns + self._clock.monotonic_ns()

    def behind_wall_s(self) -> float:
        """How far the wall clock has been set forward since the base was taken; negative: back."""
        return (self._clock.wall_ns() - self.now_ns()) / NANOS_PER_SECOND
