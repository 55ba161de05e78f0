"""Claims: calls that are recorded durably before they are made, so that a crash forgets none.

A claim says "up to `count` calls may be made until `valid_until`". It is recorded under that last
instant, so whoever reads it after a crash counts its calls no earlier than they were made. Within a
claim a call costs no write. What is left of a claim when its time is over was never called and
counts nowhere but after a crash, where the count is then too high for a while: the safe side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class CallStore(Protocol):
    """Where claims are kept; every ledger is one."""

    async def record_calls(self, platform: str, at_ns: int, count: int) -> None:
        """Remembers that `count` calls may be made until `at_ns`; durable on return."""
        ...

    async def calls_since(self, platform: str, since_ns: int) -> tuple[tuple[int, int], ...]:
        """(at_ns, count) of what was remembered after `since_ns`, oldest first."""
        ...


class Claims:
    """The claims of one platform.

    A claim is as large as recent use suggests: it doubles, up to `largest`, when the one before ran
    out in time, and shrinks to what was used of it when it did not. So a platform that is seldom
    called claims single calls, and one that is called all the time seldom writes. It also covers
    every caller that waits for it.
    """

    def __init__(
        self,
        platform: str,
        store: CallStore,
        now_ns: Callable[[], int],
        *,
        largest: int,
        validity_ns: int,
    ) -> None:
        self._platform = platform
        self._store = store
        self._now_ns = now_ns
        self._largest = largest
        self._shortest_validity_ns = validity_ns
        self._validity_ns = validity_ns
        self._size = 1
        self._count = 0
        self._left = 0
        self._valid_until_ns = 0
        self._waiting = 0
        self._recording: asyncio.Task[None] | None = None

    def follow(self, largest: int) -> None:
        """Another largest claim, for those to come."""
        self._largest = largest

    def use(self, now_ns: int, count: int) -> bool:
        """Uses claimed calls; False when there are too few, and then `extend` is to be awaited."""
        are_there = self._left >= count and now_ns < self._valid_until_ns
        if are_there:
            self._left -= count
        return are_there

    async def extend(self, room: int, count: int) -> None:
        """Returns when a new claim, of at most `room` calls, has been recorded; everybody who asks
        meanwhile shares it. It covers the `count` calls that each of them wants, if there is room.
        Who gives up waiting does not undo it.

        Raises:
            Exception: what the store raised; nothing is claimed then.
        """
        self._waiting += count
        try:
            # One that is done has nothing more to give, also before its callback has run.
            if self._recording is None or self._recording.done():
                self._recording = asyncio.create_task(self._record(room))
                self._recording.add_done_callback(self._recorded)
            await asyncio.shield(self._recording)
        finally:
            self._waiting -= count

    async def _record(self, room: int) -> None:
        asked_ns = self._now_ns()
        self._size = self._next_size(asked_ns)
        count = min(room, max(self._size, self._waiting))
        valid_until_ns = asked_ns + self._validity_ns
        await self._store.record_calls(self._platform, valid_until_ns, count)
        self._count = self._left = count
        self._valid_until_ns = valid_until_ns
        # A store slower than a claim is valid would leave nothing to use: allow for it next time.
        self._validity_ns = max(self._shortest_validity_ns, 2 * (self._now_ns() - asked_ns))

    def _next_size(self, now_ns: int) -> int:
        if self._left:
            return min(self._largest, max(1, self._count - self._left))
        if now_ns < self._valid_until_ns:
            return min(self._largest, 2 * self._size)
        return self._size

    def _recorded(self, recording: asyncio.Task[None]) -> None:
        if self._recording is recording:
            self._recording = None
        if not recording.cancelled():
            recording.exception()  # Seen, so that it is not reported when nobody waits any more.
