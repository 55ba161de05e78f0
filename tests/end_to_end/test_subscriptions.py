"""Budgets as they change, for who watches them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage, Words

USD = 1_000_000


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
        following = (await asyncio.wait_for(watch.read(), 60)).stats
        assert following.sequence >= seen.sequence
        assert following.committed_micros + following.held_micros in (0, 15 * USD)
        seen = following
    assert (seen.committed_micros, seen.held_micros) == (15 * USD, 0)
    watch.cancel()
    await say.eventually(lambda: server.core.books.watch.subscribers, lambda n: n == 0)


async def test_the_sequence_of_a_budget_grows_with_every_change(stage: Stage, say: Words) -> None:
    server = await stage.serve(budget={"limit": "20"})
    watch = server.budgets.WatchBudgetStats(
        budgets_pb2.WatchBudgetStatsRequest(budget_ids=["google_ads"])
    )
    seen = [(await watch.read()).stats]
    await server.place(say.bid("r", 15))
    for number in range(2):
        await say.refused(server.place(say.bid(f"veto-{number}", 15, campaign="1002")))
    while seen[-1].vetoed_count < 2:
        seen.append((await asyncio.wait_for(watch.read(), 60)).stats)
    sequences = [stats.sequence for stats in seen]
    assert sequences == sorted(set(sequences))
    watch.cancel()


async def test_a_subscriber_sees_an_amount_leave_the_window(stage: Stage, say: Words) -> None:
    server = await stage.serve(budget={"window_s": 1})
    await server.place(say.bid("r", 15))
    watch = server.budgets.WatchBudgetStats(
        budgets_pb2.WatchBudgetStatsRequest(budget_ids=["google_ads"])
    )
    seen = [(await watch.read()).stats.committed_micros]
    while seen[-1]:
        seen.append((await asyncio.wait_for(watch.read(), 60)).stats.committed_micros)
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
        for _ in PLATFORMS:  # a snapshot of each budget
            await watch.read()
    await asyncio.wait_for(server.stop_server(), 60)
    for watch in watches:
        ended = await say.refused(watch.read())
        assert (ended.code, ended.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
