"""Behind a proxy: in front of servers that do not share a ledger, each try of one request has to
reach the same of them, and a server that stops is no answer.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import grpc
import pytest
from tests.server.cli.conftest import Refusal

from smartconnectors import aio, sync
from smartconnectors.client import PIN, Client, pin_of
from smartconnectors.common.v1.bid_pb2 import BidRequest
from smartconnectors.errors import ServiceError
from smartconnectors.google_ads.v1.google_ads_service_pb2 import (
    PlaceBidRequest,
    PlaceBidResponse,
    PlaceBidsResponse,
)

if TYPE_CHECKING:
    from tests.server.cli.conftest import CannedServer


def a_bid(request_id: str) -> PlaceBidRequest:
    return PlaceBidRequest(bid=BidRequest(request_id=request_id, campaign_id="1001"))


async def no_sleep(seconds: float) -> None:
    del seconds


def pins(server: CannedServer) -> list[str]:
    return [metadata[PIN] for metadata in server.metadata]


async def test_every_try_of_a_bid_carries_its_id(server: CannedServer) -> None:
    server.refuses("PlaceBid", grpc.StatusCode.UNAVAILABLE, "", then=PlaceBidResponse())
    async with aio.connect(server.target, sleep=no_sleep) as service:
        await service.bid(a_bid("order-1"))
    assert pins(server) == ["order-1", "order-1"]


async def test_the_small_client_sends_it_too(server: CannedServer) -> None:
    server.will("PlaceBid", PlaceBidResponse())
    async with Client(server.target) as client:
        await client.bid(a_bid("order-1"))
    assert pins(server) == ["order-1"]


def test_callers_without_an_event_loop_send_it_too(server: CannedServer) -> None:
    server.refuses("PlaceBid", grpc.StatusCode.UNAVAILABLE, "", then=PlaceBidResponse())
    with sync.connect(server.target, sleep=lambda _: None) as service:
        service.bid(a_bid("order-1"))
    assert pins(server) == ["order-1", "order-1"]


async def test_a_batch_is_pinned_by_its_first_bid(server: CannedServer) -> None:
    server.will("PlaceBids", PlaceBidsResponse())
    batch = [a_bid("order-1"), a_bid("order-2")]
    async with aio.connect(server.target) as service:
        await service.bids(batch)
    with sync.connect(server.target) as waiting:
        waiting.bids(batch)
    assert pins(server) == ["order-1", "order-1"]


async def test_a_call_that_met_a_server_just_as_it_stopped_is_tried_again(
    server: CannedServer,
) -> None:
    stopping = Refusal(grpc.StatusCode.CANCELLED, "")
    server.will("PlaceBid", stopping, PlaceBidResponse())
    async with aio.connect(server.target, sleep=no_sleep) as service:
        await service.bid(a_bid("order-1"))
    server.will("PlaceBid", stopping, PlaceBidResponse())
    with sync.connect(server.target, sleep=lambda _: None) as waiting:
        waiting.bid(a_bid("order-2"))
    assert pins(server) == ["order-1", "order-1", "order-2", "order-2"]


def test_closing_a_connection_ends_a_bid_that_is_under_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service = sync.connect(f"127.0.0.1:{silent.getsockname()[1]}", sleep=lambda _: None)

        def close_when_asked() -> None:
            connection, _ = silent.accept()
            service.close()
            connection.close()

        closing = threading.Thread(target=close_when_asked)
        closing.start()
        with pytest.raises(ServiceError):
            service.bid(a_bid("order-1"))
        closing.join()


@pytest.mark.parametrize("refused", ["", "zwölf", "a b", "x" * 65, "line\n"])
def test_an_id_that_the_service_refuses_is_left_to_the_service(refused: str) -> None:
    assert pin_of(a_bid(refused)) == []
