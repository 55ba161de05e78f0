"""What was read of campaigns, for as long as it may be used. One read at a time for each.

A read that was under way while a change was accepted is handed to who waited for it, but not kept:
it may be from before the change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.platforms.google_ads.state import Campaign

Found = Campaign | None
"""None: there is no such campaign."""
Read = Callable[[], Awaitable[Found]]
ReadMany = Callable[[Sequence[str]], Awaitable[Mapping[str, Campaign]]]

PREFETCHED_S = 5.0
"""How long what was read ahead may be used at least, and how long an absence may be."""

_MAX_ENTRIES = 10_000


class CampaignCache:
    """Campaigns by a key such as `campaigns/1001` or `ad_groups/10011`."""

    def __init__(self, clock: Clock, ttl_s: float) -> None:
        self._clock = clock
        self._ttl_ns = int(ttl_s * NANOS_PER_SECOND)
        self._prefetched_ns = int(PREFETCHED_S * NANOS_PER_SECOND)
        self._entries: dict[str, tuple[Found, int]] = {}
        self._reading: dict[str, asyncio.Future[Found]] = {}
        self._prefetching: set[asyncio.Task[None]] = set()
        self._portfolio_changes = 0

    async def get(self, key: str, read: Read) -> Found:
        """The campaign as last read or changed by us, read when there is no fresh one.

        Whoever asks while a read is under way waits for that one. Raises what `read` raises.
        """
        if self._is_fresh(key):
            return self._entries[key][0]
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.create_task(self._read(key, read))
            self._expect(key, reading)
        # Shielded: one caller that gives up must not take the answer from the others.
        return await asyncio.shield(reading)

    async def prefetch(self, keys: Iterable[str], read: ReadMany) -> None:
        """Reads at once all that is neither fresh nor being read. `read` returns what there is.

        What was found may be used for PREFETCHED_S even when entries live shorter, and so may the
        knowledge that there is nothing. Raises what `read` raises.
        """
        wanted = [
            key
            for key in dict.fromkeys(keys)
            if key not in self._reading and not self._is_fresh(key)
        ]
        if not wanted:
            return
        loop = asyncio.get_running_loop()
        readings: dict[str, asyncio.Future[Found]] = {key: loop.create_future() for key in wanted}
        for key, reading in readings.items():
            self._expect(key, reading)
        task = asyncio.create_task(self._read_many(readings, read))
        self._prefetching.add(task)
        task.add_done_callback(self._prefetching.discard)
        await asyncio.shield(task)

    def put(self, key: str, campaign: Campaign) -> None:
        """Keeps a campaign as our own accepted change left it."""
        self._reading.pop(key, None)
        if campaign.portfolio_name:
            self._drop_sharers(campaign.portfolio_name)
        self._keep(key, campaign, self._ttl_ns)

    def drop(self, key: str) -> None:
        """Reads it anew next time."""
        self._reading.pop(key, None)
        entry = self._entries.pop(key, None)
        if entry is not None and entry[0] is not None and entry[0].portfolio_name:
            self._drop_sharers(entry[0].portfolio_name)

    async def close(self) -> None:
        """Ends reads that nobody waits for any more."""
        reading: list[asyncio.Future[Any]] = [*self._reading.values(), *self._prefetching]
        for future in reading:
            future.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    async def _read(self, key: str, read: Read) -> Found:
        changes = self._portfolio_changes
        campaign = await read()
        if campaign is not None and self._reading.get(key) is asyncio.current_task():
            self._keep_read(key, campaign, self._ttl_ns, changes)
        return campaign

    async def _read_many(
        self, readings: Mapping[str, asyncio.Future[Found]], read: ReadMany
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

    def _expect(self, key: str, reading: asyncio.Future[Found]) -> None:
        self._reading[key] = reading
        reading.add_done_callback(lambda done: self._done(key, done))

    def _is_fresh(self, key: str) -> bool:
        entry = self._entries.get(key)
        return entry is not None and self._clock.monotonic_ns() < entry[1]

    def _keep_read(self, key: str, campaign: Found, life_ns: int, changes_before: int) -> None:
        """Keeps what was read, unless a portfolio that it may share was changed meanwhile."""
        shares = campaign is not None and campaign.portfolio_name
        if not shares or changes_before == self._portfolio_changes:
            self._keep(key, campaign, life_ns)

    def _keep(self, key: str, campaign: Found, life_ns: int) -> None:
        if len(self._entries) >= _MAX_ENTRIES and key not in self._entries:
            self._entries.pop(next(iter(self._entries)))
        self._entries[key] = (campaign, self._clock.monotonic_ns() + life_ns)

    def _done(self, key: str, reading: asyncio.Future[Found]) -> None:
        if self._reading.get(key) is reading:
            del self._reading[key]
        if not reading.cancelled():
            reading.exception()  # everyone who waited has it; nobody may be left to hear of it

    def _drop_sharers(self, portfolio_name: str) -> None:
        self._portfolio_changes += 1
        sharers = [
            key
            for key, (campaign, _) in self._entries.items()
            if campaign is not None and campaign.portfolio_name == portfolio_name
        ]
        for key in sharers:
            del self._entries[key]


def _fail(reading: asyncio.Future[Found], error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        reading.cancel()
    else:
        reading.set_exception(error)
