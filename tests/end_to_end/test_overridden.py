"""What Google would take and not go by holds nothing and sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors.common.v1.campaign_pb2 import CampaignBudgetUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage, Words

USD = 1_000_000


async def test_a_bid_that_ad_groups_override_commits_nothing(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    refusal = await say.refused(server.ads.PlaceBid(say.bid("r", 15, campaign="1017")))
    assert (refusal.reason, refusal.metadata["overridden_by"]) == ("INVALID_BID", "10171")
    assert await server.money() == {}
    assert stage.mutates() == []


async def test_a_bid_that_a_keyword_overrides_commits_nothing(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    bid = say.bid("r", 15, campaign="1018")
    bid.manual_cpc.ad_group_id = "10181"
    refusal = await say.refused(server.ads.PlaceBid(bid))
    assert (refusal.reason, refusal.metadata["overridden_by"]) == ("INVALID_BID", "601")
    assert await server.money() == {}
    assert stage.mutates() == []


@pytest.mark.parametrize("campaign_id", ["1014", "1015"])
async def test_a_budget_that_is_shared_or_for_a_period_commits_nothing(
    stage: Stage, say: Words, campaign_id: str
) -> None:
    server = await stage.serve()
    update = CampaignBudgetUpdate(
        request_id="more", campaign_id=campaign_id, daily_budget_micros=150 * USD
    )
    request = ads_pb2.UpdateCampaignBudgetRequest(update=update)
    assert (await say.refused(server.ads.UpdateCampaignBudget(request))).reason == "INVALID_BID"
    assert await server.money() == {}
    assert stage.mutates() == []


async def test_a_bid_that_is_accepted_and_left_out_stays_in_doubt(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    stage.sandbox.ignore("campaign.maximize_conversion_value.target_roas")
    refusal = await say.refused(server.ads.PlaceBid(say.bid("r", 15, campaign="1001")))
    assert refusal.reason == "OUTCOME_UNKNOWN"
    assert await server.money() == {"in_doubt": 15 * USD}
