"""What is told of a campaign: how it bids, and what a bid would set. Pure.

What a bid would set is found by planning one, `wire.plan_bid`.
"""

from __future__ import annotations

from dataclasses import replace

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced
from smartconnectors_server.connector import CampaignFacts
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.meta import knobs, minor_units, wire
from smartconnectors_server.platforms.meta.knobs import Intent
from smartconnectors_server.platforms.meta.state import AdSet, Campaign, Listed

# A bid that fits any campaign that takes one; it is never sent.
_PROBE = Priced(request_id="", bid_micros=10**7, ltv_micros=10**7, currency_code="USD")


def told_of(listed: Listed) -> CampaignFacts:
    """The campaign of a listing."""
    campaign = listed.campaign
    fitting: tuple[str, ...] = ()
    moves = why_not = ""
    try:
        minor_units.check("bid.currency_code", campaign.currency_code)
        ad_set = wire.chosen_ad_set("", campaign, "ad_set_id")
        fitting, moves = _moved(campaign, ad_set)
    except InvalidBid as error:
        why_not = error.message
    return CampaignFacts(
        campaign_id=campaign.campaign_id,
        name=listed.name,
        status=listed.status,
        strategy=_strategy_of(campaign),
        knobs=fitting,
        moves=moves,
        why_not=why_not,
    )


def _moved(campaign: Campaign, ad_set: AdSet) -> tuple[tuple[str, ...], str]:
    """(knobs, what they set): those of the present strategy, else those that keep the goal.

    Raises InvalidBid as a bid that names no knob would.
    """
    planned: dict[str, tuple[Intent, Plan]] = {}
    refused: list[InvalidBid] = []
    for knob in knobs.STRATEGIES:
        try:
            planned[knob] = _planned(knob, campaign)
        except InvalidBid as error:
            refused.append(error)
    present = campaign.strategy_of(ad_set)
    same = [one for one, (intent, _) in planned.items() if intent.strategy == present]
    kept = [one for one, (intent, _) in planned.items() if intent.goal in ("", ad_set.goal)]
    fitting = tuple(same or kept)
    if not fitting:
        raise refused[0]
    first_intent, first_plan = planned[fitting[0]]
    field = "roas_average_floor" if first_intent.roas_floor else "bid_amount"
    moves = f"{field} of {first_plan.target}"
    if not same:
        moves += " and the strategy"
    default = next(iter(knobs.STRATEGIES))
    if default in planned and default not in fitting:
        moves += f"; a bid that names no knob sets {knobs.MIN_ROAS} and the goal {knobs.VALUE}"
    return fitting, moves


def _planned(knob: str, campaign: Campaign) -> tuple[Intent, Plan]:
    request = pb.PlaceBidRequest()
    request.bid.campaign_id = campaign.campaign_id
    getattr(request, knob).SetInParent()
    intent = knobs.intent_of(request, _PROBE)
    in_its_currency = replace(_PROBE, currency_code=campaign.currency_code)
    return intent, wire.plan_bid(request, in_its_currency, intent, campaign)


def _strategy_of(campaign: Campaign) -> str:
    """Strategy and goal of its active ad sets, each once."""
    ways = {
        f"{campaign.strategy_of(one) or 'no strategy'}, {one.goal or 'no goal'}": None
        for one in campaign.ad_sets
        if one.is_active
    }
    text = "; ".join(ways) or campaign.strategy or "no active ad set"
    return f"{text}, campaign budget" if campaign.has_budget else text
