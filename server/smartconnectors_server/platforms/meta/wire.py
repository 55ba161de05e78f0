"""From a request and the campaign as it is to what is posted to Meta. Pure: no clock, no I/O.

| the budget is  | knob | posted to | fields |
|----------------|------|-----------|--------|
| the ad set's   | floor | the ad set | `bid_strategy`, `optimization_goal`, `bid_constraints` |
| the ad set's   | cap  | the ad set | `bid_strategy`, `bid_amount`, `optimization_goal` if asked |
| the campaign's | floor | the ad set | `optimization_goal`, `bid_constraints` |
| the campaign's | cap  | the ad set | `bid_amount`, `optimization_goal` if asked |
| the campaign's, which bids otherwise | cap | the campaign | `bid_strategy`, `adset_bid_amounts` |

With a campaign budget the strategy is the campaign's. Meta documents how to switch one to a cap
together with the amounts, so that is done when the campaign has this ad set alone; it documents no
such way for a floor, and two posts would not be one change, so that is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from smartconnectors.common.v1.bid_pb2 import BidResponse
from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced
from smartconnectors_server.errors import CurrencyMismatch, InvalidBid, UnknownTarget
from smartconnectors_server.platforms.meta import knobs
from smartconnectors_server.platforms.meta.knobs import Intent
from smartconnectors_server.platforms.meta.state import (
    AD_SETS_PER_READ,
    ROAS_SCALE,
    AdSet,
    Campaign,
)

Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One planned change: what is sent, what it leaves, what the caller is told.

    Attributes:
        object_id: what is posted to.
        form: the fields, as they are url-encoded.
        campaign_id: the campaign.
        answer: the response, complete but for Meta's trace id.
        ad_set_id: the ad set that changes; empty: none.
        ad_set_fields: fields of its `AdSet` once this is accepted.
        campaign_fields: fields of the `Campaign` once this is accepted.
    """

    object_id: str
    form: Form
    campaign_id: str
    answer: pb.PlaceBidResponse | pb.UpdateCampaignBudgetResponse
    ad_set_id: str = ""
    ad_set_fields: Mapping[str, Any] = field(default_factory=dict)
    campaign_fields: Mapping[str, Any] = field(default_factory=dict)

    def applied_to(self, campaign: Campaign) -> Campaign:
        """A campaign as this change leaves it, with whatever else has changed meanwhile."""
        if self.campaign_fields:
            campaign = replace(campaign, **self.campaign_fields, updated_time="")
        ad_set = campaign.ad_set(self.ad_set_id)
        if ad_set is None or not self.ad_set_fields:
            return campaign
        return campaign.with_ad_set(replace(ad_set, **self.ad_set_fields, updated_time=""))


def plan_bid(
    request: pb.PlaceBidRequest, priced: Priced, intent: Intent, campaign: Campaign
) -> Plan:
    """What the bid would change. Raises InvalidBid, UnknownTarget, CurrencyMismatch."""
    check_currency(campaign, priced.currency_code)
    ad_set = chosen_ad_set(request.ad_set_id, campaign, "ad_set_id")
    knobs.check_goal(intent, ad_set.goal)
    was = observed(campaign, ad_set)
    same_strategy = was["bid_strategy"] == intent.strategy
    change = _change(intent, priced, campaign, ad_set, same_strategy=same_strategy)
    after = change.applied_to(campaign)
    changed = after.ad_set(ad_set.ad_set_id)
    assert changed is not None
    sets = observed(after, changed)
    if not intent.goal:
        del sets["optimization_goal"]
    return Plan(
        target=f"ad_sets/{ad_set.ad_set_id}",
        amount_micros=priced.bid_micros,
        before=before_json(campaign, ad_set, was, sets),
        wire=change,
        before_value=_value_of(intent, ad_set) or None if same_strategy else None,
        after_value=intent.value,
        roas_millionths=intent.roas_floor * (1_000_000 // ROAS_SCALE),
        lowers_exposure=_lowers_exposure(intent, was),
        unchanged=all(was[name] == value for name, value in sets.items()),
    )


def check_currency(campaign: Campaign, currency_code: str) -> None:
    """Raises CurrencyMismatch unless the account is in this currency."""
    if campaign.currency_code != currency_code:
        raise CurrencyMismatch(
            f"{campaign.account_id} is an account in {campaign.currency_code}; the request is in "
            f"{currency_code}",
            metadata={"account_currency": campaign.currency_code, "currency": currency_code},
        )


def chosen_ad_set(ad_set_id: str, campaign: Campaign, field: str) -> AdSet:
    """The ad set that is named, or the campaign's only active one.

    Raises UnknownTarget when the campaign has no such ad set, InvalidBid naming `field` when
    several might be meant or none is active.
    """
    if ad_set_id:
        named = campaign.ad_set(ad_set_id)
        if named is None:
            raise UnknownTarget(f"campaign {campaign.campaign_id} has no ad set {ad_set_id}")
        return named
    active = [each.ad_set_id for each in campaign.ad_sets if each.is_active]
    if campaign.has_more_ad_sets:
        raise InvalidBid.of(
            field,
            f"campaign {campaign.campaign_id} has more than {AD_SETS_PER_READ} ad sets, so which "
            "one is meant must be said",
        )
    if not active:
        raise InvalidBid.of(field, f"campaign {campaign.campaign_id} has no active ad set")
    if len(active) > 1:
        raise InvalidBid.of(
            field,
            f"campaign {campaign.campaign_id} has several active ad sets: {', '.join(active)}",
        )
    only = campaign.ad_set(active[0])
    assert only is not None
    return only


def observed(campaign: Campaign, ad_set: AdSet) -> dict[str, Any]:
    """What a look can tell of a bid, as JSON values."""
    return {
        "bid_strategy": campaign.strategy_of(ad_set),
        "optimization_goal": ad_set.goal,
        "roas_average_floor": ad_set.roas_floor,
        "bid_amount": ad_set.bid_amount,
    }


def before_json(
    campaign: Campaign, ad_set: AdSet | None, was: Mapping[str, Any], sets: Mapping[str, Any]
) -> str:
    """What the ledger keeps for a lookup: the state before, and what was sent. `ad_set` is None for
    a change of the campaign alone.
    """
    changed = campaign if ad_set is None else ad_set
    return json.dumps(
        {
            "campaign_id": campaign.campaign_id,
            "ad_set_id": "" if ad_set is None else ad_set.ad_set_id,
            "was": dict(was),
            "updated_time": changed.updated_time,
            "sets": dict(sets),
        }
    )


def _change(
    intent: Intent, priced: Priced, campaign: Campaign, ad_set: AdSet, *, same_strategy: bool
) -> Change:
    ad_set_fields = {
        "strategy": intent.strategy,
        "roas_floor": intent.roas_floor,
        "bid_amount": intent.bid_amount,
        "goal": intent.goal or ad_set.goal,
    }
    if campaign.has_budget and not same_strategy:
        object_id, form = _switch(intent, campaign, ad_set)
        campaign_fields = {"strategy": intent.strategy}
    else:
        object_id, form, campaign_fields = ad_set.ad_set_id, _ad_set_form(intent, campaign), {}
    return Change(
        object_id=object_id,
        form=form,
        campaign_id=campaign.campaign_id,
        answer=_answer(object_id, intent, priced),
        ad_set_id=ad_set.ad_set_id,
        ad_set_fields=ad_set_fields,
        campaign_fields=campaign_fields,
    )


def _ad_set_form(intent: Intent, campaign: Campaign) -> Form:
    form = {} if campaign.has_budget else {"bid_strategy": intent.strategy}
    if intent.goal:
        form["optimization_goal"] = intent.goal
    if intent.knob == "min_roas":
        constraints = {"roas_average_floor": intent.roas_floor}
        form["bid_constraints"] = json.dumps(constraints, separators=(",", ":"))
    else:
        form["bid_amount"] = str(intent.bid_amount)
    return form


def _switch(intent: Intent, campaign: Campaign, ad_set: AdSet) -> tuple[str, Form]:
    """(what is posted to, the fields) to make a campaign with a budget of its own bid otherwise."""
    present = campaign.strategy or "no strategy"
    alone = len(campaign.ad_sets) == 1 and not campaign.has_more_ad_sets
    if intent.knob == "min_roas" or intent.goal or not alone:
        raise InvalidBid.of(
            intent.knob,
            f"campaign {campaign.campaign_id} has a budget of its own, so its strategy is the "
            f"campaign's: {present}. This bid needs {intent.strategy}: set it in Ads Manager. Only "
            "a cap without optimization_goal, on a campaign with a single ad set, can be switched "
            "to by a bid",
        )
    amounts = json.dumps({ad_set.ad_set_id: intent.bid_amount}, separators=(",", ":"))
    return campaign.campaign_id, {"bid_strategy": intent.strategy, "adset_bid_amounts": amounts}


def _value_of(intent: Intent, ad_set: AdSet) -> int:
    return ad_set.roas_floor if intent.knob == "min_roas" else ad_set.bid_amount


def _lowers_exposure(intent: Intent, was: Mapping[str, Any]) -> bool:
    """True when less can be spent afterwards. What cannot be compared does not count as less."""
    if intent.goal and intent.goal != was["optimization_goal"]:
        return False
    if was["bid_strategy"] == knobs.WITHOUT_CAP:
        return True  # no limit at all spends whatever it takes, so any limit is less
    if was["bid_strategy"] != intent.strategy:
        return False
    if intent.knob == "min_roas":
        return intent.roas_floor > int(was["roas_average_floor"])
    return intent.bid_amount < int(was["bid_amount"])


def _answer(object_id: str, intent: Intent, priced: Priced) -> pb.PlaceBidResponse:
    return pb.PlaceBidResponse(
        result=BidResponse(platform_bid_id=object_id, request_id=priced.request_id),
        meta=pb.MetaBid(
            object_id=object_id,
            bid_strategy=intent.strategy,
            optimization_goal=intent.goal,
            roas_average_floor=intent.roas_floor,
            bid_amount_minor_units=intent.bid_amount,
        ),
    )
