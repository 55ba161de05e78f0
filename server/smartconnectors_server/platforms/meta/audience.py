"""Custom audiences in the targeting of ad sets: what to add and what to remove. Pure.

Targeting is written as a whole, so what was read is merged and written back: nothing else of it is
dropped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smartconnectors.common.v1.campaign_pb2 import AudienceResult, AudienceUpdate
from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.meta.knobs import check_id
from smartconnectors_server.platforms.meta.state import Node, audiences_in


@dataclass(frozen=True, slots=True)
class AudienceChanges:
    """`forms`: ad set id -> fields to post, for the ad sets that are targeted otherwise."""

    forms: dict[str, dict[str, str]]
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


def changes_of(update: AudienceUpdate, nodes: Sequence[Node]) -> AudienceChanges:
    """What makes the active ad sets targeted as is wanted. `nodes` as Meta wrote them.

    Raises InvalidBid when none is active.
    """
    active = [node for node in nodes if node.get("status") == "ACTIVE"]
    if not active:
        raise InvalidBid.of(
            "update.campaign_id", f"campaign {update.campaign_id} has no active ad set"
        )
    forms: dict[str, dict[str, str]] = {}
    added: dict[str, None] = {}
    removed: dict[str, None] = {}
    present: dict[str, None] = {}
    for node in active:
        targeting: dict[str, Any] = dict(node.get("targeting") or {})
        entries = list(targeting.get("custom_audiences") or ())
        ids = audiences_in(node)
        new = [each for each in update.add_audience_ids if each not in ids]
        gone = [each for each in update.remove_audience_ids if each in ids]
        kept = [entry for entry in entries if str(entry["id"]) not in gone]
        if new or gone:
            targeting["custom_audiences"] = [*kept, *({"id": each} for each in new)]
            forms[str(node["id"])] = {"targeting": json.dumps(targeting, separators=(",", ":"))}
        added.update(dict.fromkeys(new))
        removed.update(dict.fromkeys(gone))
        present.update(dict.fromkeys([each for each in ids if each not in gone] + new))
    result = AudienceResult(
        added_audience_ids=list(added),
        removed_audience_ids=list(removed),
        audience_ids=list(present),
    )
    return AudienceChanges(forms, pb.UpdateTargetAudienceResponse(result=result))
