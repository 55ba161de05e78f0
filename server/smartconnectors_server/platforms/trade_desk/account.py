"""What is known of the account: read when it is needed, kept while it may be used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

from smartconnectors_server.clock import Clock
from smartconnectors_server.connector import MOST_CAMPAIGNS, AccountCampaigns
from smartconnectors_server.errors import PlatformUnavailable, UnknownTarget
from smartconnectors_server.platforms.trade_desk import campaigns
from smartconnectors_server.platforms.trade_desk.api import Api
from smartconnectors_server.platforms.trade_desk.cache import AccountCache
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import Creative, creative_of
from smartconnectors_server.platforms.trade_desk.state import (
    AdGroup,
    Advertiser,
    Campaign,
    UnreadableEntity,
    ad_group_of,
    advertiser_of,
    campaign_of,
    listed_of,
)

T = TypeVar("T")
AdGroups = tuple[AdGroup, ...]


class Account:
    """Reads of an account. Each method raises UnknownTarget, PlatformRejected, PlatformUnavailable
    and RateLimited.
    """

    def __init__(self, api: Api, clock: Clock, ttl_s: float) -> None:
        self._api = api
        self._cache = AccountCache(clock, ttl_s)

    async def close(self) -> None:
        """Ends reads that nobody waits for any more."""
        await self._cache.close()

    async def ad_groups(self, campaign_id: str) -> AdGroups:
        """A campaign's ad groups."""
        found: AdGroups = await self._cache.get(
            _ad_groups_key(campaign_id), lambda: self.read_ad_groups(campaign_id)
        )
        return found

    async def campaign(self, campaign_id: str) -> Campaign:
        """A campaign."""
        found: Campaign = await self._cache.get(
            f"campaign/{campaign_id}", lambda: self.read_campaign(campaign_id)
        )
        return found

    async def advertiser(self, advertiser_id: str) -> Advertiser:
        """An advertiser."""
        found: Advertiser = await self._cache.get(
            f"advertiser/{advertiser_id}", lambda: self.read_advertiser(advertiser_id)
        )
        return found

    async def read_advertiser(self, advertiser_id: str) -> Advertiser:
        """An advertiser as it is now."""
        path = f"/advertiser/{quote(advertiser_id, safe='')}"
        advertiser = _parsed(advertiser_of, await self._api.read("advertiser", "GET", path))
        _same("advertiser", advertiser.advertiser_id, advertiser_id)
        return advertiser

    async def creatives(self, advertiser_id: str) -> Mapping[str, Creative]:
        """An advertiser's creatives that can be put into bid responses, by id."""

        async def read() -> Mapping[str, Creative]:
            entities = await self._read_all(
                "creatives", "/creative/query/advertiser", {"AdvertiserId": advertiser_id}
            )
            found = (creative_of(entity) for entity in entities)
            return {one.creative_id: one for one in found if one is not None}

        found: Mapping[str, Creative] = await self._cache.get(f"creatives/{advertiser_id}", read)
        return found

    async def creatives_of(
        self, campaign_id: str, advertiser_id: str
    ) -> tuple[Advertiser, tuple[Creative, ...]]:
        """The advertiser, and the creatives that the campaign's ad groups serve, in their order.

        `advertiser_id` empty: the campaign's own.
        """
        ad_groups, owner = await asyncio.gather(
            self.ad_groups(campaign_id), self._owner(campaign_id, advertiser_id)
        )
        if not ad_groups:
            raise UnknownTarget(f"The Trade Desk knows no ad group of campaign {campaign_id}")
        advertiser, creatives = await asyncio.gather(self.advertiser(owner), self.creatives(owner))
        served = dict.fromkeys(
            creative_id
            for ad_group in ad_groups
            if ad_group.enabled
            for creative_id in ad_group.creative_ids
        )
        return advertiser, tuple(creatives[one] for one in served if one in creatives)

    async def read_ad_groups(self, campaign_id: str) -> AdGroups:
        """A campaign's ad groups as they are now."""
        entities = await self._read_all(
            "ad groups", "/adgroup/query/campaign", {"CampaignId": campaign_id}
        )
        ad_groups = tuple(_parsed(ad_group_of, entity) for entity in entities)
        for ad_group in ad_groups:
            _same("campaign", ad_group.campaign_id, campaign_id)
        return ad_groups

    async def campaigns(self, advertiser_id: str) -> AccountCampaigns:
        """An advertiser's campaigns as they are now."""
        asked = {"AdvertiserId": advertiser_id}
        # One more of each than are told of, so that it shows whether there are more.
        entities = await self._read_all(
            "campaigns", "/campaign/query/advertiser", asked, MOST_CAMPAIGNS + 1
        )
        listed = [_parsed(listed_of, entity) for entity in entities]
        for one in listed:
            _same("advertiser", one.campaign.advertiser_id, advertiser_id)
        entities = await self._read_all(
            "ad groups", "/adgroup/query/advertiser", asked, campaigns.MOST_AD_GROUPS + 1
        )
        own: dict[str, list[AdGroup]] = {}
        for entity in entities:
            ad_group = _parsed(ad_group_of, entity)
            own.setdefault(ad_group.campaign_id, []).append(ad_group)
        all_were_read = len(entities) <= campaigns.MOST_AD_GROUPS
        return AccountCampaigns.first_of(
            [
                campaigns.told_of(
                    one, own.get(one.campaign.campaign_id, ()), all_were_read=all_were_read
                )
                for one in listed
            ]
        )

    async def read_ad_group(self, ad_group_id: str) -> AdGroup:
        """An ad group as it is now."""
        path = f"/adgroup/{quote(ad_group_id, safe='')}"
        ad_group = _parsed(ad_group_of, await self._api.read("ad group", "GET", path))
        _same("ad group", ad_group.ad_group_id, ad_group_id)
        return ad_group

    async def read_campaign(self, campaign_id: str) -> Campaign:
        """A campaign as it is now."""
        path = f"/campaign/{quote(campaign_id, safe='')}"
        campaign = _parsed(campaign_of, await self._api.read("campaign", "GET", path))
        _same("campaign", campaign.campaign_id, campaign_id)
        return campaign

    def changed(self, ad_group: AdGroup) -> None:
        """Keeps an ad group as The Trade Desk answered our own change of it."""
        key = _ad_groups_key(ad_group.campaign_id)
        known: AdGroups | None = self._cache.fresh(key)
        if known is None:
            self._cache.drop(key)
            return
        self._cache.replace(
            key,
            tuple(ad_group if one.ad_group_id == ad_group.ad_group_id else one for one in known),
        )

    def flight_changed(self, campaign_id: str, flight_id: int, daily_target_micros: int) -> None:
        """Keeps a flight as our own accepted change left it."""
        key = f"campaign/{campaign_id}"
        known: Campaign | None = self._cache.fresh(key)
        if known is None:
            self._cache.drop(key)
            return
        flights = tuple(
            replace(flight, daily_target_micros=daily_target_micros)
            if flight.flight_id == flight_id
            else flight
            for flight in known.flights
        )
        self._cache.replace(key, replace(known, flights=flights))

    def forget(self, campaign_id: str) -> None:
        """Nobody knows what the campaign is like: reads it anew next time."""
        self._cache.drop(_ad_groups_key(campaign_id))
        self._cache.drop(f"campaign/{campaign_id}")

    async def _owner(self, campaign_id: str, advertiser_id: str) -> str:
        return advertiser_id or (await self.campaign(campaign_id)).advertiser_id

    async def _read_all(
        self, what: str, path: str, body: Mapping[str, Any], most: int | None = None
    ) -> list[Any]:
        try:
            return list(await self._api.read_all(what, path, body, most=most))
        except UnreadableEntity as error:
            raise PlatformUnavailable(f"The Trade Desk answered the {what} as {error}") from error


def _ad_groups_key(campaign_id: str) -> str:
    return f"ad_groups/{campaign_id}"


def _parsed(read: Callable[[Any], T], entity: Any) -> T:
    try:
        return read(entity)
    except UnreadableEntity as error:
        raise PlatformUnavailable(f"The Trade Desk answered with {error}") from error


def _same(what: str, found: str, asked: str) -> None:
    if found != asked:
        raise PlatformUnavailable(f"The Trade Desk answered with another {what} than asked for")
