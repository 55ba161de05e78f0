"""The service for callers without an event loop; threads may share a connection.

    with sync.connect("127.0.0.1:50051") as service:
        answer = service.bid(
            PlaceBidRequest(bid=BidRequest(campaign_id="1001", bid_micros=to_micros("75.00")))
        )

Every call raises the errors of `smartconnectors.errors`. Stubs answer when the call is over, also
by their `future` method.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from smartconnectors._sync_calls import Interceptor
from smartconnectors.batches import answers_of, request_of
from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.budgets.v1.budget_service_pb2_grpc import BudgetServiceStub
from smartconnectors.client import (
    ATTEMPTS,
    channel_options,
    new_request_id,
    pause_before,
    pin_of,
    place_bid_of,
)
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors.credentials import clean_token, stays_on_this_machine
from smartconnectors.errors import ServiceError
from smartconnectors.google_ads.v1.google_ads_service_pb2_grpc import GoogleAdsServiceStub
from smartconnectors.meta.v1.meta_service_pb2_grpc import MetaServiceStub
from smartconnectors.trade_desk.v1.trade_desk_service_pb2_grpc import TradeDeskServiceStub

if TYPE_CHECKING:
    from smartconnectors.google_ads.v1 import google_ads_service_pb2 as google_ads_pb2
    from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
    from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as trade_desk_pb2


def connect(
    target: str = "127.0.0.1:50051",
    *,
    credentials: grpc.ChannelCredentials | None = None,
    token: str = "",
    timeout_s: float = 10.0,
    retries: bool = True,
    sleep: Callable[[float], None] = time.sleep,  # noqa: TID251 - there is no event loop here
    clock: Callable[[], float] = time.monotonic,  # noqa: TID251 - the injected one's default
) -> Connection:
    """A connection, to be used as a context manager.

    Args:
        target: `host:port`.
        credentials: None: plain text. `smartconnectors.credentials.tls` makes others.
        token: shown with every call, when the server wants to know who calls.
        timeout_s: how long `bid` may take, its retries included, and `bids`.
        retries: False leaves every retry of a bid to the caller. It is for a target with several
            servers that do not share a ledger, and no proxy that pins by `client.PIN`: the request
            id is known to the one that took it, and to no other.
        sleep: how retries wait.
        clock: seconds that only grow.

    Raises:
        ValueError: a token would go to another machine in plain text, or is no token.
    """
    if token:
        token = clean_token(token)
        if credentials is None and not stays_on_this_machine(target):
            raise ValueError(f"a token is not sent to {target} in plain text")
    options = channel_options(target)
    if credentials is None:
        channel = grpc.insecure_channel(target, options)
    else:
        channel = grpc.secure_channel(target, credentials, options)
    attempts = ATTEMPTS if retries else 1
    return Connection(
        channel, token=token, timeout_s=timeout_s, attempts=attempts, sleep=sleep, clock=clock
    )


class Connection:
    """A connection to the service; `connect` makes it.

    Attributes:
        google_ads: the stub of GoogleAdsService.
        meta: the stub of MetaService.
        trade_desk: the stub of TradeDeskService.
        budgets: budgets, also as they change.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        token: str,
        timeout_s: float,
        attempts: int,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        self._plain_channel = channel
        self._channel = grpc.intercept_channel(channel, Interceptor(token))
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._sleep = sleep
        self._clock = clock
        self._closed = False
        self.google_ads = GoogleAdsServiceStub(self._channel)
        self.meta = MetaServiceStub(self._channel)
        self.trade_desk = TradeDeskServiceStub(self._channel)
        self.budgets = Budgets(BudgetServiceStub(self._channel), sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it. Calls under way fail; a bid that was sent goes on, and a retry tells."""
        self._closed = True
        self._plain_channel.close()

    @overload
    def bid(
        self,
        request: google_ads_pb2.PlaceBidRequest,
        *,
        timeout_s: float | None = None,
        max_attempts: int | None = None,
    ) -> google_ads_pb2.PlaceBidResponse: ...

    @overload
    def bid(
        self,
        request: meta_pb2.PlaceBidRequest,
        *,
        timeout_s: float | None = None,
        max_attempts: int | None = None,
    ) -> meta_pb2.PlaceBidResponse: ...

    @overload
    def bid(
        self,
        request: trade_desk_pb2.PlaceBidRequest,
        *,
        timeout_s: float | None = None,
        max_attempts: int | None = None,
    ) -> trade_desk_pb2.PlaceBidResponse: ...

    def bid(
        self, request: Any, *, timeout_s: float | None = None, max_attempts: int | None = None
    ) -> Any:
        """Places a bid, and places it once however often it has to ask; as `Client.bid` does.

        Raises:
            ServiceError: of the last attempt.
            TypeError: `request` is no platform's PlaceBidRequest.
        """
        place = self._method(place_bid_of(request))
        if not request.bid.request_id:
            request.bid.request_id = new_request_id()
        deadline = self._clock() + (self._timeout_s if timeout_s is None else timeout_s)
        attempts = max_attempts or self._attempts
        pin = pin_of(request)
        attempt = 1
        while True:
            try:
                return place(request, timeout=max(0.0, deadline - self._clock()), metadata=pin)
            except ServiceError as error:
                pause_s = pause_before(error, attempt)
                too_late = self._clock() + pause_s >= deadline
                over = self._closed or attempt >= attempts or too_late
                if over or not error.may_retry:
                    raise
            attempt += 1
            self._sleep(pause_s)

    @overload
    def bids(
        self, requests: Sequence[google_ads_pb2.PlaceBidRequest]
    ) -> list[google_ads_pb2.PlaceBidResponse | ServiceError]: ...

    @overload
    def bids(
        self, requests: Sequence[meta_pb2.PlaceBidRequest]
    ) -> list[meta_pb2.PlaceBidResponse | ServiceError]: ...

    @overload
    def bids(
        self, requests: Sequence[trade_desk_pb2.PlaceBidRequest]
    ) -> list[trade_desk_pb2.PlaceBidResponse | ServiceError]: ...

    def bids(self, requests: Sequence[Any]) -> list[Any]:
        """Places up to 1,000 bids on one platform; as `aio.Connection.bids` does."""
        method, request = request_of(requests)
        pin = pin_of(requests[0])
        return answers_of(self._method(method)(request, timeout=self._timeout_s, metadata=pin))

    def _method(self, method: MethodDescriptor) -> Any:
        return self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )


class Budgets:
    """Budgets.

    Attributes:
        stub: the stub of BudgetService, for what this class has no method for.
    """

    def __init__(self, stub: BudgetServiceStub, sleep: Callable[[float], None]) -> None:
        self.stub = stub
        self._sleep = sleep

    def get(self, budget_id: str) -> BudgetStats:
        """One budget now. Raises NotFound when there is none of this name."""
        request = budgets_pb2.GetBudgetStatsRequest(budget_id=budget_id)
        return self.stub.GetBudgetStats(request).stats

    def all(self) -> list[BudgetStats]:
        """All budgets now, by id."""
        return list(self.stub.ListBudgetStats(budgets_pb2.ListBudgetStatsRequest()).stats)

    def watch(self, *budget_ids: str) -> Iterator[BudgetStats]:
        """Budgets as they change; as `aio.Budgets.watch` does."""
        failures = 0
        while True:
            request = budgets_pb2.WatchBudgetStatsRequest(budget_ids=budget_ids)
            error = ServiceError("", "the server ended the watch")
            try:
                for change in self.stub.WatchBudgetStats(request):
                    failures = 0
                    yield change.stats
            except ServiceError as said:
                if said.code is not grpc.StatusCode.UNAVAILABLE:
                    raise
                error = said
            failures += 1
            self._sleep(pause_before(error, failures))
