"""What is read of campaigns and their ad sets, and how it is asked for. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from smartconnectors_server.connector import AccountFacts

Node = Mapping[str, Any]

ROAS_SCALE = 10_000
"""Meta's ROAS floors are integers: 10,000 is a return of 1."""

AD_SETS_PER_READ = 100

_MOST_UNITS = 10**12
"""Of any currency: as micros it is still an integer of 64 bits."""
_DIGITS = re.compile(r"[0-9]{1,32}", re.ASCII)
_CURSOR = re.compile(r"[A-Za-z0-9_=+/-]{1,4096}", re.ASCII)

_AD_SET_FIELDS = (
    "id,status,bid_strategy,bid_amount,bid_constraints,optimization_goal,daily_budget,"
    "lifetime_budget,updated_time"
)
_CAMPAIGN_FIELDS = "id,status,bid_strategy,daily_budget,lifetime_budget,updated_time"


class UnreadableAnswer(ValueError):
    """The answer is not what was asked for."""


@dataclass(frozen=True, slots=True)
class AdSet:
    """An ad set, as far as bids and budgets go. Amounts in minor units; 0: not set.

    `updated_time` is Meta's own word; empty: not known, because we changed it since.
    """

    ad_set_id: str
    is_active: bool
    strategy: str = ""
    bid_amount: int = 0
    roas_floor: int = 0
    goal: str = ""
    daily_budget: int = 0
    lifetime_budget: int = 0
    updated_time: str = ""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign and its ad sets. Amounts as in `AdSet`."""

    campaign_id: str
    account_id: str
    currency_code: str
    is_paused: bool
    ad_sets: tuple[AdSet, ...]
    has_more_ad_sets: bool = False
    """True: it has more than were read."""
    strategy: str = ""
    daily_budget: int = 0
    lifetime_budget: int = 0
    updated_time: str = ""

    @property
    def has_budget(self) -> bool:
        """True: the budget and the strategy are the campaign's (Advantage campaign budget)."""
        return bool(self.daily_budget or self.lifetime_budget)

    def strategy_of(self, ad_set: AdSet) -> str:
        """The strategy that the ad set bids by."""
        return self.strategy if self.has_budget else ad_set.strategy

    def ad_set(self, ad_set_id: str) -> AdSet | None:
        """The ad set, or None when it was not among those that were read."""
        return next((each for each in self.ad_sets if each.ad_set_id == ad_set_id), None)

    def with_ad_set(self, changed: AdSet) -> Campaign:
        """The same with this ad set in place of the one of its id, or beside the others."""
        if self.ad_set(changed.ad_set_id) is None:
            return replace(self, ad_sets=(*self.ad_sets, changed))
        return replace(
            self,
            ad_sets=tuple(
                changed if each.ad_set_id == changed.ad_set_id else each for each in self.ad_sets
            ),
        )


def campaigns_query(campaign_ids: Sequence[str], ad_set_fields: str = _AD_SET_FIELDS) -> str:
    """`fields` of one read of the ad account: its currency, and these campaigns with their ad sets.

    Through the account, so that a campaign of another account is not found, whatever else the
    token may see.
    """
    wanted = [{"field": "id", "operator": "IN", "value": list(campaign_ids)}]
    filtering = json.dumps(wanted, separators=(",", ":"))
    ad_sets = f"adsets.limit({AD_SETS_PER_READ}){{{ad_set_fields}}}"
    campaigns = f"campaigns.filtering({filtering}).limit({len(campaign_ids)})"
    return f"currency,{campaigns}{{{_CAMPAIGN_FIELDS},{ad_sets}}}"


def listing_query(count: int, after: str = "") -> str:
    """`fields` of one page of so many of the account's campaigns. `after`: the cursor of the page
    before.
    """
    cursor = f".after({after})" if after else ""
    ad_sets = f"adsets.limit({AD_SETS_PER_READ}){{{_AD_SET_FIELDS}}}"
    return f"currency,campaigns.limit({count}){cursor}{{name,{_CAMPAIGN_FIELDS},{ad_sets}}}"


AD_SET_QUERY = f"{_AD_SET_FIELDS},campaign_id"
"""`fields` of the read of one ad set."""

TARGETING_FIELDS = "id,status,targeting"


def campaigns_of(account_id: str, answer: Any) -> dict[str, Campaign]:
    """Campaign id -> campaign, of an answer to `campaigns_query`. Raises UnreadableAnswer."""
    try:
        currency_code = _text(answer["currency"])
        nodes = answer.get("campaigns", {}).get("data", ())
        found = [_campaign_of(account_id, currency_code, node) for node in nodes]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableAnswer(f"{type(error).__name__} in the answer to a read") from None
    return {campaign.campaign_id: campaign for campaign in found}


@dataclass(frozen=True, slots=True)
class Listed:
    """A campaign of a listing. `status` is Meta's own word."""

    campaign: Campaign
    name: str
    status: str


def listing_of(account_id: str, answer: Any) -> tuple[list[Listed], str]:
    """(campaigns, cursor of the next page or empty) of an answer to `listing_query`.

    Raises UnreadableAnswer.
    """
    try:
        currency_code = _text(answer["currency"])
        edge = answer.get("campaigns", {})
        found = [
            Listed(
                _campaign_of(account_id, currency_code, node),
                _text(node.get("name", "")),
                _text(node["status"]),
            )
            for node in edge.get("data", ())
        ]
        paging = edge.get("paging") or {}
        after = _cursor(paging["cursors"]["after"]) if paging.get("next") else ""
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableAnswer(f"{type(error).__name__} in the answer to a read") from None
    return found, after


ACCOUNT_QUERY = "account_id,name,currency,timezone_name,account_status"
"""What is asked of an ad account itself."""


def account_of(answer: Any, quota_tier: str = "") -> AccountFacts:
    """The ad account in an answer to ACCOUNT_QUERY. Raises UnreadableAnswer."""
    try:
        return AccountFacts(
            account_id=f"act_{_id(answer['account_id'])}",
            name=_text(answer.get("name", "")),
            currency_code=_text(answer["currency"]),
            time_zone=_text(answer.get("timezone_name", "")),
            quota_tier=quota_tier,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableAnswer(f"{type(error).__name__} in the answer to a read") from None


MINIMUM_BUDGETS_EDGE = "minimum_budgets"
_MINIMA = (
    "min_daily_budget_imp",
    "min_daily_budget_high_freq",
    "min_daily_budget_low_freq",
    "min_daily_budget_video_views",
)
MINIMUM_BUDGETS_QUERY = ",".join(("currency", *_MINIMA))
"""`fields` of a read of MINIMUM_BUDGETS_EDGE of an ad account."""


def least_budget_of(answer: Any, currency_code: str) -> int:
    """The least daily budget that any ad set of the account may have, in minor units: the smallest
    of its minima, because Meta does not say which one goes with which goal. 0: it is not told.

    Raises UnreadableAnswer.
    """
    try:
        told = [each for each in answer["data"] if _text(each["currency"]) == currency_code]
        minima = [_units(each.get(name)) for each in told for name in _MINIMA]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableAnswer(f"{type(error).__name__} in the answer to a read") from None
    return min((units for units in minima if units), default=0)


def ad_set_of(node: Any) -> AdSet:
    """One ad set. Raises UnreadableAnswer."""
    try:
        return _ad_set_of(node)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableAnswer(f"{type(error).__name__} in the answer to a read") from None


def nodes_of(answer: Any) -> tuple[Node, ...]:
    """The ad sets of the only campaign of an answer, as Meta wrote them; empty: no campaign.

    Raises UnreadableAnswer, also when an ad set or a custom audience has no id.
    """
    try:
        campaigns = answer.get("campaigns", {}).get("data", ())
        nodes = tuple(campaigns[0].get("adsets", {}).get("data", ())) if campaigns else ()
        for node in nodes:
            audiences_in(node)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableAnswer(f"{type(error).__name__} in the answer to a read") from None
    return nodes


def audiences_in(node: Node) -> tuple[str, ...]:
    """The ids of the custom audiences that an ad set is targeted at."""
    targeting = node.get("targeting") or {}
    return tuple(_id(entry["id"]) for entry in targeting.get("custom_audiences") or ())


def _campaign_of(account_id: str, currency_code: str, node: Node) -> Campaign:
    ad_sets = node.get("adsets", {})
    return Campaign(
        campaign_id=_id(node["id"]),
        account_id=account_id,
        currency_code=currency_code,
        is_paused=_text(node["status"]) != "ACTIVE",
        ad_sets=tuple(_ad_set_of(each) for each in ad_sets.get("data", ())),
        has_more_ad_sets=bool((ad_sets.get("paging") or {}).get("next")),
        strategy=_text(node.get("bid_strategy", "")),
        daily_budget=_units(node.get("daily_budget")),
        lifetime_budget=_units(node.get("lifetime_budget")),
        updated_time=_text(node.get("updated_time", "")),
    )


def _ad_set_of(node: Node) -> AdSet:
    constraints = node.get("bid_constraints") or {}
    return AdSet(
        ad_set_id=_id(node["id"]),
        is_active=_text(node["status"]) == "ACTIVE",
        strategy=_text(node.get("bid_strategy", "")),
        bid_amount=_units(node.get("bid_amount")),
        roas_floor=_units(constraints.get("roas_average_floor")),
        goal=_text(node.get("optimization_goal", "")),
        daily_budget=_units(node.get("daily_budget")),
        lifetime_budget=_units(node.get("lifetime_budget")),
        updated_time=_text(node.get("updated_time", "")),
    )


def _units(value: Any) -> int:
    """A whole number as Meta writes it, as a number or as digits; 0: not set.

    Strict, because the number decides what became of a change: half a unit more is not what was
    sent. Raises TypeError, ValueError.
    """
    if value is None or value == "":
        return 0
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("not a whole number")
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("not a whole number")
    if not 0 <= (units := int(value)) <= _MOST_UNITS:
        raise ValueError("no amount that is meant seriously")
    return units


def _id(value: Any) -> str:
    """An id: digits, as a text or as a number. Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("not an id")
    if not _DIGITS.fullmatch(digits := str(value)):
        raise ValueError("not an id")
    return digits


def _cursor(value: Any) -> str:
    """A cursor: it goes into a list of fields, so it must not look like more of them."""
    if not _CURSOR.fullmatch(cursor := _text(value)):
        raise ValueError("not a cursor")
    return cursor


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
