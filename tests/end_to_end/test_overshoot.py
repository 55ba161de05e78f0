"""The one promise: however many bid at once, no more is committed than the budget."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from smartconnectors.common.v1 import bid_pb2

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words

CALLERS = 100
BID_MICROS = 15_000_000
LIMIT_MICROS = 1_000_000_000
CAMPAIGNS = tuple(str(1001 + number) for number in range(10))
ROUNDS_ALWAYS = 3
ROUNDS_SOAK = 50


class Table:
    """What this test sent: its own record, joined to the platform's by the ROAS on the wire."""

    def __init__(self, say: Words) -> None:
        self.requests: dict[str, Any] = {}
        self.amount_by_roas: dict[float, tuple[str, int]] = {}
        for number in range(CALLERS):
            request_id, roas = f"caller-{number}", 2 + number / 100
            request = say.bid(
                request_id,
                BID_MICROS / 1e6,
                campaign=CAMPAIGNS[number % len(CAMPAIGNS)],
                ltv_usd=BID_MICROS / 1e6 * roas,
            )
            self.requests[request_id] = request
            self.amount_by_roas[round(roas, 6)] = (request_id, BID_MICROS)


async def bid_all(server: Server, say: Words, table: Table) -> tuple[set[str], set[str]]:
    """(who was placed, who was refused for the budget)."""
    placed, vetoed = set(), set()

    async def one(request_id: str) -> None:
        try:
            result = await server.place(table.requests[request_id])
        except grpc.aio.AioRpcError as error:
            if say.refusal_of(error).reason != "BUDGET_EXCEEDED":
                raise
            vetoed.add(request_id)
        else:
            assert result.status == bid_pb2.BID_STATUS_PLACED
            placed.add(request_id)

    await asyncio.gather(*(one(request_id) for request_id in table.requests))
    return placed, vetoed


async def one_round(stage: Stage, say: Words, number: int) -> None:
    await stage.sandbox.reset()
    server = await stage.serve(state=f"round-{number}")
    table = Table(say)
    placed, vetoed = await bid_all(server, say, table)
    stats = await server.stats()
    await server.stop()

    at_the_platform = [
        table.amount_by_roas[round(entry.facts["target_roas"], 6)] for entry in stage.mutates()
    ]
    assert {request_id for request_id, _ in at_the_platform} == placed
    assert len(at_the_platform) == len(placed) == 66
    assert sum(amount for _, amount in at_the_platform) == 990_000_000 <= LIMIT_MICROS
    assert len(vetoed) == 34
    assert (stats.committed_micros, stats.held_micros) == (990_000_000, 0)
    assert (stats.accepted_count, stats.vetoed_count) == (66, 34)


@pytest.mark.parametrize("number", range(ROUNDS_ALWAYS))
async def test_a_hundred_callers_at_once_never_pass_the_budget(
    stage: Stage, say: Words, number: int
) -> None:
    await one_round(stage, say, number)


@pytest.mark.soak
async def test_fifty_rounds_of_a_hundred_callers_never_pass_the_budget(
    stage: Stage, say: Words
) -> None:
    for number in range(ROUNDS_SOAK):
        await one_round(stage, say, number)


async def test_fifty_deliveries_of_one_request_are_one_dispatch_and_one_answer(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    request = say.bid("once", 15)

    results = await asyncio.gather(*(server.place(request) for _ in range(50)))

    assert {result.status for result in results} == {bid_pb2.BID_STATUS_PLACED}
    assert {(r.bid_micros, r.platform_bid_id, r.placed_at.ToNanoseconds()) for r in results} == {
        (15_000_000, results[0].platform_bid_id, results[0].placed_at.ToNanoseconds())
    }
    assert sum(not result.replayed for result in results) == 1
    assert len(stage.mutates("once")) == len(stage.mutates()) == 1
    assert await server.money() == {"committed": 15_000_000}
    assert len(await server.audited("once", "reserve", "settle")) == 2
