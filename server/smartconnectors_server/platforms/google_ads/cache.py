"""What was read of campaigns, for as long as it may be used. One read at a time for each.

A read that was under way while a change was accepted is handed to who waited for it, but not kept:
it may be from before the change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.platforms.google_ads.state import Campaign

T = TypeVar("T")

PREFETCHED_S = 5.0
"""How long what was read ahead may be used at least, and how long an absence may be."""

_MAX_ENTRIES = 10_000


class Cache(Generic[T]):
    """What was read, by a key such as `campaigns/1001` or `ad_groups/10011`. None stands for what
    is not there.
    """

    def __init__(self, clock: Clock, ttl_s: float) -> None:
        self._clock = clock
        self._ttl_ns = int(ttl_s * NANOS_PER_SECOND)
        self._prefetched_ns = int(PREFETCHED_S * NANOS_PER_SECOND)
        self._entries: dict[str, tuple[T | None, int]] = {}
        self._reading: dict[str, asyncio.Future[T | None]] = {}
        self._prefetching: set[asyncio.Task[None]] = set()
        self._portfolio_changes = 0

    async def get(self, key: str, read: Callable[[], Awaitable[T | None]]) -> T | None:
        """The campaign as last read or changed by us, read when there is no fresh one.

        Whoever asks while a read is under way waits for that one, unless it was refused for want of
        quota: that may be the share of the caller who began it. Raises what `read` raises.
        """
        while True:
            if self._is_fresh(key):
                return self._entries[key][0]
            reading = self._reading.get(key)
            joined = reading is not None
            if reading is None:
                reading = asyncio.create_task(self._read(key, read))
                self._expect(key, reading)
            try:
                # Shielded: one caller that gives up must not take the answer from the others.
                return await asyncio.shield(reading)
            except RateLimited:
                if not joined:
                    raise

    async def prefetch(
        self, keys: Iterable[str], read: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]
    ) -> None:
        """Reads at once all that is neither fresh nor being read. `read` returns what there is.

        What was found may be used for PREFETCHED_S even when entries live shorter, and so may the
        knowledge that there is nothing. Raises what `read` raises.
        """
        await self.begin_prefetch(keys, read)

    def begin_prefetch(
        self, keys: Iterable[str], read: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]
    ) -> Awaitable[None]:
        """As `prefetch`, which has begun when this returns."""
        wanted = [
            key
            for key in dict.fromkeys(keys)
            if key not in self._reading and not self._is_fresh(key)
        ]
        loop = asyncio.get_running_loop()
        if not wanted:
            nothing: asyncio.Future[None] = loop.create_future()
            nothing.set_result(None)
            return nothing
        readings: dict[str, asyncio.Future[T | None]] = {
            key: loop.create_future() for key in wanted
        }
        for key, reading in readings.items():
            self._expect(key, reading)
        task = asyncio.create_task(self._read_many(readings, read))
        self._prefetching.add(task)
        task.add_done_callback(self._prefetching.discard)
        return asyncio.shield(task)

    def known(self, key: str) -> T | None:
        """What is fresh, without a read; None: nothing is, or there is none."""
        return self._entries[key][0] if self._is_fresh(key) else None

    def put(self, key: str, campaign: T) -> None:
        """Keeps a campaign as our own accepted change left it."""
        self._reading.pop(key, None)
        if shared := self._shared(campaign):
            self._drop_sharers(shared)
        self._keep(key, campaign, self._ttl_ns)

    def drop(self, key: str) -> None:
        """Reads it anew next time."""
        self._reading.pop(key, None)
        entry = self._entries.pop(key, None)
        if entry is not None and (shared := self._shared(entry[0])):
            self._drop_sharers(shared)

    async def close(self) -> None:
        """Ends reads that nobody waits for any more."""
        reading: list[asyncio.Future[Any]] = [*self._reading.values(), *self._prefetching]
        for future in reading:
            future.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    async def _read(self, key: str, read: Callable[[], Awaitable[T | None]]) -> T | None:
        changes = self._portfolio_changes
        campaign = await read()
        if campaign is not None and self._reading.get(key) is asyncio.current_task():
            self._keep_read(key, campaign, self._ttl_ns, changes)
        return campaign

    async def _read_many(
        self,
        readings: Mapping[str, asyncio.Future[T | None]],
        read: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]],
    ) -> None:
        changes = self._portfolio_changes
        try:
            found = await read(tuple(readings))
        except BaseException as error:
            for reading in readings.values():
                if not reading.done():
                    _fail(reading, error)
            raise
        for key, reading in readings.items():
            campaign = found.get(key)
            if self._reading.get(key) is reading:
                present_ns = max(self._ttl_ns, self._prefetched_ns)
                life_ns = self._prefetched_ns if campaign is None else present_ns
                self._keep_read(key, campaign, life_ns, changes)
            if not reading.done():
                reading.set_result(campaign)

    def _expect(self, key: str, reading: asyncio.Future[T | None]) -> None:
        self._reading[key] = reading
        reading.add_done_callback(lambda done: self._done(key, done))

    def _is_fresh(self, key: str) -> bool:
        entry = self._entries.get(key)
        return entry is not None and self._clock.monotonic_ns() < entry[1]

    def _keep_read(self, key: str, campaign: T | None, life_ns: int, changes_before: int) -> None:
        """Keeps what was read, unless a portfolio that it may share was changed meanwhile."""
        if not self._shared(campaign) or changes_before == self._portfolio_changes:
            self._keep(key, campaign, life_ns)

    def _keep(self, key: str, campaign: T | None, life_ns: int) -> None:
        if len(self._entries) >= _MAX_ENTRIES and key not in self._entries:
            self._entries.pop(next(iter(self._entries)))
        self._entries[key] = (campaign, self._clock.monotonic_ns() + life_ns)

    def _done(self, key: str, reading: asyncio.Future[T | None]) -> None:
        if self._reading.get(key) is reading:
            del self._reading[key]
        if not reading.cancelled():
            reading.exception()  # everyone who waited has it; nobody may be left to hear of it

    def _shared(self, found: T | None) -> str:
        """What a change of it would change for others too; empty: nothing."""
        del found
        return ""

    def _drop_sharers(self, portfolio_name: str) -> None:
        self._portfolio_changes += 1
        sharers = [
            key
            for key, (campaign, _) in self._entries.items()
            if self._shared(campaign) == portfolio_name
        ]
        for key in sharers:
            del self._entries[key]


class CampaignCache(Cache[Campaign]):
    """Campaigns; a change of a portfolio changes all that share it."""

    def _shared(self, found: Campaign | None) -> str:
        return "" if found is None else found.portfolio_name


def _fail(reading: asyncio.Future[Any], error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        reading.cancel()
    else:
        reading.set_exception(error)
