"""What is known of the account: read when it is needed, kept while it may be used."""

from __future__ import annotations

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
from smartconnectors_server.platforms.google_ads import campaigns, spend
from smartconnectors_server.platforms.google_ads.account import ACCOUNT_QUERY, account_of
from smartconnectors_server.platforms.google_ads.cache import CampaignCache
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


class Reader:
    """Reads of one account, each through the gate. A key is `campaigns/<id>` or `ad_groups/<id>`.

    Each method that reads raises RateLimited, PlatformUnavailable and PlatformRejected.
    """

    def __init__(
        self, transport: Transport, gate: Gate, clock: Clock, *, customer_id: str, ttl_s: float
    ) -> None:
        self._transport = transport
        self._gate = gate
        self._clock = clock
        self._customer_id = customer_id
        self._ttl_ns = int(ttl_s * NANOS_PER_SECOND)
        self.cache = CampaignCache(clock, ttl_s)
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
        """Reads into the cache what is not fresh there: one query for the campaigns, one for the
        ad groups.
        """
        wanted = list(keys)
        for collection in _QUERIES:
            own = [key for key in wanted if key.startswith(f"{collection}/") and _is_readable(key)]
            await self.cache.prefetch(own, self._read)

    async def account(self) -> AccountFacts:
        """The account. Raises UnknownTarget."""
        for facts in await self._search("account", ACCOUNT_QUERY, account_of):
            return facts
        raise UnknownTarget(f"Google Ads answered without account {self._customer_id}")

    async def campaigns(self, max_campaigns: int) -> AccountCampaigns:
        """The account's campaigns, in one query. `max_campaigns`: see `campaigns.told_of`."""

        def read(row: Row) -> CampaignFacts:
            return campaigns.told_of(row, max_campaigns=max_campaigns)

        # One more than are told of, so that it shows whether there are more.
        query = listing_query(MOST_CAMPAIGNS + 1)
        return AccountCampaigns.first_of(await self._search("campaigns", query, read))

    async def audience(self, campaign_id: str) -> Mapping[str, str]:
        """The user lists that a campaign is targeted at: id -> resource name of the criterion."""
        return dict(await self._search("audience", audience_query(campaign_id), user_list_of))

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
