"""Calls that send their headers and never their message."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.security.raw_http2 import HalfOpen
from tests.server.access.conftest import Servers
from tests.server.access.stage import Caller, code_of

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.budgets.v1.budget_service_pb2_grpc import BudgetServiceStub
from smartconnectors_server.clock import ManualClock

PLACE = "/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid"
LIST = "/smartconnectors.budgets.v1.BudgetService/ListBudgetStats"
WATCH = "/smartconnectors.budgets.v1.BudgetService/WatchBudgetStats"
STREAM = "/smartconnectors.google_ads.v1.GoogleAdsService/StreamBids"
CHECK = "/grpc.health.v1.Health/Check"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
WITHIN_S = 60
PART_OF_A_MESSAGE = b"\x00\x00\x00\x03\xe8"
"""Says that 1,000 bytes follow."""


async def answers(address: str, token: str, calls: int = 20) -> list[grpc.StatusCode]:
    """How calls of a known caller end."""
    async with Caller(address, token) as caller:
        method = caller.channel.unary_unary(LIST)
        return [
            await code_of(method(b"", metadata=caller.metadata, timeout=WITHIN_S))
            for _ in range(calls)
        ]


async def time_passes(address: str, token: str, clock: ManualClock, attacker: HalfOpen) -> None:
    """Until the server has ended five calls. It may take calls up in any order, so more than once
    those that have been taken up become late.
    """
    async with asyncio.timeout(WITHIN_S):
        while attacker.ended < 5:
            clock.advance(11)
            await answers(address, token, 1)


async def attacked(stack: AsyncExitStack, address: str, connections: int) -> list[HalfOpen]:
    return [await stack.enter_async_context(HalfOpen(address)) for _ in range(connections)]


async def taken_up(attackers: list[HalfOpen], calls: int) -> None:
    """Returns when the server, which runs in this loop, has a task for each of their calls, or has
    ended it: gRPC hands it one call after another.
    """
    async with asyncio.timeout(WITHIN_S):
        while True:
            running = sum("HandleExceptions" in task.get_name() for task in asyncio.all_tasks())
            if running + sum(one.ended for one in attackers) >= calls:
                return
            for _ in range(500):
                await asyncio.sleep(0)


@pytest.mark.parametrize("path", [PLACE, STREAM, CHECK, HEALTH_WATCH])
async def test_ten_thousand_half_open_calls_without_a_token_shut_no_known_caller_out(
    serve: Servers, guarded: dict[str, Any], path: str
) -> None:
    address = await serve(access=guarded)
    async with AsyncExitStack() as stack:
        attackers = await attacked(stack, address, 4)
        for attacker in attackers:
            await attacker.begin(2_513, path)
        await taken_up(attackers, 10_052)
        assert set(await answers(address, "bid")) == {grpc.StatusCode.OK}


@pytest.mark.parametrize("path", [PLACE, LIST, WATCH, STREAM, REFLECTION, "/no.Such/Method"])
@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_caller_that_is_not_known_is_refused_by_the_headers_alone(
    serve: Servers, guarded: dict[str, Any], path: str, token: str
) -> None:
    address = await serve(access=guarded)
    async with HalfOpen(address) as attacker, asyncio.timeout(WITHIN_S):
        await attacker.begin(3, path, token)
        await attacker.until_ended(3)


async def test_a_caller_without_the_role_is_refused_by_the_headers_alone(
    serve: Servers, guarded: dict[str, Any]
) -> None:
    address = await serve(access=guarded)
    async with HalfOpen(address) as attacker, asyncio.timeout(WITHIN_S):
        await attacker.begin(3, PLACE, "read")
        await attacker.until_ended(3)


@pytest.mark.parametrize("data", [b"", PART_OF_A_MESSAGE], ids=["no message", "part of one"])
@pytest.mark.parametrize("path", [PLACE, WATCH, CHECK, HEALTH_WATCH])
async def test_a_call_whose_message_is_late_is_ended(
    serve: Servers, guarded: dict[str, Any], clock: ManualClock, path: str, data: bytes
) -> None:
    address = await serve(access=guarded)
    async with HalfOpen(address) as attacker:
        await attacker.begin(5, path, "bid", data)
        await answers(address, "bid", 20)
        assert attacker.ended == 0
        await time_passes(address, "bid", clock, attacker)


async def test_a_late_message_ends_a_call_without_access_control_too(
    serve: Servers, clock: ManualClock
) -> None:
    address = await serve()
    async with HalfOpen(address) as attacker:
        await attacker.begin(5, PLACE)
        await time_passes(address, "", clock, attacker)


async def test_a_late_call_is_told_that_nothing_was_done(
    serve: Servers, guarded: dict[str, Any], clock: ManualClock
) -> None:
    address = await serve(access=guarded)
    async with Caller(address, "bid") as caller:
        call = caller.channel.stream_unary(PLACE)(metadata=caller.metadata)
        await call.wait_for_connection()
        while not call.done():
            clock.advance(11)
            await answers(address, "bid", 1)
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "did not arrive within 10 s" in await call.details()


@pytest.mark.parametrize("path", [LIST, STREAM])
async def test_half_open_calls_of_a_known_caller_shut_no_operator_out(
    serve: Servers, guarded: dict[str, Any], path: str
) -> None:
    address = await serve(access=guarded)
    async with AsyncExitStack() as stack:
        attackers = await attacked(stack, address, 4)
        for attacker in attackers:
            await attacker.begin(2_513, path, "bid")
        await taken_up(attackers, 10_052)
        assert set(await answers(address, "operate")) == {grpc.StatusCode.OK}


async def test_when_every_slot_is_taken_a_call_without_a_message_yields_its_own(
    serve: Servers, guarded: dict[str, Any], clock: ManualClock
) -> None:
    """Only operators can take every slot: other callers have no more than their share."""
    address = await serve(access=guarded)
    async with AsyncExitStack() as stack:
        attackers = await attacked(stack, address, 4)
        for attacker in attackers:
            await attacker.begin(2_513, LIST, "operate")
        await taken_up(attackers, 10_052)
        assert await answers(address, "operate", 1) == [grpc.StatusCode.RESOURCE_EXHAUSTED]
        clock.advance(2)
        assert set(await answers(address, "operate")) == {grpc.StatusCode.OK}


async def test_a_stream_that_has_bid_yields_to_nobody(
    serve: Servers, guarded: dict[str, Any], clock: ManualClock
) -> None:
    address = await serve(access=guarded)
    async with Caller(address, "bid") as caller, AsyncExitStack() as stack:
        stream = caller.channel.stream_stream(STREAM)(metadata=caller.metadata)
        await stream.write(b"")
        assert await stream.read()
        attackers = await attacked(stack, address, 4)
        for attacker in attackers:
            await attacker.begin(2_513, STREAM, "bid")
        await taken_up(attackers, 10_052)
        clock.advance(2)
        assert set(await answers(address, "operate", 40)) == {grpc.StatusCode.OK}
        await stream.write(b"")
        assert await stream.read()


async def test_health_is_watched_by_a_bounded_number_of_unknown_callers(
    serve: Servers, guarded: dict[str, Any]
) -> None:
    address = await serve(access=guarded)
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(100)]
        for watch in watches:
            await watch.read()
        one_more = stub.Watch(health_pb2.HealthCheckRequest())
        assert await one_more.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        known = stub.Watch(
            health_pb2.HealthCheckRequest(), metadata=(("authorization", "Bearer read"),)
        )
        await known.read()


async def test_thousands_of_calls_with_a_wrong_token_are_each_told_so(
    serve: Servers, guarded: dict[str, Any]
) -> None:
    address = await serve(access=guarded)
    async with Caller(address, "wrong") as caller:
        method = caller.channel.unary_unary(LIST)
        codes = await asyncio.gather(
            *(
                code_of(method(b"", metadata=caller.metadata, timeout=WITHIN_S))
                for _ in range(2_500)
            )
        )
    assert set(codes) == {grpc.StatusCode.UNAUTHENTICATED}


async def test_a_token_that_is_revoked_before_the_message_comes_counts_no_more(
    serve: Servers, guarded: dict[str, Any], clock: ManualClock, tokens: Any
) -> None:
    address = await serve(access=guarded)
    async with Caller(address, "operate") as caller:
        request = budgets_pb2.PauseBudgetRequest(budget_id="all", reason="why")
        path = "/smartconnectors.budgets.v1.BudgetService/PauseBudget"
        call = caller.channel.stream_unary(path)(metadata=caller.metadata)
        await call.wait_for_connection()
        await answers(address, "read")
        tokens.write_text(tokens.read_text().partition("operate")[0].rpartition("[[tokens]]")[0])
        clock.advance(2)
        await call.write(request.SerializeToString())
        await call.done_writing()
        assert await code_of(call) is grpc.StatusCode.UNAUTHENTICATED
    async with Caller(address, "read") as caller:
        stub: Any = BudgetServiceStub(caller.channel)
        listed = await stub.ListBudgetStats(
            budgets_pb2.ListBudgetStatsRequest(), metadata=caller.metadata
        )
        assert not any(one.paused for one in listed.stats)
