"""A caller's deferred bid is superseded by bids on its own campaign alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.security.neighbours import USD, Neighbours, bid, eventually, neighbours

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as desk_pb2

CPC: dict[str, Any] = {"manual_cpc": ads_pb2.ManualCpc(ad_group_id="10131")}
NAMED = [
    ("google_ads", "ads", "carol", "1013", CPC),
    ("meta", "meta", "bob", "1002", {"ad_set_id": "10021"}),
    ("trade_desk", "desk", "bob", "1002", {"ad_group": desk_pb2.AdGroup(ad_group_id="10021")}),
]


@pytest.mark.parametrize(("platform", "service", "victim", "campaign", "knob"), NAMED)
async def test_a_bid_that_names_another_campaigns_ad_group_leaves_the_deferred_bid_there(
    tmp_path: Path, platform: str, service: str, victim: str, campaign: str, knob: Any
) -> None:
    async with neighbours(tmp_path, platform) as street:
        street.open_breaker(service)
        own = bid("own", campaign, 7 * USD, ltv_micros=20 * USD, service=service, **knob)
        foreign = bid("foreign", "1001", 1, ltv_micros=20 * USD, service=service, **knob)
        assert await street.status(victim, own) == "DEFERRED"
        assert await street.status("alice", foreign) == "DEFERRED"
        assert await street.status(victim, own) == "DEFERRED"


@pytest.mark.parametrize("restarts", [False, True])
async def test_of_two_bids_that_name_one_ad_group_only_that_of_its_campaign_is_placed(
    tmp_path: Path, restarts: bool
) -> None:
    async with neighbours(tmp_path) as street:
        street.open_breaker()
        own = bid("own", "1013", 7 * USD, ltv_micros=20 * USD, **CPC)
        foreign = bid("foreign", "1001", 1, ltv_micros=20 * USD, **CPC)
        assert await street.status("carol", own) == "DEFERRED"
        assert await street.status("alice", foreign) == "DEFERRED"
        if restarts:
            await street.restart()
        await eventually(lambda: not _open(street), bool)
        assert await street.status("carol", own) == "PLACED"
        refused = (await street.asked("alice", foreign).code()).name
        assert refused in {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"}
        assert len(street.applied()) == 1


def _open(street: Neighbours) -> int:
    assert street.app is not None
    return len(street.app.core.keeper.open_holds())


async def test_a_newer_deferred_bid_on_the_same_campaign_supersedes_as_before(
    tmp_path: Path,
) -> None:
    async with neighbours(tmp_path) as street:
        street.open_breaker()
        older = bid("older", "1013", 7 * USD, ltv_micros=20 * USD, **CPC)
        newer = bid("newer", "1013", 5 * USD, ltv_micros=20 * USD, **CPC)
        assert await street.status("carol", older) == "DEFERRED"
        assert await street.status("carol", newer) == "DEFERRED"
        assert await street.status("carol", older) == "SUPERSEDED"
