"""Daily budgets and audiences of campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2
from smartconnectors.common.v1.campaign_pb2 import AudienceUpdate, CampaignBudgetUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.connector.sandbox import FaultKind

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage, Words

USD = 1_000_000


def campaign_budget(
    request_id: str, usd: int, **fields: Any
) -> ads_pb2.UpdateCampaignBudgetRequest:
    """A new daily budget of campaign 1001, which starts with $100."""
    return ads_pb2.UpdateCampaignBudgetRequest(
        update=CampaignBudgetUpdate(
            request_id=request_id, campaign_id="1001", daily_budget_micros=usd * USD, **fields
        )
    )


def audiences(**fields: Any) -> ads_pb2.UpdateTargetAudienceRequest:
    return ads_pb2.UpdateTargetAudienceRequest(update=AudienceUpdate(campaign_id="1001", **fields))


async def test_a_larger_campaign_budget_commits_the_difference_and_a_smaller_one_always_passes(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(budget={"limit": "50"})
    result = (await server.ads.UpdateCampaignBudget(campaign_budget("more", 150))).result
    assert result.status == bid_pb2.BID_STATUS_PLACED
    assert result.previous_daily_budget_micros == 100 * USD
    assert (result.daily_budget_micros, result.committed_micros) == (150 * USD, 50 * USD)
    assert await server.money() == {"committed": 50 * USD}

    refusal = await say.refused(server.ads.UpdateCampaignBudget(campaign_budget("again", 151)))
    assert refusal.reason == "BUDGET_EXCEEDED"
    await server.budgets.PauseBudget(
        budgets_pb2.PauseBudgetRequest(budget_id="google_ads", reason="audit")
    )
    lower = (await server.ads.UpdateCampaignBudget(campaign_budget("less", 80))).result
    assert (lower.status, lower.committed_micros) == (bid_pb2.BID_STATUS_PLACED, 0)
    assert lower.previous_daily_budget_micros == 150 * USD
    assert await server.money() == {"committed": 50 * USD}
    assert [e.facts["daily_budget_micros"] for e in stage.mutates()] == [150 * USD, 80 * USD]


async def test_a_repeated_campaign_budget_is_answered_from_memory(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    request = campaign_budget("more", 150)
    first = (await server.ads.UpdateCampaignBudget(request)).result
    again = (await server.ads.UpdateCampaignBudget(request)).result
    assert (first.replayed, again.replayed) == (False, True)
    assert again.committed_micros == first.committed_micros == 50 * USD
    assert again.previous_daily_budget_micros == 100 * USD
    assert len(stage.mutates()) == 1
    same = (await server.ads.UpdateCampaignBudget(campaign_budget("same", 150))).result
    assert same.status == bid_pb2.BID_STATUS_UNCHANGED
    assert await server.money() == {"committed": 50 * USD}


async def test_a_campaign_budget_in_doubt_is_looked_up_too(stage: Stage, say: Words) -> None:
    server = await stage.serve(timeout_ms=300)
    await stage.fault(FaultKind.APPLY_THEN_HANG)
    request = campaign_budget("more", 150)
    refusal = await say.refused(server.ads.UpdateCampaignBudget(request))
    assert refusal.reason == "OUTCOME_UNKNOWN"
    await server.settled_to(committed=50 * USD)
    result = (await server.ads.UpdateCampaignBudget(request)).result
    assert (result.status, result.replayed) == (bid_pb2.BID_STATUS_PLACED, True)
    assert result.committed_micros == 50 * USD
    assert len(stage.mutates()) == 1


async def test_the_largest_daily_budget_is_a_setting(stage: Stage, say: Words) -> None:
    server = await stage.serve(max_daily_budget="120")
    refusal = await say.refused(server.ads.UpdateCampaignBudget(campaign_budget("more", 121)))
    assert refusal.reason == "STEP_TOO_LARGE"
    assert refusal.metadata["max_daily_budget_micros"] == "120000000"
    assert await server.money() == {}


async def test_a_repeated_audience_update_is_harmless(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    request = audiences(add_audience_ids=["501", "502"])
    first = (await server.ads.UpdateTargetAudience(request)).result
    again = (await server.ads.UpdateTargetAudience(request)).result
    assert list(first.added_audience_ids) == ["501", "502"]
    assert list(again.added_audience_ids) == []
    assert sorted(again.audience_ids) == ["501", "502"]
    removed = (await server.ads.UpdateTargetAudience(audiences(remove_audience_ids=["501"]))).result
    assert list(removed.removed_audience_ids) == ["501"]
    assert list(removed.audience_ids) == ["502"]
    assert len(stage.mutates()) == 2
    assert await server.money() == {}


async def test_an_audience_update_without_an_answer_says_so_and_can_be_repeated(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(timeout_ms=300)
    await stage.fault(FaultKind.APPLY_THEN_HANG)
    request = audiences(add_audience_ids=["501"])
    refusal = await say.refused(server.ads.UpdateTargetAudience(request))
    assert refusal.reason == "OUTCOME_UNKNOWN"
    result = (await server.ads.UpdateTargetAudience(request)).result
    assert (list(result.added_audience_ids), list(result.audience_ids)) == ([], ["501"])
