"""A read that several callers wait for: one caller's lack of quota refuses none of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.platforms.google_ads import cache as google_ads
from smartconnectors_server.platforms.meta import cache as meta
from smartconnectors_server.platforms.meta.state import Campaign
from smartconnectors_server.platforms.trade_desk import cache as trade_desk

Ask = Callable[[], Awaitable[Any]]


class Reads:
    """The first is refused for want of its caller's quota, the others are made."""

    def __init__(self) -> None:
        self.count = 0
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def one(self) -> Any:
        self.count += 1
        number = self.count
        self.begun.set()
        await self.go_on.wait()
        if number == 1:
            raise RateLimited("the share of the one who began the read")
        return "read"


def _google_ads(reads: Reads, clock: ManualClock) -> Ask:
    cache: Any = google_ads.Cache(clock, 60.0)
    return lambda: cache.get("1001", reads.one)


def _meta(reads: Reads, clock: ManualClock) -> Ask:
    async def several(keys: Any) -> Any:
        await reads.one()
        return {key: Campaign(key, "act_1", "USD", is_paused=False, ad_sets=()) for key in keys}

    cache = meta.CampaignCache(clock, 60.0, several)

    async def ask() -> str:
        return "read" if (await cache.get("1001")).campaign_id == "1001" else ""

    return ask


def _trade_desk(reads: Reads, clock: ManualClock) -> Ask:
    cache = trade_desk.AccountCache(clock, 60.0)
    return lambda: cache.get("1001", reads.one)


@pytest.mark.parametrize("make", [_google_ads, _meta, _trade_desk])
async def test_who_joined_a_read_that_was_refused_reads_again_once(
    clock: ManualClock, make: Callable[[Reads, ManualClock], Ask]
) -> None:
    reads = Reads()
    ask = make(reads, clock)
    asking = [asyncio.ensure_future(ask()) for _ in range(4)]
    await reads.begun.wait()
    reads.go_on.set()
    first, *others = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(first, RateLimited), "it is its own share"
    assert others == ["read"] * 3
    assert reads.count == 2
