"""What a caller is promised beside the budget: no call for no change, validation without a hold,
reductions that always pass, limits that hold by their own name, the rate limit.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2, budget_pb2

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words

USD = 1_000_000


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


# The rate limit


async def test_the_hundred_and_first_call_within_the_window_is_refused_before_the_wire(
    stage: Stage, say: Words
) -> None:
    """The default: 100 calls in 60 s, reads included: two reads and 98 changes."""
    server = await stage.serve(rate_limit={"calls": 100})
    for number in range(98):
        result = await server.place(say.bid(f"r{number}", 1, ltv_usd=2 + number / 100))
        assert result.status == bid_pb2.BID_STATUS_PLACED
    refusal = await say.refused(server.place(say.bid("one-too-many", 1, ltv_usd=5)))
    assert refusal.reason == "RATE_LIMITED"
    assert refusal.metadata["used_calls"] == "100"
    assert refusal.retry_s is not None
    assert 50 < refusal.retry_s <= 60
    assert len(stage.mutates()) == 98
    assert await server.money() == {"committed": 98 * USD}
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
