"""A slow platform: its breaker opens, bids are priced by the heuristic and wait, and when it has
recovered they are placed, each of them once, none above what the budget holds for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2
from smartconnectors.common.v1.campaign_pb2 import CampaignBudgetUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.connector.sandbox import FaultKind

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words

USD = 1_000_000
SLOW_MS = 1_000
SLOWER_MS = 1_100
QUICK = {"failure_threshold": 3, "slow_call_ms": SLOW_MS, "open_s": 0.6}
LASTING = {"failure_threshold": 3, "slow_call_ms": SLOW_MS, "open_s": 600}


async def open_the_breaker(stage: Stage, say: Words, server: Server) -> None:
    """Three slow bids of $10, each placed, LTV $20, $22 and $24."""
    await stage.fault(FaultKind.SLOW, times=3, delay_ms=SLOWER_MS)
    for number in range(3):
        request = say.bid(
            f"slow-{number}", 10, campaign=f"100{number + 1}", ltv_usd=20 + 2 * number
        )
        result = await server.place(request)
        assert result.status == bid_pb2.BID_STATUS_PLACED
        assert result.platform_latency.ToMilliseconds() >= SLOWER_MS


async def outcome(server: Server, request: Any) -> str:
    """What became of a request, by asking again."""
    name: str = bid_pb2.BidStatus.Name((await server.place(request)).status)
    return name.removeprefix("BID_STATUS_")


async def test_after_three_slow_calls_the_next_bid_is_deferred_at_the_heuristics_price(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(circuit_breaker=LASTING)
    await open_the_breaker(stage, say, server)
    calls = len(stage.sandbox.journal())

    result = await server.place(say.bid("waits", 15, campaign="1004", ltv_usd=60))

    assert result.status == bid_pb2.BID_STATUS_DEFERRED
    assert result.source == bid_pb2.BID_SOURCE_FALLBACK
    assert result.circuit_state == bid_pb2.CIRCUIT_STATE_OPEN
    assert result.uncapped_fallback_micros == 22 * USD  # the median of the three LTVs
    assert result.bid_micros == 15 * USD  # never above the caller's own bid
    assert not result.HasField("platform_latency")
    assert not result.HasField("placed_at")
    assert result.budget.deferred_micros == 15 * USD
    assert len(stage.sandbox.journal()) == calls
    assert await server.money() == {"committed": 30 * USD, "deferred": 15 * USD}


async def test_a_deferred_bid_without_a_price_of_its_own_is_capped_by_the_largest_ai_bid(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(circuit_breaker=LASTING)
    await open_the_breaker(stage, say, server)
    result = await server.place(say.bid("unpriced", None, campaign="1004"))
    assert (result.bid_micros, result.uncapped_fallback_micros) == (10 * USD, 22 * USD)


async def test_the_bare_formula_is_there_for_who_asks_for_it(stage: Stage, say: Words) -> None:
    server = await stage.serve(
        circuit_breaker=LASTING, fallback={"cap": "none", "multiplier": "1.5"}
    )
    await open_the_breaker(stage, say, server)
    result = await server.place(say.bid("waits", 15, campaign="1004"))
    assert result.bid_micros == result.uncapped_fallback_micros == 33 * USD


async def test_a_recovered_platform_gets_the_deferred_bids_one_by_one_as_probes(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(circuit_breaker=QUICK)
    await open_the_breaker(stage, say, server)
    waiting = [say.bid(f"waits-{n}", 5, campaign=f"100{n + 4}", ltv_usd=20) for n in range(4)]
    for request in waiting:
        assert (await server.place(request)).status == bid_pb2.BID_STATUS_DEFERRED

    await server.settled_to(committed=(30 + 20) * USD)

    for request in waiting:
        result = await server.place(request)
        assert (result.status, result.replayed) == (bid_pb2.BID_STATUS_PLACED, True)
        assert result.source == bid_pb2.BID_SOURCE_FALLBACK
        assert len(stage.mutates(request.bid.request_id)) == 1
    live = await server.place(say.bid("live", 5, campaign="1008", ltv_usd=15))
    assert live.status == bid_pb2.BID_STATUS_PLACED
    assert live.source == bid_pb2.BID_SOURCE_AI
    assert live.circuit_state == bid_pb2.CIRCUIT_STATE_CLOSED


async def test_a_slow_probe_opens_the_breaker_again_and_what_waits_goes_on_waiting(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(circuit_breaker={**QUICK, "open_s": 1.0})
    await open_the_breaker(stage, say, server)
    first = say.bid("waits-1", 5, campaign="1004", ltv_usd=20)
    second = say.bid("waits-2", 5, campaign="1005", ltv_usd=20)
    await server.place(first)
    await server.place(second)
    await stage.fault(FaultKind.SLOW, delay_ms=SLOWER_MS, method="")  # the read of the campaign
    breaker, keeper = server.core.runtimes["google_ads"].breaker, server.core.keeper
    # Seen in one look, since the breaker does not stay open for long.
    seen = await say.eventually(
        lambda: (breaker.open_count, keeper.state("google_ads").open_micros),
        lambda look: look[0] == 2,
    )
    assert seen == (2, 10 * USD)
    await server.settled_to(committed=40 * USD)
    assert len(stage.mutates("waits-1")) == len(stage.mutates("waits-2")) == 1


async def test_bids_that_wait_for_their_target_when_the_breaker_opens_are_deferred(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(circuit_breaker={**LASTING, "failure_threshold": 1})
    await server.place(say.bid("history", 10, campaign="1001", ltv_usd=20))
    await stage.fault(FaultKind.SLOW, delay_ms=1_400)
    first = asyncio.ensure_future(server.place(say.bid("first", 10, ltv_usd=25)))
    await say.eventually(lambda: stage.mutates("first"), bool)
    queued = [
        asyncio.ensure_future(server.place(say.bid(f"queued-{n}", 5 + n, ltv_usd=30)))
        for n in range(3)
    ]
    results = [await call for call in (first, *queued)]
    names = [bid_pb2.BidStatus.Name(result.status) for result in results]
    assert names == ["BID_STATUS_PLACED"] + ["BID_STATUS_DEFERRED"] * 3
    # One for each target: the newest has taken the place of the older ones.
    assert await server.money() == {"committed": 20 * USD, "deferred": 7 * USD}
    assert len(stage.mutates()) == 2


async def test_a_newer_deferred_bid_on_the_same_target_supersedes_the_older_by_the_difference(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(circuit_breaker=LASTING, budget={"limit": "50"})
    await open_the_breaker(stage, say, server)
    older = say.bid("older", 15, campaign="1004")
    newer = say.bid("newer", 20, campaign="1004")
    assert await outcome(server, older) == "DEFERRED"
    # $15 + $20 would not fit beside the $30 that are committed; the difference does.
    assert await outcome(server, newer) == "DEFERRED"
    assert await outcome(server, older) == "SUPERSEDED"
    assert await server.money() == {"committed": 30 * USD, "deferred": 20 * USD}
    refusal = await say.refused(server.place(say.bid("more", 1, campaign="1005")))
    assert refusal.reason == "BUDGET_EXCEEDED"


async def test_a_deferred_bid_that_waits_too_long_expires_and_gives_its_money_back(
    stage: Stage, say: Words
) -> None:
    """It lives as long as the budget's window: one second here."""
    server = await stage.serve(circuit_breaker=LASTING, budget={"window_s": 1})
    await open_the_breaker(stage, say, server)
    request = say.bid("waits", 15, campaign="1004", ltv_usd=60)
    assert await outcome(server, request) == "DEFERRED"
    await server.settled_to()
    assert await outcome(server, request) == "EXPIRED"
    assert stage.mutates("waits") == []


async def test_deferred_bids_survive_a_restart_as_deferred(stage: Stage, say: Words) -> None:
    server = await stage.serve(circuit_breaker=LASTING)
    await open_the_breaker(stage, say, server)
    request = say.bid("waits", 15, campaign="1004", ltv_usd=60)
    await server.place(request)
    await server.stop()
    await stage.fault(FaultKind.REFUSE)
    server = await stage.serve()
    assert await server.money() == {"committed": 30 * USD, "deferred": 15 * USD}
    assert await outcome(server, request) == "DEFERRED"
    await stage.sandbox.clear_faults()
    await server.settled_to(committed=45 * USD)
    assert len(stage.mutates("waits")) == 1


async def test_a_paused_budget_keeps_deferred_bids_from_being_placed(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(circuit_breaker=QUICK)
    await open_the_breaker(stage, say, server)
    await server.place(say.bid("waits", 15, campaign="1004"))
    asked: Any = {"budget_id": "google_ads", "reason": "audit"}
    await server.budgets.PauseBudget(budgets_pb2.PauseBudgetRequest(**asked))
    await say.eventually(server.core.runtimes["google_ads"].breaker.would_admit, bool)
    await server.core.deferred.look()
    assert stage.mutates("waits") == []
    assert (await server.money())["deferred"] == 15 * USD
    await server.budgets.ResumeBudget(budgets_pb2.ResumeBudgetRequest(**asked))
    await server.settled_to(committed=45 * USD)


async def test_neither_a_reduction_nor_a_campaign_budget_is_deferred(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(circuit_breaker=LASTING)
    await open_the_breaker(stage, say, server)
    reduction = say.bid("reduce", 5, campaign="1004", ltv_usd=50, reduce_only=True)
    refusal = await say.refused(server.place(reduction))
    assert refusal.reason == "CIRCUIT_OPEN_NO_FALLBACK"
    assert refusal.retry_s is not None
    assert 590 < refusal.retry_s <= 600
    update = CampaignBudgetUpdate(request_id="b", campaign_id="1004", daily_budget_micros=200 * USD)
    request = ads_pb2.UpdateCampaignBudgetRequest(update=update)
    refusal = await say.refused(server.ads.UpdateCampaignBudget(request))
    assert refusal.reason == "CIRCUIT_OPEN_NO_FALLBACK"
    assert await server.money() == {"committed": 30 * USD}
