"""A campaign's daily budget: what a new one would change. Pure."""

from __future__ import annotations

import json
from dataclasses import replace

from smartconnectors.common.v1.campaign_pb2 import CampaignBudgetResult
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.money import format_amount
from smartconnectors_server.platforms.google_ads.knobs import billable_unit_micros
from smartconnectors_server.platforms.google_ads.state import Campaign, DailyBudget
from smartconnectors_server.platforms.google_ads.wire import (
    Change,
    check_currency,
    update_of,
)


def plan(request: pb.UpdateCampaignBudgetRequest, priced: Priced, campaign: Campaign) -> Plan:
    """What a new daily budget would change. Raises InvalidBid, CurrencyMismatch."""
    check_currency(campaign, priced.currency_code)
    budget = of(campaign)
    new_micros = request.update.daily_budget_micros
    unit_micros = billable_unit_micros(campaign.currency_code)
    if new_micros <= 0 or new_micros % unit_micros:
        unit = format_amount(unit_micros, campaign.currency_code)
        raise InvalidBid.of("update.daily_budget_micros", f"a multiple of {unit}")
    if budget.reference_count > 1:
        raise InvalidBid.of(
            "update.campaign_id",
            f"campaign {campaign.campaign_id} shares its budget with "
            f"{budget.reference_count - 1} more; change a shared budget in Google Ads",
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


def of(campaign: Campaign) -> DailyBudget:
    """The campaign's daily budget. Raises InvalidBid when it has none of its own account."""
    if campaign.budget is None:
        raise InvalidBid.of(
            "update.campaign_id", f"campaign {campaign.campaign_id} has no daily budget"
        )
    return campaign.budget
