"""User lists that a campaign is targeted at: what to add and what to remove. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smartconnectors.common.v1.campaign_pb2 import AudienceResult, AudienceUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.google_ads.knobs import check_id
from smartconnectors_server.platforms.google_ads.state import Campaign
from smartconnectors_server.platforms.google_ads.wire import Document


@dataclass(frozen=True, slots=True)
class AudienceChange:
    """`mutate` is None when the campaign is targeted so already."""

    mutate: Document | None
    answer: pb.UpdateTargetAudienceResponse


def check(update: AudienceUpdate) -> None:
    """Raises InvalidBid when the update can fit no campaign."""
    check_id("update.campaign_id", update.campaign_id)
    for field in ("add_audience_ids", "remove_audience_ids"):
        for index, audience_id in enumerate(getattr(update, field)):
            check_id(f"update.{field}[{index}]", audience_id)
    both = set(update.add_audience_ids) & set(update.remove_audience_ids)
    if both:
        raise InvalidBid.of(
            "update.remove_audience_ids", f"{min(both)} is to be added as well as removed"
        )


def change_of(
    update: AudienceUpdate, campaign: Campaign, present: Mapping[str, str]
) -> AudienceChange:
    """What makes the campaign's user lists as they are wanted. `present`: those it is targeted at,
    id -> resource name of the criterion.
    """
    added = [audience_id for audience_id in update.add_audience_ids if audience_id not in present]
    removed = [audience_id for audience_id in update.remove_audience_ids if audience_id in present]
    operations: list[dict[str, Any]] = [
        {
            "campaignCriterionOperation": {
                "create": {
                    "campaign": campaign.resource_name,
                    "userList": {
                        "userList": f"customers/{campaign.customer_id}/userLists/{audience_id}"
                    },
                }
            }
        }
        for audience_id in added
    ]
    operations += [
        {"campaignCriterionOperation": {"remove": present[audience_id]}} for audience_id in removed
    ]
    kept = [audience_id for audience_id in present if audience_id not in removed]
    result = AudienceResult(
        added_audience_ids=added, removed_audience_ids=removed, audience_ids=kept + added
    )
    return AudienceChange(
        mutate={"customerId": campaign.customer_id, "mutateOperations": operations}
        if operations
        else None,
        answer=pb.UpdateTargetAudienceResponse(result=result),
    )
