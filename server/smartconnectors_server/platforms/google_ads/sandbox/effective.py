"""Which bid of an ad group or keyword counts, and where it comes from: its own, or one above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The strategy -> where its target is, below the campaign or the shared strategy.
_ROAS_IN = {
    "TARGET_ROAS": "target_roas.target_roas",
    "MAXIMIZE_CONVERSION_VALUE": "maximize_conversion_value.target_roas",
}
_CPA_IN = {
    "TARGET_CPA": "target_cpa.target_cpa_micros",
    "MAXIMIZE_CONVERSIONS": "maximize_conversions.target_cpa_micros",
}


def bids_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The `effective_...` fields of the ad group or criterion of a row."""
    if "ad_group.id" not in row:
        return {}
    return {
        **_target(row, "target_roas", "target_roas", _ROAS_IN),
        **_target(row, "target_cpa_micros", "target_cpa", _CPA_IN),
        **_cpc(row),
    }


def _target(
    row: Mapping[str, Any], own_field: str, name: str, places: Mapping[str, str]
) -> dict[str, Any]:
    place = places.get(row.get("campaign.bidding_strategy_type", ""))
    if place is None:
        return {}  # the strategy has no such target, so an ad group's own is ignored
    shared = "campaign.bidding_strategy" in row
    above = row.get(f"{'bidding_strategy' if shared else 'campaign'}.{place}")
    if above is None:
        return {}
    own = None if shared else row.get(f"ad_group.{own_field}")
    source = "CAMPAIGN_BIDDING_STRATEGY" if own is None else "AD_GROUP"
    return {
        f"ad_group.effective_{own_field}": above if own is None else own,
        f"ad_group.effective_{name}_source": source,
    }


def _cpc(row: Mapping[str, Any]) -> dict[str, Any]:
    by_hand = row.get("campaign.bidding_strategy_type") == "MANUAL_CPC"
    if not by_hand or "ad_group_criterion.criterion_id" not in row:
        return {}
    own = row.get("ad_group_criterion.cpc_bid_micros")
    return {
        "ad_group_criterion.effective_cpc_bid_micros": own or row["ad_group.cpc_bid_micros"],
        "ad_group_criterion.effective_cpc_bid_source": (
            "AD_GROUP" if own is None else "AD_GROUP_CRITERION"
        ),
    }
