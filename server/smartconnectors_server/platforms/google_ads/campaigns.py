"""What is told of a campaign: how it bids, and which field a bid would set. Pure.

The field is found by what finds it for a bid, `knobs.setting_of`.
"""

from __future__ import annotations

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.connector import CampaignFacts
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.google_ads import knobs
from smartconnectors_server.platforms.google_ads.state import (
    Campaign,
    Row,
    UnreadableRow,
    campaign_of,
)


def told_of(row: Row, *, max_campaigns: int) -> CampaignFacts:
    """The campaign in a row of `listing_query`. `max_campaigns`: how many may share a portfolio
    that a bid moves. Raises UnreadableRow.
    """
    campaign = campaign_of(row)
    name = row["campaign"].get("name", "")
    if not isinstance(name, str):
        raise UnreadableRow("an unreadable row (a name that is no text)")
    knob, moves, why_not = "", "", ""
    try:
        knob, moves = _moved(campaign, max_campaigns)
    except InvalidBid as error:
        why_not = error.message
    return CampaignFacts(
        campaign_id=campaign.campaign_id,
        name=name,
        status=campaign.status,
        strategy=_strategy_of(campaign),
        knobs=(knob,) if knob else (),
        moves=moves,
        why_not=why_not,
    )


def _moved(campaign: Campaign, max_campaigns: int) -> tuple[str, str]:
    """(knob, what it sets). Raises InvalidBid as a bid that names no knob would."""
    refused: list[InvalidBid] = []
    for knob in ("target_roas", "target_cpa"):
        try:
            intent = knobs.Intent(knob, 0, max_campaigns=max_campaigns)
            setting = knobs.setting_of(intent, campaign)
        except InvalidBid as error:
            refused.append(error)
        else:
            return knob, f"{_field_name(setting.field)} of {setting.target}"
    try:
        knobs.check_manual_cpc(campaign)
    except InvalidBid:
        raise refused[0] from None
    field = _field_name(pb.BIDDING_FIELD_AD_GROUP_CPC_BID)
    return "manual_cpc", f"{field} of the ad group that the bid names"


def _field_name(field: pb.BiddingField.ValueType) -> str:
    return pb.BiddingField.Name(field).removeprefix("BIDDING_FIELD_").lower()


def _strategy_of(campaign: Campaign) -> str:
    own = f"{campaign.strategy}, {campaign.channel}"
    if not campaign.portfolio_name:
        return own
    if campaign.portfolio is None:
        return f"{own}, portfolio of another account"
    shared = campaign.portfolio.campaign_count
    return f"{own}, portfolio {campaign.portfolio.portfolio_id} of {shared} campaigns"
