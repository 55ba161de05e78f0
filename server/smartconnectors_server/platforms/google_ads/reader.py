"""What is known of the account: read when it is needed, kept while it may be used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TypeVar

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.connector import (
    MOST_CAMPAIGNS,
    AccountCampaigns,
    AccountFacts,
    CampaignFacts,
    Gate,
    SpendReport,
)
from smartconnectors_server.connector.spend import UnreadableReport, today_in
from smartconnectors_server.errors import PlatformUnavailable, RateLimited, UnknownTarget
from smartconnectors_server.platforms.google_ads import campaigns, currencies, overrides, spend
from smartconnectors_server.platforms.google_ads.account import ACCOUNT_QUERY, account_of
from smartconnectors_server.platforms.google_ads.cache import Cache, CampaignCache
from smartconnectors_server.platforms.google_ads.overrides import Overrides
from smartconnectors_server.platforms.google_ads.state import (
    Campaign,
    Row,
    UnreadableRow,
    ad_group_query,
    audience_query,
    campaign_of,
    campaign_query,
    campaign_with_ad_group_of,
    listing_query,
    sharer_of,
    sharers_query,
    user_list_of,
)
from smartconnectors_server.platforms.google_ads.transport import Transport

T = TypeVar("T")

_QUERIES = {"campaigns": campaign_query, "ad_groups": ad_group_query}
_ROWS = {"campaigns": campaign_of, "ad_groups": campaign_with_ad_group_of}

_MAX_IDS = 10_000
"""In one query. Google says that there is a limit, not which; its former API had this one."""
_MAX_ID = 2**63 - 1
"""An id beyond it makes Google refuse the whole query."""
_MAX_STATUSES = 10_000
_UNIT_TTL_S = 86_400.0
"""Google has not changed a currency's billable unit yet."""


class Reader:
    """Reads of one account, each through the gate. A key is `campaigns/<id>` or `ad_groups/<id>`.

    Each method that reads raises RateLimited, PlatformUnavailable and PlatformRejected.
    """

    def __init__(
        self,
        transport: Transport,
        gate: Gate,
        clock: Clock,
        *,
        customer_id: str,
        ttl_s: float,
        all_criteria: bool = False,
    ) -> None:
        """`all_criteria`: reads also the criteria that have no bid of their own, to count them."""
        self._transport = transport
        self._gate = gate
        self._clock = clock
        self._customer_id = customer_id
        self._ttl_ns = int(ttl_s * NANOS_PER_SECOND)
        self._all_criteria = all_criteria
        self.cache = CampaignCache(clock, ttl_s)
        self._overrides: Cache[Overrides] = Cache(clock, ttl_s)
        self._units: Cache[int] = Cache(clock, _UNIT_TTL_S)
        self._statuses: dict[str, tuple[str, int]] = {}
        self._account: tuple[str, str] | None = None
        """Its time zone and currency, for reports."""

    async def campaign(self, key: str, campaign_id: str) -> Campaign:
        """A campaign, from the cache while it is fresh. Raises UnknownTarget."""

        async def read() -> Campaign | None:
            return (await self._read([key])).get(key)

        return self._present(key, campaign_id, await self.cache.get(key, read))

    async def fresh(self, key: str, campaign_id: str) -> Campaign:
        """A campaign as it is now. Raises UnknownTarget."""
        return self._present(key, campaign_id, (await self._read([key])).get(key))

    async def prefetch(self, keys: Iterable[str]) -> None:
        """Reads into the cache what bids need and is not fresh there: one query for the campaigns,
        one for the ad groups, and one for what is below each of both.
        """
        wanted = list(keys)
        for collection in _QUERIES:
            own = [key for key in wanted if key.startswith(f"{collection}/") and _is_readable(key)]
            below = [key for key in own if self._can_be_overridden(key)]
            # Together, so that a plan that comes meanwhile waits for both.
            results = await asyncio.gather(
                self.cache.begin_prefetch(own, self._read),
                self._overrides.begin_prefetch(below, self._read_overrides),
                return_exceptions=True,
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def overrides(self, key: str) -> Overrides:
        """What is below the campaign or ad group and may override its bid."""

        async def read() -> Overrides:
            return (await self._read_overrides([key]))[key]

        return await self._overrides.get(key, read) or Overrides()

    async def billable_unit_micros(self, currency_code: str) -> int:
        """The smallest amount that Google bills in this currency. Raises CurrencyMismatch when it
        does not bill in it.
        """

        async def read() -> int | None:
            query = currencies.unit_query(currency_code)
            return next(iter(await self._search("currency", query, currencies.unit_of)), None)

        unit_micros = await self._units.get(currency_code, read)
        if unit_micros is None:
            raise currencies.unknown(currency_code)
        return unit_micros

    async def close(self) -> None:
        """Ends reads that nobody waits for any more."""
        for cache in (self.cache, self._overrides, self._units):
            await cache.close()

    async def account(self) -> AccountFacts:
        """The account. Raises UnknownTarget."""
        for facts in await self._search("account", ACCOUNT_QUERY, account_of):
            return facts
        raise UnknownTarget(f"Google Ads answered without account {self._customer_id}")

    async def campaigns(self, max_campaigns: int) -> AccountCampaigns:
        """The account's campaigns, in two queries. `max_campaigns`: see `campaigns.told_of`."""
        # One more than are told of, so that it shows whether there are more.
        query = listing_query(MOST_CAMPAIGNS + 1)
        listed = await self._search("campaigns", query, campaigns.listed_of)
        keys = [f"campaigns/{one.campaign.campaign_id}" for one in listed]
        below = await self._read_overrides(keys) if keys else {}

        def told(one: campaigns.Listed) -> CampaignFacts:
            found = below[f"campaigns/{one.campaign.campaign_id}"]
            return campaigns.told_of(
                one, found, max_campaigns=max_campaigns, allow_partial=self._all_criteria
            )

        return AccountCampaigns.first_of([told(one) for one in listed])

    async def audience(self, campaign_id: str) -> Mapping[str, str]:
        """The user lists that a campaign is targeted at: id -> resource name of the criterion."""
        return dict(await self._search("audience", audience_query(campaign_id), user_list_of))

    async def sharers(self, portfolio_name: str) -> frozenset[str] | None:
        """The ids of the campaigns that bid by a portfolio now. None: some are not this account's
        to see.
        """
        found = await self._search("sharers", sharers_query(portfolio_name), sharer_of)
        if any(sharer.of > len(found) for sharer in found):
            return None
        return frozenset(sharer.campaign_id for sharer in found if not sharer.removed)

    async def statuses(self, campaign_ids: Sequence[str]) -> Mapping[str, str]:
        """Google's names of the campaigns' statuses as they are now, of those that there are; as
        last known when Google cannot be asked.
        """
        keys = [key for key in (f"campaigns/{one}" for one in campaign_ids) if _is_readable(key)]
        try:
            found = await self._read(keys) if keys else {}
        except (RateLimited, PlatformUnavailable):
            known = ((one, self.status_of(one)) for one in campaign_ids)
            return {one: status for one, status in known if status}
        return {campaign.campaign_id: campaign.status for campaign in found.values()}

    def status_of(self, campaign_id: str) -> str:
        """Google's name of the campaign's status as last read or set by us; empty: not known."""
        status, until_ns = self._statuses.get(campaign_id, ("", 0))
        return status if self._clock.monotonic_ns() < until_ns else ""

    def status_is(self, campaign_id: str, status: str) -> None:
        """Remembers a status; empty: it is not known any more."""
        self._statuses.pop(campaign_id, None)
        if len(self._statuses) >= _MAX_STATUSES:
            self._statuses.pop(next(iter(self._statuses)))
        self._statuses[campaign_id] = (status, self._clock.monotonic_ns() + self._ttl_ns)

    async def _read(self, keys: Sequence[str]) -> Mapping[str, Campaign]:
        """What there is of these, all of one collection, in as few queries as it takes."""
        collection = keys[0].partition("/")[0]
        ids = [key.partition("/")[2] for key in keys]
        found: dict[str, Campaign] = {}
        for first in range(0, len(ids), _MAX_IDS):
            query = _QUERIES[collection](*ids[first : first + _MAX_IDS])
            for campaign in await self._search("campaign", query, _ROWS[collection]):
                self.status_is(campaign.campaign_id, campaign.status)
                found[_key_of(collection, campaign)] = campaign
        return found

    async def _read_overrides(self, keys: Sequence[str]) -> Mapping[str, Overrides]:
        """As `_read`, of what is below these."""
        collection = keys[0].partition("/")[0]
        ids = [key.partition("/")[2] for key in keys]
        found: dict[str, Overrides] = {}
        for first in range(0, len(ids), _MAX_IDS):
            some = ids[first : first + _MAX_IDS]
            if collection == "campaigns":
                query, read = overrides.targets_query(*some), overrides.ad_group_below
            else:
                query = overrides.criteria_query(*some, all_of_them=self._all_criteria)
                read = overrides.criterion_below
            below = overrides.by_parent(await self._search("overrides", query, read), some)
            found |= {f"{collection}/{one}": of_one for one, of_one in below.items()}
        return found

    def _can_be_overridden(self, key: str) -> bool:
        """False for one that is known to bid by a portfolio."""
        campaign = self.cache.known(key)
        return campaign is None or not campaign.portfolio_name

    async def reported_spend(self, since: date, timeout_s: float) -> SpendReport:
        """What was billed from `since` to the account's present day. The account itself is read
        once.
        """

        async def read(query: str) -> Sequence[Row]:
            async with self._gate.report("spend"):
                return await self._transport.search(query, timeout_s=timeout_s)

        try:
            if self._account is None:
                self._account = spend.account_of(await read(spend.ACCOUNT_QUERY))
            until = self._today(self._account[0])
            return spend.report_of(self._account, await read(spend.spend_query(since, until)))
        except UnreadableReport as error:
            self._account = None  # it may have been given another time zone
            raise PlatformUnavailable(f"Google Ads reported {error}") from None

    def _today(self, time_zone: str) -> date:
        return today_in(time_zone, self._clock.wall_ns())

    async def _search(self, what: str, query: str, read: Callable[[Row], T]) -> Sequence[T]:
        # Inside the gate, so that the breaker hears of an answer that cannot be read.
        async with self._gate.read(what):
            rows = await self._transport.search(query)
            try:
                return [read(row) for row in rows]
            except UnreadableRow as error:
                raise PlatformUnavailable(f"Google Ads answered with {error}") from None

    def _present(self, key: str, campaign_id: str, campaign: Campaign | None) -> Campaign:
        """Raises UnknownTarget unless the campaign is there and is the one that was meant."""
        collection, _, entity_id = key.partition("/")
        in_ad_group = collection == "ad_groups"
        if campaign is None:
            what = f"ad group {entity_id}" if in_ad_group else f"campaign {campaign_id}"
            raise UnknownTarget(f"Google Ads account {self._customer_id} has no {what}")
        if campaign.campaign_id != campaign_id:
            raise UnknownTarget(
                f"ad group {entity_id} is of campaign {campaign.campaign_id}, not {campaign_id}"
            )
        return campaign


def _key_of(collection: str, campaign: Campaign) -> str:
    if collection == "ad_groups":
        assert campaign.ad_group is not None
        return f"ad_groups/{campaign.ad_group.ad_group_id}"
    return f"campaigns/{campaign.campaign_id}"


def _is_readable(key: str) -> bool:
    """False for an id that must not stand in a query beside others: its plan says what is wrong."""
    entity_id = key.partition("/")[2]
    return entity_id.isascii() and entity_id.isdigit() and int(entity_id) <= _MAX_ID
