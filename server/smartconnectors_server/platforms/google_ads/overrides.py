"""What takes a bid out of force: settings below the one that it moves, and campaigns that no bid
moves. Pure.

Google takes a target ROAS for a campaign whose ad groups have targets of their own, and a CPC for
an ad group whose keywords have bids of their own, and goes on bidding by theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smartconnectors_server.errors import InvalidBid, Violation
from smartconnectors_server.platforms.google_ads.knobs import Intent
from smartconnectors_server.platforms.google_ads.state import (
    Campaign,
    Row,
    among,
    query,
    read_row,
)

_NAMED = 10
"""So many are named in a message; the rest are counted."""
_INHERITED = frozenset({"UNSPECIFIED", "CAMPAIGN_BIDDING_STRATEGY", "AD_GROUP"})
"""Sources of a criterion's bid that are not the criterion itself."""
_FROM_CAMPAIGN = frozenset({"UNSPECIFIED", "CAMPAIGN_BIDDING_STRATEGY"})

_TARGET_FIELDS = (
    "campaign.id",
    "ad_group.id",
    "ad_group.target_roas",
    "ad_group.target_cpa_micros",
    "ad_group.effective_target_roas_source",
    "ad_group.effective_target_cpa_source",
)
_CRITERION_FIELDS = (
    "ad_group.id",
    "ad_group_criterion.criterion_id",
    "ad_group_criterion.cpc_bid_micros",
    "ad_group_criterion.effective_cpc_bid_source",
)


@dataclass(frozen=True, slots=True)
class Below:
    """An ad group of a campaign, or a criterion (a keyword, a placement, a product group) of an ad
    group, and which bids it sets for itself.
    """

    parent_id: str
    entity_id: str
    own: frozenset[str]
    """Knobs, as in `Intent`."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is below a campaign or an ad group and runs: `counted` of them, and who has a bid of its
    own, by knob.
    """

    counted: int = 0
    own: Mapping[str, tuple[str, ...]] | None = None

    @classmethod
    def of(cls, below: Iterable[Below]) -> Overrides:
        """Of everything below one campaign or ad group."""
        counted, own = 0, dict[str, tuple[str, ...]]()
        for one in below:
            counted += 1
            for knob in one.own:
                own[knob] = (*own.get(knob, ()), one.entity_id)
        return cls(counted, own)

    def of_knob(self, knob: str) -> tuple[str, ...]:
        """Who sets this for itself."""
        return (self.own or {}).get(knob, ())


def targets_query(*campaign_ids: str) -> str:
    """Reads the ad groups of the campaigns that run, with the source of their targets."""
    conditions = (among("campaign.id", campaign_ids), "ad_group.status = 'ENABLED'")
    return query(_TARGET_FIELDS, "ad_group", conditions)


def criteria_query(*ad_group_ids: str, all_of_them: bool) -> str:
    """Reads the criteria of the ad groups that run and have a bid of their own. `all_of_them`: also
    those that have none.
    """
    conditions = [
        among("ad_group.id", ad_group_ids),
        "ad_group_criterion.status = 'ENABLED'",
        "ad_group_criterion.negative = FALSE",
    ]
    if not all_of_them:
        conditions.append("ad_group_criterion.effective_cpc_bid_source = 'AD_GROUP_CRITERION'")
    return query(_CRITERION_FIELDS, "ad_group_criterion", conditions)


def ad_group_below(row: Row) -> Below:
    """The ad group in a row of `targets_query`. Raises UnreadableRow."""
    return read_row(_ad_group_below, row)


def criterion_below(row: Row) -> Below:
    """The criterion in a row of `criteria_query`. Raises UnreadableRow."""
    return read_row(_criterion_below, row)


def _ad_group_below(row: Row) -> Below:
    ad_group = row["adGroup"]
    knobs = (("target_roas", "targetRoas", "Roas"), ("target_cpa", "targetCpaMicros", "Cpa"))
    own = {
        knob
        for knob, field, name in knobs
        # Set, it counts from our bid on even if the campaign has had no target so far.
        if float(ad_group.get(field, 0)) > 0
        or _source(ad_group, f"effectiveTarget{name}Source") not in _FROM_CAMPAIGN
    }
    return Below(str(row["campaign"]["id"]), str(ad_group["id"]), frozenset(own))


def _criterion_below(row: Row) -> Below:
    criterion = row["adGroupCriterion"]
    source = _source(criterion, "effectiveCpcBidSource")
    has_bid = int(criterion.get("cpcBidMicros", 0)) > 0
    is_own = source not in _INHERITED or (source == "UNSPECIFIED" and has_bid)
    own = frozenset({"manual_cpc"} if is_own else ())
    return Below(str(row["adGroup"]["id"]), str(criterion["criterionId"]), own)


def _source(document: Mapping[str, Any], field: str) -> str:
    return str(document.get(field, "UNSPECIFIED"))


def by_parent(below: Iterable[Below], parent_ids: Iterable[str]) -> dict[str, Overrides]:
    """Of each of these campaigns or ad groups; nothing is below one that was not read."""
    found: dict[str, list[Below]] = {parent_id: [] for parent_id in parent_ids}
    for one in below:
        if one.parent_id in found:
            found[one.parent_id].append(one)
    return {parent_id: Overrides.of(own) for parent_id, own in found.items()}


def matter(intent: Intent, campaign: Campaign) -> bool:
    """False when nothing below can override the bid: a target of a portfolio cannot be."""
    return intent.knob == "manual_cpc" or not campaign.portfolio_name


def check(intent: Intent, campaign: Campaign, found: Overrides, *, allow_partial: bool) -> None:
    """Raises InvalidBid when the bid would move nothing; unless `allow_partial`, also when it would
    move a part only.
    """
    own = found.of_knob(intent.knob)
    partial = len(own) < found.counted
    if not own or (allow_partial and partial):
        return
    by_hand = intent.knob == "manual_cpc"
    field = "manual_cpc.ad_group_id" if by_hand else intent.knob
    what = "criteria (keywords, placements, product groups)" if by_hand else "ad groups"
    setting = {"manual_cpc": "CPC", "target_roas": "target ROAS"}.get(intent.knob, "target CPA")
    whose = f"ad group {intent.ad_group_id}" if by_hand else f"campaign {campaign.campaign_id}"
    # Of criteria only those with a bid of their own were read: the others are not known.
    may_allow = not allow_partial and (partial or by_hand)
    allow = ", or set `allow_partial_overrides`" if may_allow else ""
    raise _overridden(
        field,
        f"{whose} has {what} with a {setting} of their own, which override the bid: "
        f"{_listed(own)}. Remove theirs in Google Ads{allow}",
        own,
    )


def check_campaign(intent: Intent, campaign: Campaign) -> None:
    """Raises InvalidBid for a campaign that no bid moves, or not to what was bid."""
    whose = f"campaign {campaign.campaign_id}"
    if campaign.experiment_type == "DRAFT":
        raise InvalidBid.of("bid.campaign_id", f"{whose} is a draft, which never serves")
    if campaign.serving_status == "ENDED":
        raise InvalidBid.of(
            "bid.campaign_id", f"{whose} has ended; give it a later end date in Google Ads"
        )
    if intent.knob == "manual_cpc" and campaign.enhanced_cpc:
        raise InvalidBid.of(
            "manual_cpc",
            f"{whose} has enhanced CPC, by which Google bids above the CPC that is set; turn it "
            "off in Google Ads",
        )


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more


def _overridden(field: str, description: str, own: Sequence[str]) -> InvalidBid:
    return InvalidBid(
        f"{field}: {description}",
        violations=(Violation(field, description),),
        metadata={"overridden_by": ",".join(own[:_NAMED])},
    )
