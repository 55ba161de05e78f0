"""What was read of the account, for as long as it may be used. One read at a time for each key.

A read that was under way while a change was accepted is handed to who waited for it, but not kept:
it may be from before the change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import RateLimited

Read = Callable[[], Awaitable[Any]]

_MAX_ENTRIES = 10_000


class AccountCache:
    """What was read, by a key such as `campaigns/1001`. What a key holds is its reader's affair."""

    def __init__(self, clock: Clock, ttl_s: float) -> None:
        self._clock = clock
        self._ttl_ns = int(ttl_s * NANOS_PER_SECOND)
        self._entries: dict[str, tuple[Any, int]] = {}
        self._reading: dict[str, asyncio.Task[Any]] = {}

    async def get(self, key: str, read: Read) -> Any:
        """What was last read or put there, read when there is nothing fresh.

        Whoever asks while a read is under way waits for that one, unless it was refused for want of
        quota: that may be the share of the caller who began it. Raises what `read` raises.
        """
        while True:
            fresh = self.fresh(key)
            if fresh is not None:
                return fresh
            reading = self._reading.get(key)
            joined = reading is not None
            if reading is None:
                reading = asyncio.create_task(self._read(key, read))
                self._reading[key] = reading
                reading.add_done_callback(lambda task: self._done(key, task))
            try:
                # Shielded: one caller that gives up must not take the answer from the others.
                return await asyncio.shield(reading)
            except RateLimited:
                if not joined:
                    raise

    def fresh(self, key: str) -> Any | None:
        """What is kept under the key and not too old; None: nothing is."""
        entry = self._entries.get(key)
        if entry is None or self._clock.monotonic_ns() - entry[1] >= self._ttl_ns:
            return None
        return entry[0]

    def replace(self, key: str, value: Any) -> None:
        """Keeps what our own accepted change left, for as long as the rest of it may be used."""
        self._reading.pop(key, None)
        entry = self._entries.get(key)
        if entry is not None:
            self._entries[key] = (value, entry[1])

    def drop(self, key: str) -> None:
        """Reads it anew next time."""
        self._reading.pop(key, None)
        self._entries.pop(key, None)

    async def close(self) -> None:
        """Ends reads that nobody waits for any more."""
        reading = tuple(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    async def _read(self, key: str, read: Read) -> Any:
        value = await read()
        if self._reading.get(key) is asyncio.current_task():
            if len(self._entries) >= _MAX_ENTRIES and key not in self._entries:
                self._entries.pop(next(iter(self._entries)))
            self._entries[key] = (value, self._clock.monotonic_ns())
        return value

    def _done(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._reading.get(key) is task:
            del self._reading[key]
        if not task.cancelled():
            task.exception()  # everyone who waited has it; nobody may be left to hear of it
