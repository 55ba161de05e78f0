"""What was read of campaigns: one read for many, and never one from before a change of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import PlatformUnavailable
from smartconnectors_server.platforms.google_ads.cache import PREFETCHED_S, CampaignCache
from smartconnectors_server.platforms.google_ads.state import Campaign

KEY = "campaigns/1001"
READ = Campaign("customers/1/campaigns/1001", "1001", "USD", "SEARCH", "TARGET_ROAS")
CHANGED = replace(READ, target_roas_millionths=2_000_000)


class Reader:
    """Reads when it is let."""

    def __init__(self) -> None:
        self.count = 0
        self.may = asyncio.Event()
        self.may.set()
        self.error: Exception | None = None

    async def __call__(self) -> Campaign:
        self.count += 1
        await self.may.wait()
        if self.error is not None:
            raise self.error
        return READ


@pytest.fixture
def cache(clock: ManualClock) -> CampaignCache:
    return CampaignCache(clock, ttl_s=60)


@pytest.fixture
def reader() -> Reader:
    return Reader()


async def test_one_read_serves_everybody_who_asks_meanwhile(
    cache: CampaignCache, reader: Reader
) -> None:
    campaigns = await asyncio.gather(*(cache.get(KEY, reader) for _ in range(20)))
    assert campaigns == [READ] * 20
    assert reader.count == 1


async def test_a_read_from_before_a_change_is_not_kept(
    cache: CampaignCache, reader: Reader
) -> None:
    reader.may.clear()
    asking = asyncio.create_task(cache.get(KEY, reader))
    await asyncio.sleep(0)
    cache.put(KEY, CHANGED)
    reader.may.set()
    assert await asking == READ
    assert await cache.get(KEY, reader) == CHANGED
    assert reader.count == 1


async def test_a_read_from_before_a_change_in_doubt_is_not_kept(
    cache: CampaignCache, reader: Reader
) -> None:
    reader.may.clear()
    asking = asyncio.create_task(cache.get(KEY, reader))
    await asyncio.sleep(0)
    cache.drop(KEY)
    reader.may.set()
    await asking
    await cache.get(KEY, reader)
    assert reader.count == 2


async def test_one_who_gives_up_takes_the_answer_from_nobody(
    cache: CampaignCache, reader: Reader
) -> None:
    reader.may.clear()
    impatient = asyncio.create_task(cache.get(KEY, reader))
    patient = asyncio.create_task(cache.get(KEY, reader))
    await asyncio.sleep(0)
    impatient.cancel()
    reader.may.set()
    assert await patient == READ
    assert reader.count == 1


async def test_a_failed_read_is_tried_again(cache: CampaignCache, reader: Reader) -> None:
    reader.error = PlatformUnavailable("away")
    with pytest.raises(PlatformUnavailable):
        await cache.get(KEY, reader)
    reader.error = None
    assert await cache.get(KEY, reader) == READ


async def test_a_change_of_a_portfolio_makes_its_other_campaigns_unknown(
    cache: CampaignCache, reader: Reader
) -> None:
    shared = replace(READ, portfolio_name="customers/1/biddingStrategies/7")
    cache.put("campaigns/1", shared)
    cache.put("campaigns/2", shared)
    await cache.get("campaigns/1", reader)
    assert reader.count == 1
    await cache.get("campaigns/2", reader)
    assert reader.count == 1


class ManyReader:
    """Finds what it was given, when it is let."""

    def __init__(self, **found: Campaign) -> None:
        self.found = {key.replace("_", "/"): campaign for key, campaign in found.items()}
        self.asked: list[Sequence[str]] = []
        self.began = asyncio.Event()
        self.may = asyncio.Event()
        self.may.set()
        self.error: Exception | None = None

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, Campaign]:
        self.asked.append(keys)
        self.began.set()
        await self.may.wait()
        if self.error is not None:
            raise self.error
        return self.found


async def test_reading_ahead_reads_only_what_is_not_fresh(
    cache: CampaignCache, reader: Reader
) -> None:
    cache.put("campaigns/1", READ)
    many = ManyReader(campaigns_2=CHANGED)
    keys = ["campaigns/1", "campaigns/2", "campaigns/2", "campaigns/3"]
    await cache.prefetch(keys, many)
    await cache.prefetch(keys, many)
    assert many.asked == [("campaigns/2", "campaigns/3")]
    assert await cache.get("campaigns/2", reader) == CHANGED
    assert await cache.get("campaigns/3", reader) is None
    assert reader.count == 0


async def test_an_absence_is_forgotten_sooner_than_a_campaign(
    cache: CampaignCache, reader: Reader, clock: ManualClock
) -> None:
    await cache.prefetch(["campaigns/1", "campaigns/2"], ManyReader(campaigns_1=CHANGED))
    clock.advance(PREFETCHED_S)
    assert await cache.get("campaigns/1", reader) == CHANGED
    assert await cache.get("campaigns/2", reader) == READ
    assert reader.count == 1


async def test_who_asks_for_what_is_being_read_ahead_waits_for_that(
    cache: CampaignCache, reader: Reader
) -> None:
    many = ManyReader(campaigns_1001=CHANGED)
    many.may.clear()
    ahead = asyncio.create_task(cache.prefetch([KEY], many))
    await asyncio.sleep(0)
    asking = asyncio.create_task(cache.get(KEY, reader))
    await asyncio.sleep(0)
    ahead.cancel()  # whoever began it takes the answer from nobody
    many.may.set()
    assert await asking == CHANGED
    assert reader.count == 0


async def test_what_was_read_ahead_from_before_a_change_is_not_kept(
    cache: CampaignCache, reader: Reader
) -> None:
    many = ManyReader(campaigns_1001=READ)
    many.may.clear()
    ahead = asyncio.create_task(cache.prefetch([KEY, "campaigns/2"], many))
    await asyncio.sleep(0)
    cache.put(KEY, CHANGED)
    many.may.set()
    await ahead
    assert await cache.get(KEY, reader) == CHANGED


async def test_a_read_from_before_a_change_of_its_portfolio_is_not_kept(
    cache: CampaignCache, reader: Reader
) -> None:
    shared = replace(READ, portfolio_name="customers/1/biddingStrategies/7")
    many = ManyReader(campaigns_1001=shared)
    many.may.clear()
    ahead = asyncio.create_task(cache.prefetch([KEY], many))
    await many.began.wait()
    cache.put("campaigns/2", shared)
    many.may.set()
    await ahead
    await cache.get(KEY, reader)
    assert reader.count == 1


async def test_a_failed_read_ahead_is_told_to_all_and_tried_again(
    cache: CampaignCache, reader: Reader
) -> None:
    many = ManyReader()
    many.error = PlatformUnavailable("away")
    many.may.clear()
    ahead = asyncio.create_task(cache.prefetch([KEY], many))
    await asyncio.sleep(0)
    asking = asyncio.create_task(cache.get(KEY, reader))
    await asyncio.sleep(0)
    many.may.set()
    for waiting in (ahead, asking):
        with pytest.raises(PlatformUnavailable):
            await waiting
    assert await cache.get(KEY, reader) == READ


async def test_closing_ends_a_read_ahead(cache: CampaignCache) -> None:
    many = ManyReader()
    many.may.clear()
    ahead = asyncio.create_task(cache.prefetch([KEY], many))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await ahead


async def test_closing_ends_a_read_that_nobody_waits_for(
    cache: CampaignCache, reader: Reader
) -> None:
    reader.may.clear()
    asking = asyncio.create_task(cache.get(KEY, reader))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
