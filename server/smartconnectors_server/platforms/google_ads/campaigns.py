"""What is told of a campaign: how it bids, and which field a bid would set. Pure.

The field is found by what finds it for a bid, `knobs.setting_of`.
"""

from __future__ import annotations

from dataclasses import dataclass

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.connector import CampaignFacts
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.google_ads import knobs, overrides
from smartconnectors_server.platforms.google_ads.overrides import Overrides
from smartconnectors_server.platforms.google_ads.refusals import UNDECLARED
from smartconnectors_server.platforms.google_ads.state import (
    Campaign,
    Row,
    UnreadableRow,
    campaign_of,
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A campaign of the listing.

    Attributes:
        campaign: all of it that a bid needs.
        name: for people.
        undeclared: it does not say whether it has EU political ads, for which Google refuses
            changes of the whole account.
    """

    campaign: Campaign
    name: str
    undeclared: bool


def listed_of(row: Row) -> Listed:
    """The campaign in a row of `listing_query`. Raises UnreadableRow."""
    campaign = campaign_of(row)
    name = row["campaign"].get("name", "")
    if not isinstance(name, str):
        raise UnreadableRow("an unreadable row (a name that is no text)")
    undeclared = row["campaign"].get("missingEuPoliticalAdvertisingDeclaration", False) is True
    return Listed(campaign, name, undeclared)


def told_of(
    listed: Listed, below: Overrides, *, max_campaigns: int, allow_partial: bool = False
) -> CampaignFacts:
    """What is told of it. `below`: the ad groups with targets of their own; `max_campaigns`: how
    many may share a portfolio that a bid moves; `allow_partial`: as for `overrides.check`.
    """
    campaign = listed.campaign
    knob, moves, why_not = "", "", ""
    try:
        if listed.undeclared:
            raise InvalidBid(UNDECLARED)
        knob, moves = _moved(campaign, below, max_campaigns, allow_partial)
    except InvalidBid as error:
        why_not = error.message
    return CampaignFacts(
        campaign_id=campaign.campaign_id,
        name=listed.name,
        status=campaign.status,
        strategy=_strategy_of(campaign),
        knobs=(knob,) if knob else (),
        moves=moves,
        why_not=why_not,
    )


def _moved(
    campaign: Campaign, below: Overrides, max_campaigns: int, allow_partial: bool
) -> tuple[str, str]:
    """(knob, what it sets). Raises InvalidBid as a bid that names no knob would."""
    refused: list[InvalidBid] = []
    for knob in ("target_roas", "target_cpa"):
        try:
            intent = knobs.Intent(knob, 0, max_campaigns=max_campaigns)
            setting = knobs.setting_of(intent, campaign)
        except InvalidBid as error:
            refused.append(error)
        else:
            overrides.check_campaign(intent, campaign)
            if overrides.matter(intent, campaign):
                overrides.check(intent, campaign, below, allow_partial=allow_partial)
            return knob, f"{_field_name(setting.field)} of {setting.target}"
    try:
        knobs.check_manual_cpc(campaign)
    except InvalidBid:
        raise refused[0] from None
    overrides.check_campaign(knobs.Intent("manual_cpc", 0), campaign)
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
