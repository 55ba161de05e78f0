"""What is read of a campaign, and how: rows of Google's query language as frozen records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from smartconnectors_server.platforms.google_ads.parameters import Parameter

T = TypeVar("T")

Row = Mapping[str, Any]
"""One result row in the JSON form of Google's REST interface."""

ROAS_SCALE = 1_000_000
"""A ROAS is kept as an integer of millionths: 2.5 is 2,500,000."""

_CAMPAIGN_FIELDS = (
    "customer.currency_code",
    "campaign.resource_name",
    "campaign.id",
    "campaign.status",
    "campaign.advertising_channel_type",
    "campaign.bidding_strategy_type",
    "campaign.bidding_strategy",
    "campaign.accessible_bidding_strategy",
    "campaign.maximize_conversion_value.target_roas",
    "campaign.target_roas.target_roas",
    "campaign.maximize_conversions.target_cpa_micros",
    "campaign.target_cpa.target_cpa_micros",
    "campaign.url_custom_parameters",
    "campaign.manual_cpc.enhanced_cpc_enabled",
    "campaign.experiment_type",
    "campaign.serving_status",
)
_PORTFOLIO_FIELDS = (
    "bidding_strategy.resource_name",
    "bidding_strategy.id",
    "bidding_strategy.type",
    "bidding_strategy.campaign_count",
    "bidding_strategy.target_roas.target_roas",
    "bidding_strategy.target_roas.cpc_bid_ceiling_micros",
)
_BUDGET_FIELDS = (
    "campaign_budget.resource_name",
    "campaign_budget.id",
    "campaign_budget.period",
    "campaign_budget.amount_micros",
    "campaign_budget.total_amount_micros",
    "campaign_budget.explicitly_shared",
    "campaign_budget.reference_count",
)
_AD_GROUP_FIELDS = (
    "ad_group.resource_name",
    "ad_group.id",
    "ad_group.cpc_bid_micros",
    "ad_group.url_custom_parameters",
)


class UnreadableRow(Exception):
    """A row is not of the form that was asked for; the message says what is wrong with it."""


_AUDIENCE_FIELDS = ("campaign_criterion.resource_name", "campaign_criterion.user_list.user_list")


def campaign_query(*campaign_ids: str) -> str:
    """Reads everything that a bid or budget of the campaigns needs, in one operation."""
    conditions = (among("campaign.id", campaign_ids), "campaign.status != 'REMOVED'")
    return query(_CAMPAIGN_FIELDS + _PORTFOLIO_FIELDS + _BUDGET_FIELDS, "campaign", conditions)


def listing_query(most: int) -> str:
    """Reads the account's first campaigns, so many at most, with what decides which field a bid
    would set.
    """
    missing = "campaign.missing_eu_political_advertising_declaration"
    fields = ("campaign.name", missing, *_CAMPAIGN_FIELDS, *_PORTFOLIO_FIELDS)
    listing = query(fields, "campaign", ("campaign.status != 'REMOVED'",))
    return f"{listing} ORDER BY campaign.id LIMIT {most}"


def sharers_query(portfolio_name: str) -> str:
    """Reads the campaigns that bid by a portfolio, removed ones too: Google counts them."""
    fields = ("campaign.id", "campaign.status", "bidding_strategy.campaign_count")
    return query(fields, "campaign", (f"campaign.bidding_strategy = '{portfolio_name}'",))


def ad_group_query(*ad_group_ids: str) -> str:
    """Reads ad groups, each with its campaign."""
    conditions = (among("ad_group.id", ad_group_ids), "ad_group.status != 'REMOVED'")
    return query(_CAMPAIGN_FIELDS + _AD_GROUP_FIELDS, "ad_group", conditions)


def audience_query(campaign_id: str) -> str:
    """Reads the user lists that a campaign is targeted at."""
    conditions = (
        f"campaign.id = {campaign_id}",
        "campaign_criterion.type = 'USER_LIST'",
        "campaign_criterion.negative = FALSE",
        "campaign_criterion.status != 'REMOVED'",
    )
    return query(_AUDIENCE_FIELDS, "campaign_criterion", conditions)


def among(field: str, ids: Sequence[str]) -> str:
    """The condition that a field is one of these."""
    return f"{field} = {ids[0]}" if len(ids) == 1 else f"{field} IN ({', '.join(ids)})"


def query(fields: Sequence[str], resource: str, conditions: Sequence[str]) -> str:
    """The query. What callers sent is in the conditions only after it was checked."""
    parts = ("SELECT", ", ".join(fields), "FROM", resource, "WHERE", " AND ".join(conditions))
    return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Sharer:
    """A campaign that bids by a portfolio, and how many Google counts there."""

    campaign_id: str
    removed: bool
    of: int


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A bidding strategy that campaigns share. Absent values are 0."""

    resource_name: str
    portfolio_id: str
    strategy: str
    campaign_count: int
    roas_millionths: int
    ceiling_micros: int


@dataclass(frozen=True, slots=True)
class DailyBudget:
    """A campaign's budget, which is a daily one when its period says so."""

    resource_name: str
    budget_id: str
    amount_micros: int
    """For a day; 0: it has none."""
    reference_count: int
    """How many campaigns use it."""
    period: str
    """Google's BudgetPeriod by name."""
    total_micros: int
    """For all of a CUSTOM_PERIOD; else 0."""
    explicitly_shared: bool
    """Any campaign may be put on it."""


@dataclass(frozen=True, slots=True)
class AdGroup:
    """An ad group's manual bid."""

    resource_name: str
    ad_group_id: str
    cpc_bid_micros: int
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as it was read. Settings that are not set are 0."""

    resource_name: str
    campaign_id: str
    currency_code: str
    channel: str
    strategy: str
    """Google's BiddingStrategyType by name."""
    status: str = "UNSPECIFIED"
    """Google's CampaignStatus by name."""
    parameters: tuple[Parameter, ...] = ()
    maximize_value_roas_millionths: int = 0
    target_roas_millionths: int = 0
    maximize_conversions_cpa_micros: int = 0
    target_cpa_micros: int = 0
    enhanced_cpc: bool = False
    experiment_type: str = "UNSPECIFIED"
    """Google's CampaignExperimentType by name."""
    serving_status: str = "UNSPECIFIED"
    """Google's CampaignServingStatus by name."""
    portfolio_name: str = ""
    """The resource name of the strategy it shares; empty: it has its own."""
    portfolio: Portfolio | None = None
    """None with a `portfolio_name`: the strategy belongs to another account."""
    budget: DailyBudget | None = None
    ad_group: AdGroup | None = None
    """Read with `ad_group_query` only."""

    @property
    def customer_id(self) -> str:
        """The account it is in."""
        return self.resource_name.split("/")[1]


def millionths(value: Any) -> int:
    """An integer of millionths of a float or decimal text, rounded half up."""
    return int((Decimal(str(value)) * ROAS_SCALE + Decimal("0.5")) // 1)


def campaign_of(row: Row) -> Campaign:
    """The campaign in a row of `campaign_query` or `ad_group_query`. Raises UnreadableRow."""
    return read_row(_campaign_of, row)


def campaign_with_ad_group_of(row: Row) -> Campaign:
    """The campaign in a row of `ad_group_query`, with its ad group. Raises UnreadableRow."""
    campaign = campaign_of(row)
    if campaign.ad_group is None:
        raise UnreadableRow("a row of an ad group without one")
    return campaign


def sharer_of(row: Row) -> Sharer:
    """The campaign in a row of `sharers_query`. Raises UnreadableRow."""
    return read_row(_sharer_of, row)


def user_list_of(row: Row) -> tuple[str, str]:
    """(id of the user list, resource name of the criterion) in a row of `audience_query`.

    Raises UnreadableRow.
    """
    return read_row(_user_list_of, row)


def read_row(read: Callable[[Row], T], row: Row) -> T:
    """What `read` makes of a row. Raises UnreadableRow when it is of another form."""
    try:
        return read(row)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UnreadableRow(f"an unreadable row ({type(error).__name__}: {error})") from None


def _sharer_of(row: Row) -> Sharer:
    campaign = row["campaign"]
    count = int(row["biddingStrategy"]["campaignCount"])
    return Sharer(str(campaign["id"]), campaign["status"] == "REMOVED", count)


def _user_list_of(row: Row) -> tuple[str, str]:
    criterion = row["campaignCriterion"]
    name = criterion["userList"]["userList"]
    return name.rpartition("/")[2], str(criterion["resourceName"])


def _campaign_of(row: Row) -> Campaign:
    campaign = row["campaign"]
    portfolio_name = campaign.get("biddingStrategy") or campaign.get(
        "accessibleBiddingStrategy", ""
    )
    return Campaign(
        resource_name=_account_in(campaign["resourceName"]),
        campaign_id=str(campaign["id"]),
        currency_code=row["customer"]["currencyCode"],
        channel=campaign.get("advertisingChannelType", "UNSPECIFIED"),
        strategy=campaign.get("biddingStrategyType", "UNSPECIFIED"),
        status=campaign.get("status", "UNSPECIFIED"),
        parameters=_parameters_of(campaign),
        maximize_value_roas_millionths=_roas(campaign, "maximizeConversionValue"),
        target_roas_millionths=_roas(campaign, "targetRoas"),
        maximize_conversions_cpa_micros=_cpa(campaign, "maximizeConversions"),
        target_cpa_micros=_cpa(campaign, "targetCpa"),
        enhanced_cpc=campaign.get("manualCpc", {}).get("enhancedCpcEnabled", False) is True,
        experiment_type=campaign.get("experimentType", "UNSPECIFIED"),
        serving_status=campaign.get("servingStatus", "UNSPECIFIED"),
        portfolio_name=portfolio_name,
        portfolio=_portfolio_of(row.get("biddingStrategy", {})) if portfolio_name else None,
        budget=_budget_of(row["campaignBudget"]) if "campaignBudget" in row else None,
        ad_group=_ad_group_of(row["adGroup"]) if "adGroup" in row else None,
    )


def _account_in(resource_name: str) -> str:
    """The name, which has its account in it. Raises ValueError when it has not."""
    if not resource_name.startswith("customers/"):
        raise ValueError("a resource name without its account")
    return resource_name


def _roas(document: Row, strategy: str) -> int:
    return millionths(document.get(strategy, {}).get("targetRoas", 0))


def _cpa(document: Row, strategy: str) -> int:
    return int(document.get(strategy, {}).get("targetCpaMicros", 0))


def _parameters_of(document: Row) -> tuple[Parameter, ...]:
    return tuple(
        (parameter.get("key", ""), parameter.get("value", ""))
        for parameter in document.get("urlCustomParameters", ())
    )


def _portfolio_of(strategy: Row) -> Portfolio | None:
    if not strategy.get("id"):
        return None
    return Portfolio(
        resource_name=strategy["resourceName"],
        portfolio_id=str(strategy["id"]),
        strategy=strategy.get("type", "UNSPECIFIED"),
        campaign_count=int(strategy.get("campaignCount", 0)),
        roas_millionths=_roas(strategy, "targetRoas"),
        ceiling_micros=int(strategy.get("targetRoas", {}).get("cpcBidCeilingMicros", 0)),
    )


def _budget_of(budget: Row) -> DailyBudget:
    return DailyBudget(
        resource_name=budget["resourceName"],
        budget_id=str(budget["id"]),
        amount_micros=int(budget.get("amountMicros", 0)),
        reference_count=int(budget.get("referenceCount", 1)),
        period=budget.get("period", "UNSPECIFIED"),
        total_micros=int(budget.get("totalAmountMicros", 0)),
        explicitly_shared=budget.get("explicitlyShared", False) is True,
    )


def _ad_group_of(ad_group: Row) -> AdGroup:
    return AdGroup(
        resource_name=ad_group["resourceName"],
        ad_group_id=str(ad_group["id"]),
        cpc_bid_micros=int(ad_group.get("cpcBidMicros", 0)),
        parameters=_parameters_of(ad_group),
    )
