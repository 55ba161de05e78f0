"""A daily budget, of an ad set or of a campaign: what a new one would change. Pure."""

from __future__ import annotations

from smartconnectors.common.v1.campaign_pb2 import CampaignBudgetResult
from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.money import format_amount
from smartconnectors_server.platforms.meta import knobs, minor_units
from smartconnectors_server.platforms.meta.state import AdSet, Campaign
from smartconnectors_server.platforms.meta.wire import (
    Change,
    before_json,
    check_currency,
    chosen_ad_set,
)

MOST_SPEND_PERCENT = 175
"""Of a daily budget, on a single day; over a week Meta keeps to seven times the budget."""


def check_least(plan: Plan, campaign: Campaign, least_units: int) -> None:
    """Raises InvalidBid when a daily budget is below what Meta takes from any ad set of the
    account. Meta takes no less than `least_units`, and more of some goals: those it refuses itself.
    """
    if plan.after_value >= least_units:
        return
    least_micros = minor_units.to_micros(least_units, campaign.currency_code)
    raise InvalidBid.of(
        "update.daily_budget_micros",
        f"at least {format_amount(least_micros, campaign.currency_code)} ({least_micros} micros), "
        f"which is the least that Meta takes as a daily budget in {campaign.account_id}",
    )


def plan(request: pb.UpdateCampaignBudgetRequest, priced: Priced, campaign: Campaign) -> Plan:
    """What a new daily budget would change: the campaign's own if it has one, else that of its only
    active ad set.

    Raises InvalidBid, CurrencyMismatch.
    """
    check_currency(campaign, priced.currency_code)
    minor_units.check("update.currency_code", campaign.currency_code)
    update = request.update
    units = knobs.exact_units(
        "update.daily_budget_micros", update.daily_budget_micros, campaign.currency_code
    )
    ad_set = None
    if not campaign.has_budget:
        ad_set = chosen_ad_set("", campaign, "update.campaign_id")
    holder: Campaign | AdSet = campaign if ad_set is None else ad_set
    if holder.lifetime_budget or not holder.daily_budget:
        kind = "a lifetime budget" if holder.lifetime_budget else "no budget"
        raise InvalidBid.of(
            "update.campaign_id", f"campaign {campaign.campaign_id} has {kind}, not a daily one"
        )
    object_id = campaign.campaign_id if ad_set is None else ad_set.ad_set_id
    previous_micros = minor_units.to_micros(holder.daily_budget, campaign.currency_code)
    result = CampaignBudgetResult(
        request_id=update.request_id,
        previous_daily_budget_micros=previous_micros,
        daily_budget_micros=update.daily_budget_micros,
        platform_budget_id=object_id,
        most_spend_a_day_micros=update.daily_budget_micros * MOST_SPEND_PERCENT // 100,
    )
    collection = "campaigns" if ad_set is None else "ad_sets"
    return Plan(
        target=f"{collection}/{object_id}/daily_budget",
        amount_micros=max(0, update.daily_budget_micros - previous_micros),
        before=before_json(
            campaign, ad_set, {"daily_budget": holder.daily_budget}, {"daily_budget": units}
        ),
        wire=Change(
            object_id=object_id,
            form={"daily_budget": str(units)},
            campaign_id=campaign.campaign_id,
            answer=pb.UpdateCampaignBudgetResponse(result=result),
            ad_set_id="" if ad_set is None else ad_set.ad_set_id,
            ad_set_fields={} if ad_set is None else {"daily_budget": units},
            campaign_fields={"daily_budget": units} if ad_set is None else {},
        ),
        before_value=holder.daily_budget,
        after_value=units,
        lowers_exposure=units < holder.daily_budget,
        unchanged=units == holder.daily_budget,
    )
