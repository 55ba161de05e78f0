"""Who a campaign's ad groups are for, and whether they run: what a request would change. Pure.

An ad group is targeted at one audience or at none; audiences of several segments are put together
in The Trade Desk. A campaign has no switch of its own in REST v3: it is paused by pausing its ad
groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from smartconnectors.common.v1.campaign_pb2 import AudienceResult, AudienceUpdate
from smartconnectors_server.errors import InvalidBid, UnknownTarget
from smartconnectors_server.platforms.trade_desk.confirmation import Expected
from smartconnectors_server.platforms.trade_desk.state import AdGroup
from smartconnectors_server.platforms.trade_desk.wire import Change

STATUS_PATH = "/adgroup/status"
"""What switches an ad group on or off, and nothing else."""


def audiences_after(update: AudienceUpdate, ad_groups: Sequence[AdGroup]) -> dict[str, str]:
    """The audience that each ad group of the campaign is to have, by its id; empty: none.

    Raises InvalidBid when one would have several, UnknownTarget when there is no ad group.
    """
    if not ad_groups:
        raise UnknownTarget(f"The Trade Desk knows no ad group of campaign {update.campaign_id}")
    added, removed = set(update.add_audience_ids), set(update.remove_audience_ids)
    if both := added & removed:
        raise InvalidBid.of("update.add_audience_ids", f"{min(both)} is also to be removed")
    found = {}
    for ad_group in ad_groups:
        after = ({ad_group.audience_id} - {""} | added) - removed
        if len(after) > 1:
            raise InvalidBid.of(
                "update.add_audience_ids",
                f"ad group {ad_group.ad_group_id} has one audience in The Trade Desk; it would "
                f"have {', '.join(sorted(after))}: name those to remove as well",
            )
        found[ad_group.ad_group_id] = next(iter(after), "")
    return found


def audience_changes(after: Mapping[str, str], ad_groups: Sequence[AdGroup]) -> list[Change]:
    """What has to be sent, ad group by ad group."""
    changes = []
    for ad_group in ad_groups:
        audience_id = after[ad_group.ad_group_id]
        if ad_group.audience_id != audience_id:
            targeting = {"AudienceTargeting": {"AudienceId": audience_id or None}}
            expected = Expected(
                ("RTBAttributes", "AudienceTargeting", "AudienceId"),
                audience_id or None,
                ad_group.audience_id or None,
            )
            changes.append(
                Change(
                    method="PUT",
                    path="/adgroup",
                    body={"AdGroupId": ad_group.ad_group_id, "RTBAttributes": targeting},
                    campaign_id=ad_group.campaign_id,
                    expected=(expected,),
                )
            )
    return changes


def audience_answer(after: Mapping[str, str], ad_groups: Sequence[AdGroup]) -> AudienceResult:
    """What the caller is told once all of it was accepted."""
    added, removed = set(), set()
    for ad_group in ad_groups:
        audience_id = after[ad_group.ad_group_id]
        if ad_group.audience_id != audience_id:
            added.add(audience_id)
            removed.add(ad_group.audience_id)
    return AudienceResult(
        added_audience_ids=sorted(added - {""}),
        removed_audience_ids=sorted(removed - {""}),
        audience_ids=sorted(set(after.values()) - {""}),
    )


def pause_changes(ad_groups: Sequence[AdGroup]) -> list[Change]:
    """What pauses a campaign."""
    return [_switch(ad_group, on=False) for ad_group in ad_groups if ad_group.enabled]


def resume_changes(
    campaign_id: str, ad_groups: Sequence[AdGroup], paused_here: frozenset[str]
) -> list[Change]:
    """What lets a campaign run again: the ad groups that were paused by us, or its only one.

    Raises InvalidBid when which of them ran before is not known.
    """
    off = [ad_group for ad_group in ad_groups if not ad_group.enabled]
    ours = [ad_group for ad_group in off if ad_group.ad_group_id in paused_here]
    if ours:
        return [_switch(ad_group, on=True) for ad_group in ours]
    if len(ad_groups) == 1 or not off:
        return [_switch(ad_group, on=True) for ad_group in off]
    if len(off) < len(ad_groups):
        return []  # It runs: those that are off were switched off by somebody else.
    raise InvalidBid.of(
        "update.campaign_id",
        f"which of the {len(ad_groups)} ad groups of campaign {campaign_id} ran before it was "
        "paused is not known here; switch them on in The Trade Desk",
    )


def by_ad_group(change: Change) -> Change:
    """The same switch by `PUT /v3/adgroup`, for accounts without `PUT /v3/adgroup/status`."""
    return replace(change, path="/adgroup")


def _switch(ad_group: AdGroup, *, on: bool) -> Change:
    return Change(
        method="PUT",
        path=STATUS_PATH,
        body={"AdGroupId": ad_group.ad_group_id, "IsEnabled": on},
        campaign_id=ad_group.campaign_id,
        expected=(Expected(("IsEnabled",), on, not on),),
    )
