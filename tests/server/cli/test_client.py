"""The Python client: what a failed call says, and retries that cannot place a bid twice."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc import aio

from smartconnectors.client import Client, ServiceError, Violation, error_of
from smartconnectors.common.v1.bid_pb2 import BidRequest, BidResponse
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as google_ads_pb2
from smartconnectors.google_ads.v1.google_ads_service_pb2 import PlaceBidRequest, PlaceBidResponse
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as trade_desk_pb2

if TYPE_CHECKING:
    from tests.server.cli.conftest import CannedServer

PLACED = PlaceBidResponse(result=BidResponse(bid_micros=75_000_000))


class Pauses:
    """Sleeps that take no time and are remembered."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken_s.append(seconds)


def a_bid(request_id: str = "") -> PlaceBidRequest:
    return PlaceBidRequest(
        bid=BidRequest(request_id=request_id, campaign_id="1001", bid_micros=75_000_000)
    )


async def failure_of(server: CannedServer) -> ServiceError:
    """How a single PlaceBid fails."""
    async with Client(server.target) as client:
        with pytest.raises(aio.AioRpcError) as caught:
            await client.google_ads.PlaceBid(a_bid("r1"), timeout=60)
    return error_of(caught.value)


async def test_an_error_carries_reason_numbers_and_retry_time(server: CannedServer) -> None:
    server.refuses(
        "PlaceBid",
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "BUDGET_EXCEEDED",
        "google_ads: $300.00 does not fit",
        metadata={"limit_micros": "500000000"},
        retry_after_s=372.25,
    )
    error = await failure_of(server)
    assert error.reason == "BUDGET_EXCEEDED"
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.message == str(error) == "google_ads: $300.00 does not fit"
    assert error.metadata == {"limit_micros": "500000000"}
    assert error.retry_after_s == 372.25
    assert not error.may_retry
    assert not error.unreachable


async def test_an_error_names_every_field_that_is_wrong(server: CannedServer) -> None:
    server.refuses(
        "PlaceBid",
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_BID",
        violations={"bid.bid_micros": "must be at least 1", "bid.campaign_id": "is empty"},
    )
    error = await failure_of(server)
    assert error.violations == (
        Violation("bid.bid_micros", "must be at least 1"),
        Violation("bid.campaign_id", "is empty"),
    )
    assert error.retry_after_s is None


async def test_a_reason_of_another_domain_is_not_ours(server: CannedServer) -> None:
    server.refuses(
        "PlaceBid", grpc.StatusCode.UNAVAILABLE, "BUDGET_EXCEEDED", domain="proxy.example"
    )
    error = await failure_of(server)
    assert error.reason == ""
    assert error.unreachable


async def test_details_that_cannot_be_read_leave_code_and_message(server: CannedServer) -> None:
    server.refuses_with_raw_details("PlaceBid", b"\xff\xff\xff")
    error = await failure_of(server)
    assert (error.reason, error.code, error.message) == ("", grpc.StatusCode.INTERNAL, "no")


async def test_a_bid_without_a_request_id_gets_a_random_one_that_the_caller_sees(
    server: CannedServer,
) -> None:
    server.will("PlaceBid", PLACED)
    first, second = a_bid(), a_bid()
    async with Client(server.target) as client:
        assert await client.bid(first) == PLACED
        await client.bid(second)
    sent = [request.bid.request_id for request in server.requests]
    assert sent == [first.bid.request_id, second.bid.request_id]
    assert all(sent)
    assert len(set(sent)) == 2


@pytest.mark.parametrize("messages", [google_ads_pb2, meta_pb2, trade_desk_pb2])
async def test_a_bid_goes_to_the_platform_whose_request_it_is(
    server: CannedServer, messages: Any
) -> None:
    platform = messages.DESCRIPTOR.package.split(".")[1]
    placed = messages.PlaceBidResponse(result=BidResponse(bid_micros=75_000_000))
    server.will(f"{platform}/PlaceBid", placed)
    request = messages.PlaceBidRequest(bid=BidRequest(request_id="r1", campaign_id="1001"))
    async with Client(server.target) as client:
        assert await client.bid(request) == placed
        assert await getattr(client, platform).PlaceBid(request, timeout=60) == placed
    assert server.requests == [request, request]


async def test_what_is_no_bid_is_not_sent(server: CannedServer) -> None:
    not_a_bid: Any = meta_pb2.GetBidRequest(request_id="r1")
    async with Client(server.target) as client:
        with pytest.raises(TypeError, match="no platform's PlaceBidRequest"):
            await client.bid(not_a_bid)
    assert server.requests == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "PLATFORM_UNAVAILABLE"),
        (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE"),
        (grpc.StatusCode.UNKNOWN, "OUTCOME_UNKNOWN"),
        (grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS"),
    ],
)
async def test_what_is_safe_to_repeat_is_repeated_with_the_same_id_at_the_time_given(
    server: CannedServer, code: grpc.StatusCode, reason: str
) -> None:
    server.refuses("PlaceBid", code, reason, retry_after_s=1.5, then=PLACED)
    pauses = Pauses()
    async with Client(server.target, sleep=pauses) as client:
        assert await client.bid(a_bid()) == PLACED
    assert pauses.taken_s == [1.5]
    assert len(server.requests) == 2
    assert server.requests[0] == server.requests[1]


async def test_without_a_time_from_the_server_the_pauses_grow(server: CannedServer) -> None:
    server.refuses("PlaceBid", grpc.StatusCode.UNKNOWN, "OUTCOME_UNKNOWN")
    pauses = Pauses()
    async with Client(server.target, sleep=pauses) as client:
        with pytest.raises(ServiceError):
            await client.bid(a_bid(), max_attempts=4)
    assert len(server.requests) == 4
    for pause_s, longest_s in zip(pauses.taken_s, (0.1, 0.2, 0.4), strict=True):
        assert longest_s / 2 <= pause_s <= longest_s


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
        (grpc.StatusCode.FAILED_PRECONDITION, "PLATFORM_REJECTED"),
        (grpc.StatusCode.UNKNOWN, ""),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_a_refusal_is_final_and_not_repeated(
    server: CannedServer, code: grpc.StatusCode, reason: str
) -> None:
    server.refuses("PlaceBid", code, reason, retry_after_s=0.001)
    async with Client(server.target) as client:
        with pytest.raises(ServiceError) as caught:
            await client.bid(a_bid())
    assert caught.value.reason == reason
    assert len(server.requests) == 1


async def test_no_retry_is_started_that_would_end_after_the_callers_time(
    server: CannedServer,
) -> None:
    server.refuses(
        "PlaceBid",
        grpc.StatusCode.UNAVAILABLE,
        "CIRCUIT_OPEN_NO_FALLBACK",
        retry_after_s=30,
        then=PLACED,
    )
    pauses = Pauses()
    async with Client(server.target, timeout_s=5, sleep=pauses) as client:
        with pytest.raises(ServiceError, match="no"):
            await client.bid(a_bid())
    assert pauses.taken_s == []
    assert len(server.requests) == 1


async def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with Client(f"127.0.0.1:{port}") as client:
        with pytest.raises(ServiceError) as caught:
            await client.bid(a_bid(), max_attempts=1)
    assert caught.value.unreachable
    assert caught.value.may_retry, "nothing was sent"


def test_the_client_needs_nothing_of_the_server() -> None:
    program = (
        "import sys, smartconnectors.client\n"
        "sys.exit(any(name.startswith('smartconnectors_server') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
