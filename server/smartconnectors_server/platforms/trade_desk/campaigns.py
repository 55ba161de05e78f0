"""What is told of a campaign: how it bids, and what a bid on it would set. Pure.

Which ad group a bid would set is found by what finds it for a bid, `wire.chosen`.
"""

from __future__ import annotations

from collections.abc import Sequence

from smartconnectors_server.connector import CampaignFacts
from smartconnectors_server.errors import InvalidBid, UnknownTarget
from smartconnectors_server.platforms.trade_desk import wire
from smartconnectors_server.platforms.trade_desk.state import AdGroup, Listed

MOST_AD_GROUPS = 2000
"""How many ad groups of an advertiser are read for a listing."""


def told_of(
    listed: Listed, ad_groups: Sequence[AdGroup], *, all_were_read: bool = True
) -> CampaignFacts:
    """The campaign of a listing. `ad_groups`: its own; `all_were_read`: it has no others."""
    knobs: tuple[str, ...] = ()
    moves = why_not = ""
    if not all_were_read and len(ad_groups) < 2:
        why_not = (
            f"not known: only {MOST_AD_GROUPS} ad groups of the advertiser were read, and this "
            "campaign may have others"
        )
    else:
        try:
            ad_group = wire.chosen(listed.campaign.campaign_id, "", ad_groups)
            knobs = ("ad_group",)
            moves = f"RTBAttributes.BaseBidCPM of {wire.target_of(ad_group.ad_group_id)}"
        except (InvalidBid, UnknownTarget) as error:
            why_not = error.message
    return CampaignFacts(
        campaign_id=listed.campaign.campaign_id,
        name=listed.name,
        status=_status_of(listed, ad_groups, all_were_read=all_were_read),
        strategy=f"base bid CPM, {listed.budgeting} budget" if listed.budgeting else "base bid CPM",
        knobs=knobs,
        moves=moves,
        why_not=why_not,
    )


def _status_of(listed: Listed, ad_groups: Sequence[AdGroup], *, all_were_read: bool) -> str:
    """Its availability, and whether an ad group of it runs: a campaign has no switch of its own."""
    runs = any(ad_group.enabled for ad_group in ad_groups)
    known = runs or all_were_read
    words = [listed.availability, "" if not known else "enabled" if runs else "disabled"]
    return ", ".join(word for word in words if word)
