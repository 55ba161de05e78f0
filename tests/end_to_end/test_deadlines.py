"""A caller that gives up changes nothing once money is held: the bid goes on to its own end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from smartconnectors.client import Client
from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.connector.sandbox import FaultKind

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage, Words

AMOUNT = 15_000_000


async def test_a_deadline_shorter_than_the_platforms_answer_still_settles_and_replays(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    await stage.fault(FaultKind.SLOW, delay_ms=4_000)
    request = say.bid("impatient", 15)

    refusal = await say.refused(server.place(request, timeout=2))
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await server.money() == {"held": AMOUNT}

    await server.settled_to(committed=AMOUNT)
    result = await server.place(request)
    assert (result.status, result.replayed) == (bid_pb2.BID_STATUS_PLACED, True)
    assert result.bid_micros == AMOUNT
    assert len(stage.mutates("impatient")) == len(stage.mutates()) == 1


async def test_a_retry_while_the_first_call_runs_joins_it(stage: Stage, say: Words) -> None:
    server = await stage.serve()
    await stage.fault(FaultKind.SLOW, delay_ms=4_000)
    request = say.bid("impatient", 15)
    await say.refused(server.place(request, timeout=2))

    result = await server.place(request)
    assert (result.status, result.replayed) == (bid_pb2.BID_STATUS_PLACED, True)
    assert len(stage.mutates()) == 1
    assert await server.money() == {"committed": AMOUNT}


async def test_a_caller_that_hangs_up_before_money_is_held_ends_the_call(
    stage: Stage, say: Words
) -> None:
    """It waits for its target, which another bid has, so nothing is held for it yet."""
    server = await stage.serve()
    await stage.fault(FaultKind.SLOW, delay_ms=600)
    first = asyncio.ensure_future(server.place(say.bid("first", 15)))
    await say.eventually(lambda: stage.mutates("first"), bool)

    await say.refused(server.place(say.bid("waits", 16), timeout=0.1))
    await first
    await say.eventually(lambda: len(server.core.runtimes["google_ads"].targets), lambda n: n == 0)
    assert len(stage.mutates()) == 1
    assert await server.money() == {"committed": AMOUNT}
    # Nothing is remembered of it, so the same id may be used again.
    assert (await server.place(say.bid("waits", 17))).status == bid_pb2.BID_STATUS_PLACED


async def test_a_caller_that_cancels_after_money_is_held_changes_nothing(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    await stage.fault(FaultKind.SLOW, delay_ms=300)
    call = asyncio.ensure_future(server.place(say.bid("gone", 15)))
    await say.eventually(lambda: stage.mutates("gone"), bool)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.settled_to(committed=AMOUNT)
    assert len(stage.mutates()) == 1


async def test_the_client_library_asks_again_until_a_bid_in_doubt_is_known(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(timeout_ms=300)
    await stage.fault(FaultKind.APPLY_THEN_HANG)
    async with Client(server.address) as client:
        answer = await client.bid(say.bid("", 15))
    assert answer.result.status == bid_pb2.BID_STATUS_PLACED
    assert answer.result.replayed
    assert len(stage.mutates()) == 1
    assert await server.money() == {"committed": AMOUNT}


async def test_the_client_library_places_a_bid_once_across_a_restart(
    stage: Stage, say: Words
) -> None:
    first = await stage.process(timeout_ms=20_000)
    port = first.address.rpartition(":")[2]
    await stage.fault(FaultKind.APPLY_THEN_HANG)
    async with Client(first.address, timeout_s=30) as client:
        answer = asyncio.ensure_future(client.bid(say.bid("again", 15), max_attempts=50))
        await say.eventually(lambda: stage.mutates("again"), bool)
        await first.kill()
        await stage.serve(timeout_ms=300, server={"grpc_port": int(port)})
        result = (await answer).result
    assert (result.status, result.replayed) == (bid_pb2.BID_STATUS_PLACED, True)
    assert len(stage.mutates()) == 1
