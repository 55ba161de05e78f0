"""A world in which time is a number: an event loop that never waits, a clock on it, and a disk.

Everything that happens is decided by seeded sources of chance, and nothing runs on a thread of its
own, so that a run can be had again.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

START_NS = 1_800_000_000 * 10**9
TURNS_PER_INSTANT = 20_000
"""A loop that turns more often than this without time passing will never get anywhere."""


class PowerCut(Exception):
    """Nobody hears any more of what was to be written."""


@dataclass
class Disk:
    """How long a piece of work on the disk takes, and whether it fails."""

    chance: random.Random
    fails: float = 0.0
    fails_after: float = 0.0
    """The work is done, and the error comes all the same."""
    stalls: float = 0.0
    is_quick: bool = False
    """Every piece of work takes as long as the others, and hardly any time."""
    dies_in: int = 0
    """The machine's power goes at this write from now on; 0: it does not."""
    died: Callable[[], None] | None = None
    """Told when it does."""
    trouble: Callable[[float], None] | None = None
    """Told once, when it fails or stalls, how many seconds later the process is to die of it."""

    def duration_s(self) -> float:
        """How long the next piece of work takes."""
        if self.is_quick:
            return 0.0001
        if self.chance.random() < self.stalls:
            stall_s = self.chance.uniform(0.3, 6.0)
            self._is_in_trouble(stall_s)
            return stall_s
        return self.chance.uniform(0.0003, 0.004)

    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Does it, or does not, or dies before it or after it. Raises PowerCut, and what the work
        raises.
        """
        dies = self._dies_now()
        if dies and self.chance.random() < 0.5:
            raise PowerCut
        if self.chance.random() < self.fails:
            self._is_in_trouble(0.5)
            raise sqlite3.OperationalError("disk I/O error")
        result = work(*arguments)
        if self.chance.random() < self.fails_after:
            self._is_in_trouble(0.5)
            raise sqlite3.OperationalError("disk I/O error, afterwards")
        return result

    def _is_in_trouble(self, longest_s: float) -> None:
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            trouble(self.chance.uniform(0.0, longest_s))

    def _dies_now(self) -> bool:
        self.dies_in -= self.dies_in > 0
        if self.dies_in or self.died is None:
            return False
        died, self.died = self.died, None
        died()
        return True


class _Selector(selectors.SelectSelector):
    """Instead of waiting, moves the loop's time on."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing is left that could happen")
        self._turns = 0 if timeout > 0 else self._turns + 1
        if self._turns > TURNS_PER_INSTANT:
            raise RuntimeError("something turns in circles without time passing")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves when there is nothing else to do."""

    def __init__(self, start_s: float, disk: Disk) -> None:
        self._virtual = _Selector()
        self._virtual.now_s = start_s
        self._disk = disk
        self.is_dead = False
        """True: the process is gone, and nothing more reaches the disk."""
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s

    def run_in_executor(  # type: ignore[override] # as it is used here
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        del executor
        future: asyncio.Future[Any] = self.create_future()
        if self.is_dead:
            return future

        def work() -> None:
            if self.is_dead:
                return
            try:
                result = self._disk.do(func, *args)
            except PowerCut:
                return
            except Exception as error:  # noqa: BLE001 - handed on
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_later(self._disk.duration_s(), work)
        return future


class VirtualClock:
    """The clocks of the machine of this world. The wall clock may be stepped."""

    def __init__(self) -> None:
        self.loop: VirtualLoop | None = None
        self._asleep_s = 0.0
        self._ahead_s = 0.0
        """Of the loop of this life, whose timers stand still while the machine is suspended."""
        self.wall_step_s = 0.0
        self._boots = 1
        self._booted_s = 0.0

    def now_s(self) -> float:
        """Seconds since the world began."""
        return 0.0 if self.loop is None else self.loop.time() + self._ahead_s

    def awake_s(self) -> float:
        """Of those, the seconds in which the machine was not suspended."""
        return self.now_s() - self._asleep_s

    def drive(self, loop: VirtualLoop) -> None:
        """From now on time is that of another life's loop, which began at some later `now_s`."""
        self.loop = loop
        self._ahead_s = 0.0

    def suspend(self, seconds: float) -> None:
        """The machine sleeps for so long, and all of its timers with it."""
        self._asleep_s += seconds
        self._ahead_s += seconds

    def reboot(self) -> None:
        """The machine is started again: its monotonic clock begins anew."""
        self._boots += 1
        self._booted_s = self.now_s()

    def boot_id(self) -> str:
        return f"boot {self._boots}"

    def monotonic_ns(self) -> int:
        return 10**9 + round((self.now_s() - self._booted_s) * 1e9)

    def awake_ns(self) -> int:
        return round(self.awake_s() * 1e9)

    def wall_ns(self) -> int:
        return START_NS + round((self.now_s() + self.wall_step_s) * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
