"""A platform without a wire: plans from the request alone and accepts at once.

What is left is the chain: everything that this server adds to a bid.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors.google_ads.v1 import google_ads_service_pb2_grpc
from smartconnectors_server.call import Call, Plan, Priced
from smartconnectors_server.connector import (
    Context,
    Defaults,
    Finding,
    OneByOne,
    Options,
    Platform,
    Sent,
)
from smartconnectors_server.connector.sandbox import Sandbox


class NullOptions(Options):
    """Nothing to set."""


class NullConnector(OneByOne):
    """Implements `Connector` for PlaceBid without any I/O."""

    def __init__(self, context: Context) -> None:
        del context

    async def connect(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Nothing to close."""

    async def plan(self, request: Message, priced: Priced) -> Plan:
        return Plan(target=self.offline_target(request), amount_micros=priced.bid_micros)

    def offline_target(self, request: Message) -> str:
        assert isinstance(request, pb.PlaceBidRequest)
        return f"campaigns/{request.bid.campaign_id}"

    async def lookup(self, sent: Sent) -> Finding:
        del sent
        return Finding.APPLIED

    async def PlaceBid(  # noqa: N802 - the name on the wire
        self, request: pb.PlaceBidRequest, call: Call
    ) -> pb.PlaceBidResponse:
        """Accepts."""
        del call
        response = pb.PlaceBidResponse()
        response.result.platform_bid_id = f"campaigns/{request.bid.campaign_id}"
        return response


def _no_sandbox() -> Sandbox:
    raise AssertionError("an endpoint is configured, so no sandbox is asked for")


def _register(connector: Any, server: Any) -> None:
    google_ads_service_pb2_grpc.add_GoogleAdsServiceServicer_to_server(connector, server)


PLATFORM = Platform(
    name="google_ads",
    title="Nothing",
    service=pb.DESCRIPTOR.services_by_name["GoogleAdsService"],
    defaults=Defaults(
        budget_micros=10**15,
        rate_limit_calls=10_000_000,
        rate_limit_window_s=60.0,
        fallback_multiplier_milli=1000,
    ),
    options=NullOptions,
    environment={},
    budget_variable="BENCH_BUDGET",
    endpoint_variable="BENCH_ENDPOINT",
    missing_credentials=lambda _: ("BENCH_CREDENTIALS",),
    connector=NullConnector,
    register=_register,
    sandbox=_no_sandbox,
)
