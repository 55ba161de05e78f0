"""What was read of campaigns: one read at a time, never older than allowed, never undoing ours."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.platforms.meta.cache import CampaignCache, NoSuchCampaign
from smartconnectors_server.platforms.meta.state import AdSet, Campaign


def campaign(campaign_id: str, floor: int = 40_000) -> Campaign:
    ad_set = AdSet(ad_set_id=f"{campaign_id}1", is_active=True, roas_floor=floor)
    return Campaign(campaign_id, "act_1", "USD", is_paused=False, ad_sets=(ad_set,))


class Platform:
    """Answers reads when told to, with what it has then."""

    def __init__(self, *campaign_ids: str) -> None:
        self.campaigns = {each: campaign(each) for each in campaign_ids}
        self.reads: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fails: Exception | None = None

    async def read(self, campaign_ids: Sequence[str]) -> Mapping[str, Campaign]:
        self.reads.append(list(campaign_ids))
        found = {each: self.campaigns[each] for each in campaign_ids if each in self.campaigns}
        await self.may_answer.wait()
        if self.fails is not None:
            raise self.fails
        return found


@pytest.fixture
def platform() -> Platform:
    return Platform("1001", "1002", "1003")


@pytest.fixture
def cache(platform: Platform, clock: ManualClock) -> CampaignCache:
    return CampaignCache(clock, 60.0, platform.read)


async def test_who_asks_while_a_read_is_under_way_waits_for_that_one(
    cache: CampaignCache, platform: Platform
) -> None:
    found = await asyncio.gather(*(cache.get("1001") for _ in range(10)))
    assert {each.campaign_id for each in found} == {"1001"}
    assert platform.reads == [["1001"]]


async def test_many_are_fetched_in_one_read_and_those_that_are_known_not_again(
    cache: CampaignCache, platform: Platform
) -> None:
    await cache.get("1002")
    await cache.fetch(["1001", "1002", "1003", "1001", "9999"])
    await asyncio.gather(cache.get("1001"), cache.get("1003"))
    assert platform.reads == [["1002"], ["1001", "1003", "9999"]]


async def test_a_plan_waits_for_a_fetch_that_is_under_way(
    cache: CampaignCache, platform: Platform
) -> None:
    platform.may_answer.clear()
    fetching = asyncio.create_task(cache.fetch(["1001", "1002"]))
    waiting = asyncio.create_task(cache.get("1002"))
    await asyncio.sleep(0)
    platform.may_answer.set()
    await fetching
    assert (await waiting).campaign_id == "1002"
    assert platform.reads == [["1001", "1002"]]


async def test_a_campaign_that_is_not_there_is_said_to_be_missing_and_asked_for_again(
    cache: CampaignCache, platform: Platform
) -> None:
    for _ in range(2):
        with pytest.raises(NoSuchCampaign):
            await cache.get("9999")
    assert len(platform.reads) == 2


async def test_what_is_too_old_is_read_again_also_when_we_changed_it_since(
    cache: CampaignCache, platform: Platform, clock: ManualClock
) -> None:
    await cache.get("1001")
    clock.advance(59)
    cache.change("1001", lambda known: replace(known, is_paused=True))
    assert (await cache.get("1001")).is_paused
    clock.advance(1)
    assert not (await cache.get("1001")).is_paused
    assert len(platform.reads) == 2


async def test_a_read_from_before_our_change_is_not_kept(
    cache: CampaignCache, platform: Platform
) -> None:
    platform.may_answer.clear()
    reading = asyncio.create_task(cache.get("1001"))
    await asyncio.sleep(0)
    cache.change("1001", lambda known: known)
    platform.may_answer.set()
    await reading
    platform.campaigns["1001"] = campaign("1001", floor=20_000)
    assert (await cache.get("1001")).ad_sets[0].roas_floor == 20_000


async def test_a_fetch_keeps_the_campaigns_that_were_not_changed_meanwhile(
    cache: CampaignCache, platform: Platform
) -> None:
    platform.may_answer.clear()
    fetching = asyncio.create_task(cache.fetch(["1001", "1002"]))
    await asyncio.sleep(0)
    cache.drop("1001")
    platform.may_answer.set()
    await fetching
    await cache.get("1002")
    await cache.get("1001")
    assert platform.reads == [["1001", "1002"], ["1001"]]


async def test_a_read_that_failed_is_tried_again_by_the_next_who_asks(
    cache: CampaignCache, platform: Platform
) -> None:
    platform.fails = RuntimeError("no")
    with pytest.raises(RuntimeError):
        await cache.fetch(["1001"])
    platform.fails = None
    assert (await cache.get("1001")).campaign_id == "1001"


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(
    cache: CampaignCache, platform: Platform
) -> None:
    platform.may_answer.clear()
    impatient = asyncio.create_task(cache.get("1001"))
    patient = asyncio.create_task(cache.get("1001"))
    await asyncio.sleep(0)
    impatient.cancel()
    platform.may_answer.set()
    assert (await patient).campaign_id == "1001"


async def test_reads_that_nobody_waits_for_end_when_it_closes(
    cache: CampaignCache, platform: Platform
) -> None:
    platform.may_answer.clear()
    waiting = asyncio.create_task(cache.get("1001"))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_it_does_not_grow_without_bound(clock: ManualClock) -> None:
    ids = [str(number) for number in range(10_001)]
    platform = Platform(*ids)
    cache = CampaignCache(clock, 60.0, platform.read)
    await cache.fetch(ids)
    await cache.get(ids[-1])
    assert len(platform.reads) == 1
    await cache.get(ids[0])
    assert len(platform.reads) == 2
