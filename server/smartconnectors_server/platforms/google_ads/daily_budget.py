"""A campaign's daily budget: what a new one would change. Pure."""

from __future__ import annotations

import json
from dataclasses import replace

from smartconnectors.common.v1.campaign_pb2 import CampaignBudgetResult
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.money import format_amount
from smartconnectors_server.platforms.google_ads.knobs import whole_units
from smartconnectors_server.platforms.google_ads.state import Campaign, DailyBudget
from smartconnectors_server.platforms.google_ads.wire import (
    Change,
    check_currency,
    update_of,
)


def plan(
    request: pb.UpdateCampaignBudgetRequest, priced: Priced, campaign: Campaign, *, unit_micros: int
) -> Plan:
    """What a new daily budget would change. `unit_micros`: the currency's billable unit.

    Raises InvalidBid, CurrencyMismatch.
    """
    check_currency(campaign, priced.currency_code)
    budget = of(campaign)
    _check_daily(campaign, budget)
    _check_alone(campaign, budget)
    new_micros = whole_units(
        "update.daily_budget_micros",
        request.update.daily_budget_micros,
        unit_micros,
        campaign.currency_code,
    )
    update = {"resourceName": budget.resource_name, "amountMicros": str(new_micros)}
    result = CampaignBudgetResult(
        previous_daily_budget_micros=budget.amount_micros,
        daily_budget_micros=new_micros,
        platform_budget_id=budget.resource_name,
    )
    return Plan(
        target=f"campaign_budgets/{budget.budget_id}",
        amount_micros=max(0, new_micros - budget.amount_micros),
        before=json.dumps({"daily_budget_micros": budget.amount_micros}),
        wire=Change(
            mutate={
                "customerId": campaign.customer_id,
                "mutateOperations": [
                    update_of("campaignBudgetOperation", update, ["amountMicros"])
                ],
            },
            after=replace(campaign, budget=replace(budget, amount_micros=new_micros)),
            answer=pb.UpdateCampaignBudgetResponse(result=result),
        ),
        before_value=budget.amount_micros or None,
        after_value=new_micros,
        lowers_exposure=new_micros < budget.amount_micros,
        unchanged=new_micros == budget.amount_micros,
    )


def _check_daily(campaign: Campaign, budget: DailyBudget) -> None:
    """Raises InvalidBid for a budget that is not so much a day."""
    whose = f"campaign {campaign.campaign_id} has budget {budget.budget_id}"
    if budget.period != "DAILY":
        total = format_amount(budget.total_micros, campaign.currency_code)
        of_total = f" with a total of {total}" if budget.total_micros else ""
        raise InvalidBid.of(
            "update.campaign_id",
            f"{whose} for {budget.period}{of_total}, which is no daily budget; change it in "
            "Google Ads",
        )
    if budget.amount_micros <= 0:
        raise InvalidBid.of(
            "update.campaign_id", f"{whose} without a daily amount; change it in Google Ads"
        )


def _check_alone(campaign: Campaign, budget: DailyBudget) -> None:
    """Raises InvalidBid for a budget that is, or may any time be, other campaigns' too."""
    if budget.explicitly_shared or budget.reference_count > 1:
        raise InvalidBid.of(
            "update.campaign_id",
            f"campaign {campaign.campaign_id} is on shared budget {budget.budget_id} (campaigns on "
            f"it now: {budget.reference_count}), and a change would apply to all of them; change "
            "it in Google Ads, or give the campaign a budget of its own there",
        )


def of(campaign: Campaign) -> DailyBudget:
    """The campaign's daily budget. Raises InvalidBid when it has none of its own account."""
    if campaign.budget is None:
        raise InvalidBid.of(
            "update.campaign_id", f"campaign {campaign.campaign_id} has no daily budget"
        )
    return campaign.budget
