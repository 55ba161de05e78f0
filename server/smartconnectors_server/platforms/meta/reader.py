"""Reads campaigns through the gate: as last known, or as they are now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

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
from smartconnectors_server.errors import (
    InvalidBid,
    PlatformRejected,
    PlatformUnavailable,
    UnknownTarget,
)
from smartconnectors_server.platforms.meta import campaigns, minor_units, spend
from smartconnectors_server.platforms.meta.cache import CampaignCache, NoSuchCampaign
from smartconnectors_server.platforms.meta.graph import GraphApi
from smartconnectors_server.platforms.meta.state import (
    ACCOUNT_QUERY,
    AD_SET_QUERY,
    AD_SETS_PER_READ,
    MINIMUM_BUDGETS_EDGE,
    MINIMUM_BUDGETS_QUERY,
    TARGETING_FIELDS,
    AdSet,
    Campaign,
    Node,
    UnreadableAnswer,
    account_of,
    ad_set_of,
    campaigns_of,
    campaigns_query,
    least_budget_of,
    listing_of,
    listing_query,
    nodes_of,
)

CAMPAIGNS_PER_READ = 50
_LEAST_TTL_NS = 3600 * NANOS_PER_SECOND
_LISTING_PAGES = 8
"""At most, because Meta may put fewer campaigns on a page than were asked for."""

T = TypeVar("T")


class Reader:
    """One ad account's campaigns. Raises, beside what is said, PlatformUnavailable, RateLimited and
    PlatformRejected.
    """

    def __init__(
        self, graph: GraphApi, gate: Gate, account_id: str, clock: Clock, ttl_s: float
    ) -> None:
        self._graph = graph
        self._gate = gate
        self._account_id = account_id
        self._clock = clock
        self._account: tuple[str, str] | None = None
        """Its time zone and currency, for reports."""
        self._least: tuple[int, int] | None = None
        """Its least daily budget, and when that was read."""
        self.cache = CampaignCache(clock, ttl_s, self._read)

    async def campaign(self, campaign_id: str, ad_set_id: str = "") -> Campaign:
        """The campaign as last known, with the ad set if one is named. Raises UnknownTarget."""
        try:
            campaign = await self.cache.get(campaign_id)
        except NoSuchCampaign:
            raise self._unknown(campaign_id) from None
        extra = await self._beyond_first_page(campaign, ad_set_id)
        if extra is None:
            return campaign
        self.cache.change(campaign_id, lambda known: known.with_ad_set(extra))
        return campaign.with_ad_set(extra)

    async def fresh(self, campaign_id: str, ad_set_id: str = "") -> Campaign:
        """The campaign as it is now, with the ad set if one is named. Raises UnknownTarget."""
        campaign = (await self._read([campaign_id])).get(campaign_id)
        if campaign is None:
            raise self._unknown(campaign_id)
        extra = await self._beyond_first_page(campaign, ad_set_id)
        return campaign if extra is None else campaign.with_ad_set(extra)

    async def fresh_all(self, campaign_ids: Sequence[str]) -> Mapping[str, Campaign]:
        """Those that there are, as they are now, many in one call."""
        found: dict[str, Campaign] = {}
        for start in range(0, len(campaign_ids), CAMPAIGNS_PER_READ):
            found |= await self._read(campaign_ids[start : start + CAMPAIGNS_PER_READ])
        return found

    async def targeting(self, campaign_id: str) -> Sequence[Node]:
        """The campaign's ad sets with their targeting, as Meta wrote them.

        Raises UnknownTarget, and InvalidBid when it has more of them than are read at once.
        """

        def parse(answer: Any) -> tuple[Campaign | None, Sequence[Node]]:
            return campaigns_of(self._account_id, answer).get(campaign_id), nodes_of(answer)

        query = campaigns_query([campaign_id], TARGETING_FIELDS)
        campaign, nodes = await self._get("audience", self._account_id, query, parse)
        if campaign is None:
            raise self._unknown(campaign_id)
        if campaign.has_more_ad_sets:
            raise InvalidBid.of(
                "update.campaign_id",
                f"campaign {campaign_id} has more than {AD_SETS_PER_READ} ad sets; target them in "
                "Ads Manager",
            )
        return nodes

    async def account(self) -> AccountFacts:
        """The ad account as it is now. Raises UnknownTarget, and PlatformRejected when it is in a
        currency whose unit Meta does not document.
        """
        facts = await self._get(
            "account",
            self._account_id,
            ACCOUNT_QUERY,
            lambda answer: account_of(answer, self._graph.quota_tier),
        )
        try:
            minor_units.digits_of(facts.currency_code)
        except minor_units.UndocumentedCurrency as error:
            raise PlatformRejected(f"{self._account_id}: {error}") from None
        return facts

    async def least_daily_budget(self, currency_code: str) -> int:
        """The least daily budget of any ad set of the account, in minor units, as read within the
        last hour; 0: Meta does not tell it.
        """
        now_ns = self._clock.monotonic_ns()
        if self._least is None or now_ns - self._least[1] >= _LEAST_TTL_NS:
            try:
                units = await self._get(
                    "minimum budgets",
                    f"{self._account_id}/{MINIMUM_BUDGETS_EDGE}",
                    MINIMUM_BUDGETS_QUERY,
                    lambda answer: least_budget_of(answer, currency_code),
                )
            except (PlatformRejected, UnknownTarget):
                units = 0  # Meta refuses a budget that is too low by itself
            self._least = units, now_ns
        return self._least[0]

    async def campaigns(self) -> AccountCampaigns:
        """The account's campaigns as they are now, page by page."""
        found: list[CampaignFacts] = []
        after = ""
        for _ in range(_LISTING_PAGES):
            listed, after = await self._get(
                "campaigns",
                self._account_id,
                listing_query(CAMPAIGNS_PER_READ, after),
                lambda answer: listing_of(self._account_id, answer),
            )
            found += map(campaigns.told_of, listed)
            if not after or len(found) >= MOST_CAMPAIGNS:
                break
        return AccountCampaigns.first_of(found, has_more=bool(after))

    async def prefetch(self, campaign_ids: Sequence[str]) -> None:
        """Reads those that are not known freshly, many in one call."""
        ids = list(dict.fromkeys(campaign_ids))
        for start in range(0, len(ids), CAMPAIGNS_PER_READ):
            await self.cache.fetch(ids[start : start + CAMPAIGNS_PER_READ])

    async def reported_spend(self, since: date, timeout_ms: int) -> SpendReport:
        """What was billed from `since` to the account's present day, page by page. The account
        itself is read once.
        """
        try:
            if self._account is None:
                async with self._gate.report("account"):
                    answer = await self._graph.get(self._account_id, spend.ACCOUNT_FIELDS)
                self._account = spend.account_of(answer)
            until = self._today(self._account[0])
            pages: list[Any] = []
            after = ""
            while len(pages) < spend.MOST_PAGES:
                query = spend.insights_query(since, until, after)
                async with self._gate.report("spend"):
                    pages.append(
                        await self._graph.insights(self._account_id, query, timeout_ms=timeout_ms)
                    )
                after = spend.next_page_of(pages[-1])
                if not after:
                    return spend.report_of(self._account, pages)
        except UnreadableReport as error:
            raise PlatformUnavailable(f"Meta reported {error}") from None
        raise PlatformUnavailable(f"Meta reported more than {spend.MOST_PAGES} pages")

    def _today(self, time_zone: str) -> date:
        return today_in(time_zone, self._clock.wall_ns())

    async def _beyond_first_page(self, campaign: Campaign, ad_set_id: str) -> AdSet | None:
        """The ad set that is named, when it was not among those that were read with the campaign
        and may be its all the same.
        """
        known = not ad_set_id or campaign.ad_set(ad_set_id) is not None
        if known or not campaign.has_more_ad_sets:
            return None

        def parse(node: Any) -> AdSet | None:
            ad_set = ad_set_of(node)
            return ad_set if str(node.get("campaign_id")) == campaign.campaign_id else None

        return await self._get("ad set", ad_set_id, AD_SET_QUERY, parse)

    async def _read(self, campaign_ids: Sequence[str]) -> Mapping[str, Campaign]:
        def parse(answer: Any) -> Mapping[str, Campaign]:
            return campaigns_of(self._account_id, answer)

        query = campaigns_query(campaign_ids)
        return await self._get("campaign", self._account_id, query, parse)

    async def _get(self, what: str, node_id: str, fields: str, parse: Callable[[Any], T]) -> T:
        # Inside the gate, so that the breaker hears of an answer that cannot be read.
        async with self._gate.read(what):
            answer = await self._graph.get(node_id, fields)
            try:
                return parse(answer)
            except UnreadableAnswer as error:
                raise PlatformUnavailable(f"Meta could not be read: {error}") from None

    def _unknown(self, campaign_id: str) -> UnknownTarget:
        return UnknownTarget(f"Meta ad account {self._account_id} has no campaign {campaign_id}")
