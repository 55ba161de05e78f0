"""A small asynchronous client: one channel, typed stubs, errors with their reasons, safe retries.

    async with Client("127.0.0.1:50051") as client:
        answer = await client.bid(
            PlaceBidRequest(
                bid=BidRequest(
                    campaign_id="1001",
                    bid_micros=75_000_000,
                    predicted_ltv_micros=300_000_000,
                )
            )
        )

Needs grpcio, protobuf and googleapis-common-protos, and nothing of the server.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from smartconnectors.budgets.v1.budget_service_pb2_grpc import BudgetServiceStub
from smartconnectors.credentials import clean_token, interceptors, stays_on_this_machine
from smartconnectors.errors import DOMAIN, STATUS_DETAILS, ServiceError, Violation, error_of
from smartconnectors.google_ads.v1.google_ads_service_pb2_grpc import GoogleAdsServiceStub
from smartconnectors.meta.v1.meta_service_pb2_grpc import MetaServiceStub
from smartconnectors.trade_desk.v1.trade_desk_service_pb2_grpc import TradeDeskServiceStub

if TYPE_CHECKING:
    from smartconnectors.budgets.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub
    from smartconnectors.google_ads.v1 import google_ads_service_pb2 as google_ads_pb2
    from smartconnectors.google_ads.v1.google_ads_service_pb2_grpc import GoogleAdsServiceAsyncStub
    from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
    from smartconnectors.meta.v1.meta_service_pb2_grpc import MetaServiceAsyncStub
    from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as trade_desk_pb2
    from smartconnectors.trade_desk.v1.trade_desk_service_pb2_grpc import TradeDeskServiceAsyncStub

__all__ = [
    "DOMAIN",
    "STATUS_DETAILS",
    "Client",
    "ServiceError",
    "Violation",
    "error_of",
    "new_request_id",
]

ATTEMPTS = 5
"""How often a bid is tried, unless something else is said."""
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0

PIN = "x-request-id"
"""Metadata that a proxy pins by: a bid and its retries, all with the request id in it, reach the
same server.
"""

_HEADER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LOOPBACK = ("127.", "localhost:", "[::1]:")

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
}
"""Calls go round the servers of a target, and past those that are draining."""

_CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    # gRPC's own retries would hide the reason and the retry time that the service sends.
    ("grpc.enable_retries", 0),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # An answer is never too large: the bids in it have been placed.
    ("grpc.max_receive_message_length", -1),
)


class Client:
    """A connection to the service. Use it as an asynchronous context manager.

    Attributes:
        channel: the gRPC channel, for services that this class has no attribute for.
        google_ads: the stub of GoogleAdsService. Its calls raise `aio.AioRpcError`; see `error_of`.
        meta: the stub of MetaService, likewise.
        trade_desk: the stub of TradeDeskService, likewise.
        budgets: the stub of BudgetService, likewise.
    """

    channel: aio.Channel
    google_ads: GoogleAdsServiceAsyncStub
    meta: MetaServiceAsyncStub
    trade_desk: TradeDeskServiceAsyncStub
    budgets: BudgetServiceAsyncStub

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str = "",
        timeout_s: float = 10.0,
        retries: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Args:
        target: `host:port`.
        credentials: None: a plain-text connection. `smartconnectors.credentials.tls` makes others.
        token: shown with every call, when the server wants to know who calls.
        timeout_s: how long `bid` may take, its retries included.
        retries: False leaves every retry of a bid to the caller. It is for a target with several
            servers that do not share a ledger, and no proxy that pins by `PIN`: the request id is
            known to the one that took it, and to no other.
        sleep: how `bid` waits between attempts.

        Raises:
            ValueError: a token would go to another machine in plain text, or is no token.
        """
        if token:
            token = clean_token(token)
            if credentials is None and not stays_on_this_machine(target):
                raise ValueError(f"a token is not sent to {target} in plain text")
        self._interceptors = interceptors(token) if token else []
        self._target = target
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._attempts = ATTEMPTS if retries else 1
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        options = channel_options(self._target)
        if self._credentials is None:
            self.channel = aio.insecure_channel(
                self._target, options, interceptors=self._interceptors
            )
        else:
            self.channel = aio.secure_channel(
                self._target, self._credentials, options, interceptors=self._interceptors
            )
        self.google_ads = GoogleAdsServiceStub(self.channel)
        self.meta = MetaServiceStub(self.channel)
        self.trade_desk = TradeDeskServiceStub(self.channel)
        self.budgets = BudgetServiceStub(self.channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.channel.close()

    def method(self, method: MethodDescriptor) -> Any:
        """The unary call of any method by its descriptor: `await call(request, timeout=seconds)`.
        It raises `aio.AioRpcError`.
        """
        request_class = GetMessageClass(method.input_type)
        response_class = GetMessageClass(method.output_type)
        return self.channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )

    @overload
    async def bid(
        self,
        request: google_ads_pb2.PlaceBidRequest,
        *,
        timeout_s: float | None = None,
        max_attempts: int | None = None,
    ) -> google_ads_pb2.PlaceBidResponse: ...

    @overload
    async def bid(
        self,
        request: meta_pb2.PlaceBidRequest,
        *,
        timeout_s: float | None = None,
        max_attempts: int | None = None,
    ) -> meta_pb2.PlaceBidResponse: ...

    @overload
    async def bid(
        self,
        request: trade_desk_pb2.PlaceBidRequest,
        *,
        timeout_s: float | None = None,
        max_attempts: int | None = None,
    ) -> trade_desk_pb2.PlaceBidResponse: ...

    async def bid(
        self, request: Any, *, timeout_s: float | None = None, max_attempts: int | None = None
    ) -> Any:
        """Places a bid, and places it once however often it has to ask.

        `request` is the PlaceBidRequest of any platform; the answer is that platform's. A request
        without an id gets a random one, in place, so that the caller can log it or ask again. Where
        that is safe, the call is repeated with the same id, at the time that the service gave,
        until an answer comes, `max_attempts` (default: 5, or 1 for a client without retries) are
        used up or `timeout_s` (default: the client's) would pass.

        Raises:
            ServiceError: of the last attempt.
            TypeError: `request` is no platform's PlaceBidRequest.
        """
        place = self.method(place_bid_of(request))
        if not request.bid.request_id:
            request.bid.request_id = new_request_id()
        now = asyncio.get_running_loop().time
        deadline = now() + (self._timeout_s if timeout_s is None else timeout_s)
        attempts = max_attempts or self._attempts
        pin = pin_of(request)
        attempt = 1
        while True:
            try:
                return await place(request, timeout=max(0.0, deadline - now()), metadata=pin)
            except aio.AioRpcError as rpc_error:
                error = error_of(rpc_error)
            except ServiceError as said:
                error = said
            pause_s = pause_before(error, attempt)
            if not error.may_retry or attempt >= attempts or now() + pause_s >= deadline:
                raise error
            attempt += 1
            await self._sleep(pause_s)


def channel_options(target: str) -> list[tuple[str, int | str]]:
    """The options of a channel to this target."""
    options = list(_CHANNEL_OPTIONS)
    if target.startswith(_LOOPBACK):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy's loopback is another machine's
    return options


def place_bid_of(request: Message) -> Any:
    """The PlaceBid method that takes this request: the one of the file that declares it."""
    for service in request.DESCRIPTOR.file.services_by_name.values():
        method = service.methods_by_name.get("PlaceBid")
        if method is not None and method.input_type == request.DESCRIPTOR:
            return method
    raise TypeError(f"{request.DESCRIPTOR.full_name} is no platform's PlaceBidRequest")


def pin_of(request: Any) -> list[tuple[str, str]]:
    """The metadata of a bid that a proxy pins by; none for an id that the service refuses."""
    request_id = request.bid.request_id
    return [(PIN, request_id)] if _HEADER.fullmatch(request_id) else []


def new_request_id() -> str:
    """A random idempotency key."""
    return uuid.uuid4().hex


def pause_before(error: ServiceError, attempt: int) -> float:
    """How long to wait, in seconds, after attempt number `attempt` failed so."""
    if error.retry_after_s is not None:
        return error.retry_after_s
    longest = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (attempt - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret
