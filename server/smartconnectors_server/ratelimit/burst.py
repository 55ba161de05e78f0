"""Burst protection: a leaky bucket that is only ever asked, never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import cast

from aiolimiter import AsyncLimiter

from smartconnectors_server.clock import NANOS_PER_SECOND

# The level is a float that has leaked many times; whole calls are far from being this close.
_ROUNDING = 1e-4


class _TimeOnlyLoop:
    """The one thing of an event loop that the bucket needs: its time, in seconds."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        # Seconds since the epoch would leave a float no room below a microsecond.
        self._start_ns = now_ns()

    def time(self) -> float:
        return (self._now_ns() - self._start_ns) / NANOS_PER_SECOND


class BurstLimit(AsyncLimiter):
    """At most `burst` calls at once; room for further ones comes back at the average rate.

    It is aiolimiter's bucket in ledger time. That library reads the time of the running event loop,
    through the property `_loop`; something that only tells the time is put in its place. Nothing
    else of a loop is needed as long as nothing queues, and nothing does: whoever takes has asked.
    """

    __slots__ = ("_calls_per_s", "_time_only_loop", "burst")

    def __init__(self, burst: int, calls_per_s: float, now_ns: Callable[[], int]) -> None:
        most = burst + _ROUNDING
        super().__init__(most, most / calls_per_s)
        self.burst = burst
        self._calls_per_s = calls_per_s
        self._time_only_loop = cast(asyncio.AbstractEventLoop, _TimeOnlyLoop(now_ns))

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._time_only_loop

    def wait_ns(self, count: int = 1) -> int:
        """How long until `count` calls have room; 0 when they have room now."""
        if self.has_capacity(count):
            return 0
        excess = self._level + count + _ROUNDING / 2 - self.max_rate
        return max(1, round(excess / self._calls_per_s * NANOS_PER_SECOND))

    async def take(self, count: int = 1) -> None:
        """Takes the room that `wait_ns` has just found, without giving way."""
        await self.acquire(count)

    def fill(self, level: float) -> None:
        """As if so many calls had just been taken, in a bucket that nobody has used yet."""
        self._level = min(level, self.max_rate)
        self._last_check = self._loop.time()

    async def restore(self, calls: Iterable[tuple[int, int]], now_ns: int) -> None:
        """Fills the bucket as the calls of (at_ns, count), oldest first, would have."""
        level, level_ns = 0.0, 0
        for at_ns, count in (*calls, (now_ns, 0)):
            leaked = (at_ns - level_ns) / NANOS_PER_SECOND * self._calls_per_s
            level, level_ns = max(0.0, level - leaked) + count, at_ns
        await self.acquire(min(level, self.max_rate))
