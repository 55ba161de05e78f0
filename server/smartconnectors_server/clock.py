"""Time, injected everywhere. Nothing else in this package asks the operating system for it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

NANOS_PER_SECOND = 1_000_000_000
NANOS_PER_MILLI = 1_000_000

# Linux has a clock that also counts the time a machine is suspended.
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


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

    def __init__(self, boot_id_file: Path = BOOT_ID_FILE) -> None:
        """`boot_id_file`: where the kernel says which boot this is."""
        self._boot_id_file = boot_id_file

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() if _BOOT_CLOCK is None else time.clock_gettime_ns(_BOOT_CLOCK)

    def awake_ns(self) -> int:
        return time.monotonic_ns()

    def boot_id(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            return self._boot_id_file.read_text().strip()
        return ""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told to: for tests and simulations, part of the public API."""

    def __init__(
        self, start_ns: int = 1_700_000_000 * NANOS_PER_SECOND, *, names_boots: bool = True
    ) -> None:
        """`names_boots` False: no boot id can be read."""
        self._wall_ns = start_ns
        self._monotonic_ns = NANOS_PER_SECOND
        self._asleep_ns = 0
        self._boots = 1
        self._names_boots = names_boots
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def awake_ns(self) -> int:
        return self._monotonic_ns - self._asleep_ns

    def boot_id(self) -> str:
        return f"boot {self._boots}" if self._names_boots else ""

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

    def step_monotonic(self, seconds: float) -> None:
        """Steps the monotonic clock alone, as for a process that starts in another time namespace.
        Nothing may be asleep on it.
        """
        assert not self._sleepers
        self._monotonic_ns += round(seconds * NANOS_PER_SECOND)

    def reboot(self, away_s: float) -> None:
        """Starts the machine again: the monotonic clock begins anew, and the wall clock comes up
        `away_s` later than it was. Nobody may be asleep on it.
        """
        assert not self._sleepers
        self._boots += 1
        self._monotonic_ns = NANOS_PER_SECOND
        self._asleep_ns = 0
        self.step_wall(away_s)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What every clock said at one instant.

    Attributes:
        boot_id: names what `monotonic_ns` counts from; empty: not known.
        base_ns: ledger time when the monotonic clock was zero.
    """

    boot_id: str
    base_ns: int
    wall_ns: int
    monotonic_ns: int

    @property
    def ledger_ns(self) -> int:
        """Ledger time at that instant."""
        return self.base_ns + self.monotonic_ns


class LedgerClock:
    """The time that money is counted in: a base and the monotonic clock.

    While the process runs, the monotonic clock alone moves it, so that a step of the wall clock
    changes nothing. Between two processes it moves by the smaller of what the wall clock and the
    monotonic clock say has passed, so that one of them may be wrong and no window empties early.
    What runs backwards is wrong for certain, and the other clock counts alone. So does the wall
    clock when the machine was started again, because the monotonic clock began again with it.
    """

    def __init__(
        self, clock: Clock, persisted_ns: int = 0, last: ClockReading | None = None
    ) -> None:
        """`persisted_ns`: the latest ledger time that was written. `last`: the last reading that an
        earlier process wrote; None: there was none, and ledger time begins with the wall clock.
        """
        self._clock = clock
        self._boot_id = clock.boot_id()
        monotonic_ns, wall_ns = clock.monotonic_ns(), clock.wall_ns()
        if last is None:
            now_ns = wall_ns
        else:
            now_ns = last.ledger_ns + _passed_ns(last, self._boot_id, wall_ns, monotonic_ns)
        self._base_ns = max(persisted_ns, now_ns) - monotonic_ns

    @property
    def knows_boot(self) -> bool:
        """False when it cannot be told whether the machine was started again."""
        return self._boot_id != ""

    def reading(self) -> ClockReading:
        """What every clock says now; safe on any thread."""
        return ClockReading(
            self._boot_id, self._base_ns, self._clock.wall_ns(), self._clock.monotonic_ns()
        )

    def now_ns(self) -> int:
        """Ledger time, in nanoseconds since the Unix epoch."""
        return self._base_ns + self._clock.monotonic_ns()

    def behind_wall_s(self) -> float:
        """How far the wall clock is ahead of ledger time; negative: behind it."""
        return (self._clock.wall_ns() - self.now_ns()) / NANOS_PER_SECOND

    def catch_up(self) -> None:
        """Goes on from the wall clock where that is ahead. For a ledger that remembers nothing
        which more time would free or forget.
        """
        self._base_ns += max(0, self._clock.wall_ns() - self.now_ns())


def _passed_ns(last: ClockReading, boot_id: str, wall_ns: int, monotonic_ns: int) -> int:
    """How much time has passed at least since a reading, by the clocks as they are now."""
    passed = [wall_ns - last.wall_ns]
    if boot_id == last.boot_id or "" in {boot_id, last.boot_id}:
        # Without a boot id the machine may have been started again, and then this is at most the
        # time since: never too much.
        passed.append(monotonic_ns - last.monotonic_ns)
    return min((ns for ns in passed if ns >= 0), default=0)
