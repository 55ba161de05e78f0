"""What else a caller is promised: no call for no change, validation without a hold, reductions that
always pass, budgets of campaigns, audiences, subscriptions, the rate limit.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2, budget_pb2
from smartconnectors.common.v1.campaign_pb2 import AudienceUpdate, CampaignBudgetUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.connector.sandbox import FaultKind

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words

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


async def pause(server: Server, name: str = "google_ads") -> budgets_pb2.PauseBudgetResponse:
    request = budgets_pb2.PauseBudgetRequest(budget_id=name, reason="audit")
    answer: budgets_pb2.PauseBudgetResponse = await server.budgets.PauseBudget(request)
    return answer


# Bids


async def test_a_placed_bid_says_what_was_set_and_what_the_budget_has_left(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    answer = await server.ads.PlaceBid(say.bid("r", 15, ltv_usd=37.5))
    result = answer.result
    assert (result.request_id, result.status) == ("r", bid_pb2.BID_STATUS_PLACED)
    assert (result.source, result.bid_micros) == (bid_pb2.BID_SOURCE_AI, 15 * USD)
    assert (result.currency_code, result.replayed) == ("USD", False)
    assert result.platform_latency.ToMicroseconds() > 0
    assert result.placed_at.ToNanoseconds() > 0
    assert result.budget.committed_micros == 15 * USD
    assert result.budget.remaining_micros == 985 * USD
    (entry,) = stage.mutates("r")
    assert entry.facts["target_roas"] == answer.google_ads.target_roas == 2.5
    assert result.platform_bid_id == answer.google_ads.resource_name == entry.facts["resource_name"]


async def test_the_same_setting_again_is_unchanged_and_costs_neither_call_nor_money(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    await server.place(say.bid("first", 15))
    calls = len(stage.sandbox.journal())
    result = await server.place(say.bid("second", 15))
    assert result.status == bid_pb2.BID_STATUS_UNCHANGED
    assert len(stage.sandbox.journal()) == calls
    assert await server.money() == {"committed": 15 * USD}


async def test_validate_only_asks_the_platform_and_holds_nothing(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    request = say.bid("r", 15, validate_only=True)
    result = await server.place(request)
    assert result.status == bid_pb2.BID_STATUS_VALIDATED
    (change,) = [entry for entry in stage.sandbox.journal() if entry.changes]
    assert (change.facts["validate_only"], change.applied) == (True, False)
    assert await server.money() == {}
    assert not (await server.budgets.ListHolds(budgets_pb2.ListHoldsRequest())).holds
    # It is bound to nothing, so the bid itself may follow under the same id.
    assert (await server.place(say.bid("r", 15))).status == bid_pb2.BID_STATUS_PLACED


async def test_validate_only_is_refused_for_the_same_reasons_as_the_bid(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(budget={"limit": "10"})
    refusal = await say.refused(server.place(say.bid("r", 15, validate_only=True)))
    assert refusal.reason == "BUDGET_EXCEEDED"
    await pause(server)
    refusal = await say.refused(server.place(say.bid("r", 5, validate_only=True)))
    assert refusal.reason == "BUDGET_PAUSED"


async def test_a_reduction_passes_an_exhausted_and_a_paused_budget_and_holds_nothing(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(budget={"limit": "15"})
    await server.place(say.bid("first", 15, ltv_usd=30))
    assert (await server.stats()).alert_level == budget_pb2.ALERT_LEVEL_EXHAUSTED
    lower = say.bid("lower", 10, ltv_usd=40, reduce_only=True)
    assert (await server.place(lower)).status == bid_pb2.BID_STATUS_PLACED
    await pause(server)
    lowest = say.bid("lowest", 10, ltv_usd=80, reduce_only=True)
    assert (await server.place(lowest)).status == bid_pb2.BID_STATUS_PLACED
    assert await server.money() == {"committed": 15 * USD}
    assert [round(entry.facts["target_roas"], 6) for entry in stage.mutates()] == [2, 4, 8]


async def test_a_bid_without_a_price_is_priced_from_its_own_ltv_and_says_so(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    result = await server.place(say.bid("r", None, ltv_usd=12, campaign="1002"))
    assert (result.status, result.source) == (
        bid_pb2.BID_STATUS_PLACED,
        bid_pb2.BID_SOURCE_FALLBACK,
    )
    assert result.bid_micros == result.uncapped_fallback_micros == 12 * USD


async def test_an_amount_that_leaves_the_window_makes_room_at_the_time_that_was_given(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(budget={"limit": "15", "window_s": 1})
    await server.place(say.bid("first", 15))
    request = say.bid("second", 15, campaign="1002")
    refusal = await say.refused(server.place(request))
    assert refusal.retry_s is not None
    assert 0 < refusal.retry_s <= 1.1
    await say.eventually(server.money, lambda money: money == {})
    assert (await server.place(request)).status == bid_pb2.BID_STATUS_PLACED


async def test_campaign_and_total_budgets_refuse_by_their_own_name(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(
        budget={"limit": "100", "campaigns": {"1001": "20"}},
        total_budget={"limit": "30", "currency": "USD"},
    )
    await server.place(say.bid("first", 15))
    refusal = await say.refused(server.place(say.bid("second", 16)))
    assert refusal.quota_subjects == ("google_ads/campaigns/1001",)
    refusal = await say.refused(server.place(say.bid("third", 16, campaign="1002")))
    assert refusal.quota_subjects == ("total",)
    assert await server.money() == {"committed": 15 * USD}


async def test_a_changed_limit_takes_effect_at_once_and_survives_a_restart(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    await server.budgets.UpdateBudget(
        budgets_pb2.UpdateBudgetRequest(
            budget_id="google_ads", limit_micros=10 * USD, reason="less"
        )
    )
    assert (await say.refused(server.place(say.bid("r", 15)))).reason == "BUDGET_EXCEEDED"
    await pause(server)
    await server.stop()
    server = await stage.serve()
    stats = await server.stats()
    assert (stats.limit_micros, stats.paused) == (10 * USD, True)


async def test_pausing_says_that_live_campaigns_go_on_spending(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    answer = await pause(server)
    assert answer.stats.paused
    assert "keep spending" in answer.notice
    await server.budgets.ResumeBudget(
        budgets_pb2.ResumeBudgetRequest(budget_id="google_ads", reason="done")
    )
    assert (await server.place(say.bid("r", 15))).status == bid_pb2.BID_STATUS_PLACED


# Campaign budgets and audiences


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
    await pause(server)
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


# Subscriptions


async def test_a_subscriber_sees_the_budget_at_once_and_then_the_settled_bid(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    watch = server.budgets.WatchBudgetStats(
        budgets_pb2.WatchBudgetStatsRequest(budget_ids=["google_ads"])
    )
    snapshot = (await watch.read()).stats
    assert (snapshot.budget_id, snapshot.committed_micros) == ("google_ads", 0)
    await server.place(say.bid("r", 15))
    seen = snapshot
    while seen.committed_micros == 0:
        following = (await asyncio.wait_for(watch.read(), 5)).stats
        assert following.sequence >= seen.sequence
        assert following.committed_micros + following.held_micros in (0, 15 * USD)
        seen = following
    assert (seen.committed_micros, seen.held_micros) == (15 * USD, 0)
    watch.cancel()
    await say.eventually(lambda: server.app.watch.subscribers, lambda n: n == 0)


@pytest.mark.xfail(reason="a snapshot or a veto shares its number with the change after it")
async def test_the_sequence_of_a_budget_grows_with_every_change(stage: Stage, say: Words) -> None:
    server = await stage.serve(budget={"limit": "20"})
    watch = server.budgets.WatchBudgetStats(budgets_pb2.WatchBudgetStatsRequest())
    seen = [(await watch.read()).stats]
    await server.place(say.bid("r", 15))
    for number in range(2):
        await say.refused(server.place(say.bid(f"veto-{number}", 15, campaign="1002")))
    while seen[-1].vetoed_count < 2:
        seen.append((await asyncio.wait_for(watch.read(), 5)).stats)
    sequences = [stats.sequence for stats in seen]
    assert sequences == sorted(set(sequences))
    watch.cancel()


async def test_a_subscriber_sees_an_amount_leave_the_window(stage: Stage, say: Words) -> None:
    server = await stage.serve(budget={"window_s": 1})
    await server.place(say.bid("r", 15))
    watch = server.budgets.WatchBudgetStats(budgets_pb2.WatchBudgetStatsRequest())
    seen = [(await watch.read()).stats.committed_micros]
    while seen[-1]:
        seen.append((await asyncio.wait_for(watch.read(), 5)).stats.committed_micros)
    assert seen == [15 * USD, 0]
    watch.cancel()


async def test_an_unknown_budget_cannot_be_watched(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    watch = server.budgets.WatchBudgetStats(
        budgets_pb2.WatchBudgetStatsRequest(budget_ids=["google_ads", "nobody's"])
    )
    refusal = await say.refused(watch.read())
    assert (refusal.reason, refusal.code) == ("NOT_FOUND", grpc.StatusCode.NOT_FOUND)


async def test_subscribers_do_not_hold_up_the_drain(stage: Stage, say: Words) -> None:
    server = await stage.serve(server={"drain_grace_s": 300})
    watches = [
        server.budgets.WatchBudgetStats(budgets_pb2.WatchBudgetStatsRequest()) for _ in range(5)
    ]
    for watch in watches:
        await watch.read()
    await asyncio.wait_for(server.stop_server(), 5)
    for watch in watches:
        assert await watch.read() is grpc.aio.EOF


# The rate limit


async def test_the_hundred_and_first_call_within_the_window_is_refused_before_the_wire(
    stage: Stage, say: Words
) -> None:
    """The default: 100 calls in 60 s, reads included. One read of the campaign and 99 changes."""
    server = await stage.serve(rate_limit={"calls": 100})
    for number in range(99):
        result = await server.place(say.bid(f"r{number}", 1, ltv_usd=2 + number / 100))
        assert result.status == bid_pb2.BID_STATUS_PLACED
    refusal = await say.refused(server.place(say.bid("one-too-many", 1, ltv_usd=5)))
    assert refusal.reason == "RATE_LIMITED"
    assert refusal.metadata["used_calls"] == "100"
    assert refusal.retry_s is not None
    assert 50 < refusal.retry_s <= 60
    assert len(stage.mutates()) == 99
    assert await server.money() == {"committed": 99 * USD}
    # A refused bid is not remembered, and nothing of it is held.
    assert not (await server.budgets.ListHolds(budgets_pb2.ListHoldsRequest())).holds


@pytest.mark.parametrize("count", [1, 50])
async def test_a_burst_at_the_limit_never_puts_more_calls_on_the_wire(
    stage: Stage, say: Words, count: int
) -> None:
    server = await stage.serve(rate_limit={"calls": 20})
    results = await asyncio.gather(
        *(
            server.place(say.bid(f"r{n}", 1, campaign=str(1001 + n % 8), ltv_usd=2 + n / 100))
            for n in range(count)
        ),
        return_exceptions=True,
    )
    placed = [r for r in results if not isinstance(r, BaseException)]
    calls = [e for e in stage.sandbox.journal() if e.method in ("Mutate", "SearchStream")]
    assert len(calls) <= 20
    assert len(stage.mutates()) == len(placed) >= 1
    assert await server.money() == {"committed": len(placed) * USD}
