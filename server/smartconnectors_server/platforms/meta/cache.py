"""What was read of campaigns, for as long as it may be used. One read at a time for each.

A read that was under way while a change was accepted is handed to who waited for it, but not kept:
it may be from before the change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.platforms.meta.state import Campaign

Read = Callable[[Sequence[str]], Awaitable[Mapping[str, Campaign]]]
"""Reads campaigns by their ids; those that do not exist are not among what it returns."""

_MAX_ENTRIES = 10_000


class NoSuchCampaign(Exception):
    """It was read, and it is not there."""


class CampaignCache:
    """Campaigns by id."""

    def __init__(self, clock: Clock, ttl_s: float, read: Read) -> None:
        self._clock = clock
        self._ttl_ns = int(ttl_s * NANOS_PER_SECOND)
        self._read = read
        self._entries: dict[str, tuple[Campaign, int]] = {}
        self._reading: dict[str, asyncio.Task[Mapping[str, Campaign]]] = {}

    async def get(self, campaign_id: str) -> Campaign:
        """The campaign as last read or changed by us, read when there is no fresh one.

        Whoever asks while a read is under way waits for that one, unless it was refused for want of
        quota: that may be the share of the caller who began it. Raises NoSuchCampaign, and what the
        read raises.
        """
        while True:
            known = self._fresh(campaign_id)
            if known is not None:
                return known
            begun = self._reading.get(campaign_id)
            try:
                # Shielded: one caller that gives up must not take the answer from the others.
                found = await asyncio.shield(begun or self._start([campaign_id]))
            except RateLimited:
                if begun is None:
                    raise
                continue
            campaign = found.get(campaign_id)
            if campaign is None:
                raise NoSuchCampaign(campaign_id)
            return campaign

    async def fetch(self, campaign_ids: Sequence[str]) -> None:
        """Reads those of the campaigns that are not known freshly, in one read. Raises what the
        read raises; a campaign that is not there is no error here.
        """
        missing = [
            campaign_id
            for campaign_id in dict.fromkeys(campaign_ids)
            if self._fresh(campaign_id) is None and campaign_id not in self._reading
        ]
        if missing:
            await asyncio.shield(self._start(missing))

    def change(self, campaign_id: str, change: Callable[[Campaign], Campaign]) -> None:
        """Keeps what our own accepted change did to a campaign, for as long as it was fresh anyway:
        others change it, too.
        """
        self._reading.pop(campaign_id, None)
        entry = self._entries.get(campaign_id)
        if entry is not None:
            self._entries[campaign_id] = (change(entry[0]), entry[1])

    def drop(self, campaign_id: str) -> None:
        """Reads it anew next time."""
        self._reading.pop(campaign_id, None)
        self._entries.pop(campaign_id, None)

    async def close(self) -> None:
        """Ends reads that nobody waits for any more."""
        reading = set(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    def _fresh(self, campaign_id: str) -> Campaign | None:
        entry = self._entries.get(campaign_id)
        if entry is not None and self._clock.monotonic_ns() - entry[1] < self._ttl_ns:
            return entry[0]
        return None

    def _start(self, campaign_ids: list[str]) -> asyncio.Task[Mapping[str, Campaign]]:
        task = asyncio.create_task(self._read_and_keep(campaign_ids))
        for campaign_id in campaign_ids:
            self._reading[campaign_id] = task
        task.add_done_callback(lambda done: self._done(campaign_ids, done))
        return task

    async def _read_and_keep(self, campaign_ids: list[str]) -> Mapping[str, Campaign]:
        found = await self._read(campaign_ids)
        for campaign_id, campaign in found.items():
            if self._reading.get(campaign_id) is asyncio.current_task():
                self._keep(campaign)
        return found

    def _keep(self, campaign: Campaign) -> None:
        if len(self._entries) >= _MAX_ENTRIES and campaign.campaign_id not in self._entries:
            self._entries.pop(next(iter(self._entries)))
        self._entries[campaign.campaign_id] = (campaign, self._clock.monotonic_ns())

    def _done(self, campaign_ids: list[str], task: asyncio.Task[Mapping[str, Campaign]]) -> None:
        for campaign_id in campaign_ids:
            if self._reading.get(campaign_id) is task:
                del self._reading[campaign_id]
        if not task.cancelled():
            task.exception()  # everyone who waited has it; nobody may be left to hear of it
