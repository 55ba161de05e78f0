"""What was read of campaigns, for as long as it may be used. One read at a time for each.

A read that was under way while a change was accepted is handed to who waited for it, but not kept:
it may be from before the change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.platforms.google_ads.state import Campaign

Read = Callable[[], Awaitable[Campaign]]

_MAX_ENTRIES = 10_000


class CampaignCache:
    """Campaigns by a key such as `campaigns/1001` or `ad_groups/10011`."""

    def __init__(self, clock: Clock, ttl_s: float) -> None:
        self._clock = clock
        self._ttl_ns = int(ttl_s * NANOS_PER_SECOND)
        self._entries: dict[str, tuple[Campaign, int]] = {}
        self._reading: dict[str, asyncio.Task[Campaign]] = {}

    async def get(self, key: str, read: Read) -> Campaign:
        """The campaign as last read or changed by us, read when there is no fresh one.

        Whoever asks while a read is under way waits for that one. Raises what `read` raises.
        """
        entry = self._entries.get(key)
        if entry is not None and self._clock.monotonic_ns() - entry[1] < self._ttl_ns:
            return entry[0]
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.create_task(self._read(key, read))
            self._reading[key] = reading
            reading.add_done_callback(lambda task: self._done(key, task))
        # Shielded: one caller that gives up must not take the answer from the others.
        return await asyncio.shield(reading)

    def put(self, key: str, campaign: Campaign) -> None:
        """Keeps a campaign as our own accepted change left it."""
        self._reading.pop(key, None)
        if campaign.portfolio_name:
            self._drop_sharers(campaign.portfolio_name)
        self._keep(key, campaign)

    def drop(self, key: str) -> None:
        """Reads it anew next time."""
        self._reading.pop(key, None)
        entry = self._entries.pop(key, None)
        if entry is not None and entry[0].portfolio_name:
            self._drop_sharers(entry[0].portfolio_name)

    async def close(self) -> None:
        """Ends reads that nobody waits for any more."""
        reading = tuple(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    async def _read(self, key: str, read: Read) -> Campaign:
        campaign = await read()
        if self._reading.get(key) is asyncio.current_task():
            self._keep(key, campaign)
        return campaign

    def _keep(self, key: str, campaign: Campaign) -> None:
        if len(self._entries) >= _MAX_ENTRIES and key not in self._entries:
            self._entries.pop(next(iter(self._entries)))
        self._entries[key] = (campaign, self._clock.monotonic_ns())

    def _done(self, key: str, task: asyncio.Task[Campaign]) -> None:
        if self._reading.get(key) is task:
            del self._reading[key]
        if not task.cancelled():
            task.exception()  # everyone who waited has it; nobody may be left to hear of it

    def _drop_sharers(self, portfolio_name: str) -> None:
        sharers = [
            key
            for key, (campaign, _) in self._entries.items()
            if campaign.portfolio_name == portfolio_name
        ]
        for key in sharers:
            del self._entries[key]
