"""The service for asynchronous callers.

    async with aio.connect("127.0.0.1:50051") as service:
        answer = await service.bid(
            PlaceBidRequest(bid=BidRequest(campaign_id="1001", bid_micros=to_micros("75.00")))
        )
        async for stats in service.budgets.watch("google_ads"):
            print(stats.budget_id, to_decimal(stats.remaining_micros))

Every call raises the errors of `smartconnectors.errors`. `smartconnectors.sync` is the same for
callers without an event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import grpc

from smartconnectors import _aio_calls
from smartconnectors.batches import answers_of, request_of
from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.client import Client, pause_before, pin_of
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors.errors import ServiceError

if TYPE_CHECKING:
    from smartconnectors.budgets.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub
    from smartconnectors.google_ads.v1 import google_ads_service_pb2 as google_ads_pb2
    from smartconnectors.google_ads.v1.google_ads_service_pb2_grpc import GoogleAdsServiceAsyncStub
    from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
    from smartconnectors.meta.v1.meta_service_pb2_grpc import MetaServiceAsyncStub
    from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as trade_desk_pb2
    from smartconnectors.trade_desk.v1.trade_desk_service_pb2_grpc import TradeDeskServiceAsyncStub


def connect(
    target: str = "127.0.0.1:50051",
    *,
    credentials: grpc.ChannelCredentials | None = None,
    token: str = "",
    timeout_s: float = 10.0,
    retries: bool = True,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Connection:
    """A connection, to be used as an asynchronous context manager.

    Args:
        target: `host:port`.
        credentials: None: plain text. `smartconnectors.credentials.tls` makes others.
        token: shown with every call, when the server wants to know who calls.
        timeout_s: how long `bid` may take, its retries included, and `bids`.
        retries: False leaves every retry of a bid to the caller. It is for a target with several
            servers that do not share a ledger, and no proxy that pins by `client.PIN`: the request
            id is known to the one that took it, and to no other.
        sleep: how retries wait.

    Raises:
        ValueError: a token would go to another machine in plain text, or is no token.
    """
    return Connection(
        _Calls(
            target,
            credentials=credentials,
            token=token,
            timeout_s=timeout_s,
            retries=retries,
            sleep=sleep,
        ),
        timeout_s=timeout_s,
        sleep=sleep,
    )


class _Calls(Client):
    """The client, with the trace and the typed errors on every call."""

    def __init__(self, target: str, **options: Any) -> None:
        super().__init__(target, **options)
        self._interceptors = [*_aio_calls.interceptors(), *self._interceptors]


class Connection:
    """A connection to the service; `connect` makes it.

    Attributes:
        google_ads: the stub of GoogleAdsService.
        meta: the stub of MetaService.
        trade_desk: the stub of TradeDeskService.
        budgets: budgets, also as they change.
    """

    google_ads: GoogleAdsServiceAsyncStub
    meta: MetaServiceAsyncStub
    trade_desk: TradeDeskServiceAsyncStub
    budgets: Budgets

    def __init__(
        self, client: Client, *, timeout_s: float, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        client = await self._client.__aenter__()
        self.google_ads = client.google_ads
        self.meta = client.meta
        self.trade_desk = client.trade_desk
        self.budgets = Budgets(client.budgets, self._sleep)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

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
        """Places a bid, and places it once however often it has to ask; see `Client.bid`."""
        return await self._client.bid(request, timeout_s=timeout_s, max_attempts=max_attempts)

    @overload
    async def bids(
        self, requests: Sequence[google_ads_pb2.PlaceBidRequest]
    ) -> list[google_ads_pb2.PlaceBidResponse | ServiceError]: ...

    @overload
    async def bids(
        self, requests: Sequence[meta_pb2.PlaceBidRequest]
    ) -> list[meta_pb2.PlaceBidResponse | ServiceError]: ...

    @overload
    async def bids(
        self, requests: Sequence[trade_desk_pb2.PlaceBidRequest]
    ) -> list[trade_desk_pb2.PlaceBidResponse | ServiceError]: ...

    async def bids(self, requests: Sequence[Any]) -> list[Any]:
        """Places up to 1,000 bids on one platform, with as few calls of it as it allows.

        Requests without an id get random ones, in place. The answers are in the order of the
        requests; a bid that was refused is answered by its error, and does not touch the others.
        A proxy pins the call by the id of the first bid, so it is the whole list that is repeated.

        Raises:
            ServiceError: of the call as a whole. Bids may have been placed all the same: ask again
                with the same requests.
            ValueError: there is no request.
        """
        method, request = request_of(requests)
        pin = pin_of(requests[0])
        call = self._client.method(method)(request, timeout=self._timeout_s, metadata=pin)
        return answers_of(await call)


class Budgets:
    """Budgets.

    Attributes:
        stub: the stub of BudgetService, for what this class has no method for.
    """

    def __init__(
        self, stub: BudgetServiceAsyncStub, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.stub = stub
        self._sleep = sleep

    async def get(self, budget_id: str) -> BudgetStats:
        """One budget now. Raises NotFound when there is none of this name."""
        answer = await self.stub.GetBudgetStats(
            budgets_pb2.GetBudgetStatsRequest(budget_id=budget_id)
        )
        return answer.stats

    async def all(self) -> list[BudgetStats]:
        """All budgets now, by id."""
        answer = await self.stub.ListBudgetStats(budgets_pb2.ListBudgetStatsRequest())
        return list(answer.stats)

    async def watch(self, *budget_ids: str) -> AsyncIterator[BudgetStats]:
        """Budgets as they change, all of them unless some are named: each of them at once, and then
        whenever one has changed. It never ends by itself: when the server goes away, it asks again
        until there is one, and begins with each budget anew.

        Raises:
            ServiceError: the server refuses, for instance because a budget is not there.
        """
        failures = 0
        while True:
            request = budgets_pb2.WatchBudgetStatsRequest(budget_ids=budget_ids)
            error = ServiceError("", "the server ended the watch")
            try:
                async for change in self.stub.WatchBudgetStats(request):
                    failures = 0
                    yield change.stats
            except ServiceError as said:
                if said.code is not grpc.StatusCode.UNAVAILABLE:
                    raise
                error = said
            failures += 1
            await self._sleep(pause_before(error, failures))
