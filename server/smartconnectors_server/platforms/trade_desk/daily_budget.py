"""A campaign's daily budget: the daily target of the flight that runs now. Pure."""

from __future__ import annotations

import json
from datetime import datetime

from smartconnectors.common.v1.campaign_pb2 import CampaignBudgetResult
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.trade_desk.amounts import decimal_of
from smartconnectors_server.platforms.trade_desk.confirmation import Expected
from smartconnectors_server.platforms.trade_desk.state import Advertiser, Campaign, Flight
from smartconnectors_server.platforms.trade_desk.wire import Change, check_currency


def plan(
    request: pb.UpdateCampaignBudgetRequest,
    priced: Priced,
    campaign: Campaign,
    advertiser: Advertiser,
    now: datetime,
) -> Plan:
    """What a new daily budget would change. Raises InvalidBid, CurrencyMismatch."""
    check_currency(campaign.campaign_id, advertiser.currency_code, priced.currency_code)
    flight = running_flight(campaign, now)
    new_micros, now_micros = request.update.daily_budget_micros, flight.daily_target_micros
    return Plan(
        target=f"campaign_flights/{flight.flight_id}",
        # Without a daily target anything up to the flight's budget may be spent in a day, so that
        # any target commits all of itself.
        amount_micros=max(0, new_micros - now_micros),
        before=json.dumps({"flight_id": flight.flight_id, "daily_micros": now_micros}),
        wire=Change(
            method="PUT",
            path="/campaignflight",
            body={
                "CampaignFlightId": flight.flight_id,
                "DailyTargetInAdvertiserCurrency": decimal_of(new_micros),
            },
            campaign_id=campaign.campaign_id,
            expected=(
                Expected(
                    ("DailyTargetInAdvertiserCurrency",),
                    decimal_of(new_micros),
                    decimal_of(now_micros) if now_micros else None,
                ),
            ),
        ),
        before_value=now_micros or None,
        after_value=new_micros,
        lowers_exposure=0 < new_micros < now_micros,
        unchanged=new_micros == now_micros,
    )


def running_flight(campaign: Campaign, now: datetime) -> Flight:
    """The flight whose daily target is set. Raises InvalidBid when REST cannot set one."""
    if not campaign.budgeted_by_rest:
        raise InvalidBid.of(
            "update.campaign_id",
            f"campaign {campaign.campaign_id} is budgeted by Kokai, which REST v3 cannot change",
        )
    flight = campaign.flight_at(now)
    if flight is None:
        raise InvalidBid.of(
            "update.campaign_id", f"campaign {campaign.campaign_id} has no flight that runs now"
        )
    return flight


def answer_of(change_plan: Plan) -> pb.UpdateCampaignBudgetResponse:
    """What the caller is told once it was accepted."""
    result = CampaignBudgetResult(
        previous_daily_budget_micros=change_plan.before_value or 0,
        daily_budget_micros=change_plan.after_value,
        platform_budget_id=change_plan.target.rpartition("/")[2],
    )
    return pb.UpdateCampaignBudgetResponse(result=result)
