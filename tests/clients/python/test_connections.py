"""Both connections, the asynchronous and the other: typed errors, retries, batches, watches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from tests.server.cli.conftest import canned_server

from smartconnectors import aio, sync
from smartconnectors.budgets.v1.budget_service_pb2 import (
    GetBudgetStatsResponse,
    ListBudgetStatsResponse,
    WatchBudgetStatsResponse,
)
from smartconnectors.common.v1 import errors_pb2
from smartconnectors.common.v1.bid_pb2 import BidRequest, BidResponse
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors.common.v1.connector_pb2 import BidError, FieldViolation
from smartconnectors.credentials import read_token
from smartconnectors.errors import (
    BudgetExceeded,
    InvalidBid,
    NotFound,
    OutcomeUnknown,
    PlatformUnavailable,
    RateLimited,
    ServiceError,
    Unreachable,
    error_of_bid,
)
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as google_ads_pb2
from smartconnectors.google_ads.v1.google_ads_service_pb2 import (
    BidAnswer,
    GetBidRequest,
    PlaceBidRequest,
    PlaceBidResponse,
    PlaceBidsResponse,
)
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2

if TYPE_CHECKING:
    from tests.server.cli.conftest import CannedServer

PLACED = PlaceBidResponse(result=BidResponse(bid_micros=75_000_000))
NUMBERS = {
    "budget_id": "google_ads",
    "currency_code": "USD",
    "amount_micros": "300000000",
    "limit_micros": "500000000",
    "committed_micros": "275000000",
    "held_micros": "1",
    "remaining_micros": "224999999",
}


def a_bid(request_id: str = "") -> PlaceBidRequest:
    return PlaceBidRequest(
        bid=BidRequest(request_id=request_id, campaign_id="1001", bid_micros=75_000_000)
    )


def veto_then_placed(server: CannedServer, **details: Any) -> None:
    server.refuses(
        "PlaceBid",
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "BUDGET_EXCEEDED",
        "does not fit",
        metadata=NUMBERS,
        **details,
    )


def check_veto(error: BudgetExceeded) -> None:
    assert (error.budget_id, error.currency, error.blocked_by) == ("google_ads", "USD", "")
    assert (error.amount, error.limit) == (Decimal("300.00"), Decimal("500.00"))
    assert (error.committed, error.held) == (Decimal("275.00"), Decimal("0.000001"))
    assert (error.deferred, error.in_doubt) == (0, 0)
    assert error.remaining == Decimal("224.999999")
    assert error.retry_after_s == 372.25
    assert not error.may_retry


async def test_a_veto_is_an_error_with_its_numbers(server: CannedServer) -> None:
    veto_then_placed(server, retry_after_s=372.25)
    async with aio.connect(server.target) as service:
        with pytest.raises(BudgetExceeded, match="does not fit") as caught:
            await service.bid(a_bid())
    check_veto(caught.value)


def test_a_veto_is_the_same_error_without_an_event_loop(server: CannedServer) -> None:
    veto_then_placed(server, retry_after_s=372.25)
    with sync.connect(server.target) as service, pytest.raises(BudgetExceeded) as caught:
        service.bid(a_bid())
    check_veto(caught.value)


async def test_stubs_raise_typed_errors_too(server: CannedServer) -> None:
    server.refuses("GetBid", grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    async with aio.connect(server.target) as service:
        with pytest.raises(NotFound):
            await service.google_ads.GetBid(GetBidRequest(request_id="r1"))
    with sync.connect(server.target) as waiting, pytest.raises(NotFound):
        waiting.google_ads.GetBid(GetBidRequest(request_id="r1"))


async def test_nothing_listening_is_unreachable() -> None:
    async with aio.connect("127.0.0.1:1") as service:
        with pytest.raises(Unreachable):
            await service.bid(a_bid(), max_attempts=1)
    with sync.connect("127.0.0.1:1") as waiting, pytest.raises(Unreachable):
        waiting.bid(a_bid(), max_attempts=1)


def test_every_reason_of_the_contract_has_a_class_or_is_the_servers_own_fault() -> None:
    named = {name.removeprefix("ERROR_REASON_") for name, _ in errors_pb2.ErrorReason.items()}
    assert named - set(ServiceError.kinds) == {"UNSPECIFIED", "INTERNAL"}
    assert set(ServiceError.kinds) <= named


async def test_an_outcome_that_is_unknown_is_asked_for_with_the_same_id(
    server: CannedServer,
) -> None:
    async def no_sleep(seconds: float) -> None:
        del seconds

    server.refuses("PlaceBid", grpc.StatusCode.UNKNOWN, "OUTCOME_UNKNOWN", then=PLACED)
    async with aio.connect(server.target, sleep=no_sleep) as service:
        assert await service.bid(a_bid()) == PLACED
    server.refuses("PlaceBid", grpc.StatusCode.UNKNOWN, "OUTCOME_UNKNOWN", then=PLACED)
    with sync.connect(server.target, sleep=lambda _: None) as waiting:
        assert waiting.bid(a_bid()) == PLACED
    ids = [request.bid.request_id for request in server.requests]
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_retries_wait_as_long_as_the_server_says_and_end_before_the_deadline(
    server: CannedServer,
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    server.refuses("PlaceBid", grpc.StatusCode.UNAVAILABLE, "PLATFORM_UNAVAILABLE", retry_after_s=4)
    with (
        sync.connect(server.target, timeout_s=10, sleep=sleep, clock=lambda: now) as service,
        pytest.raises(ServiceError),
    ):
        service.bid(a_bid())
    assert now == 8
    assert len(server.requests) == 3


async def test_a_connection_without_retries_asks_once(server: CannedServer) -> None:
    server.refuses("PlaceBid", grpc.StatusCode.UNAVAILABLE, "PLATFORM_UNAVAILABLE", then=PLACED)
    async with aio.connect(server.target, retries=False) as service:
        with pytest.raises(PlatformUnavailable):
            await service.bid(a_bid())
    server.refuses("PlaceBid", grpc.StatusCode.UNAVAILABLE, "PLATFORM_UNAVAILABLE", then=PLACED)
    with (
        sync.connect(server.target, retries=False) as waiting,
        pytest.raises(PlatformUnavailable),
    ):
        waiting.bid(a_bid())
    assert len(server.requests) == 2


async def test_a_batch_answers_each_bid_with_a_response_or_an_error(server: CannedServer) -> None:
    refused = BidError(
        code=8,
        reason=errors_pb2.ERROR_REASON_BUDGET_EXCEEDED,
        message="does not fit",
        metadata=NUMBERS,
    )
    refused.retry_after.FromMilliseconds(372_250)
    server.will(
        "PlaceBids",
        PlaceBidsResponse(answers=[BidAnswer(response=PLACED), BidAnswer(error=refused)]),
    )
    bids = [a_bid("first"), a_bid()]
    async with aio.connect(server.target) as service:
        placed, vetoed = await service.bids(bids)
    with sync.connect(server.target) as waiting:
        assert waiting.bids(bids)[0] == placed == PLACED
    assert isinstance(vetoed, BudgetExceeded)
    check_veto(vetoed)
    assert [bid.bid.request_id for bid in server.requests[0].bids] == [
        "first",
        bids[1].bid.request_id,
    ]
    assert bids[1].bid.request_id


async def test_a_batch_is_of_one_platform_and_not_empty(server: CannedServer) -> None:
    mixed: Any = [a_bid(), meta_pb2.PlaceBidRequest()]
    async with aio.connect(server.target) as service:
        with pytest.raises(TypeError, match="one platform"):
            await service.bids(mixed)
        with pytest.raises(ValueError, match="at least one"):
            await service.bids(mixed[:0])


def test_a_refusal_that_is_younger_than_this_client_is_a_plain_error() -> None:
    wrong = FieldViolation(field="bid", description="d")
    error = error_of_bid(BidError(code=9, reason=9999, message="new", violations=[wrong]))  # type: ignore[arg-type]
    assert type(error) is ServiceError
    assert (error.reason, error.code) == ("", grpc.StatusCode.FAILED_PRECONDITION)
    assert [violation.field for violation in error.violations] == ["bid"]


def changes(*committed_micros: int) -> list[WatchBudgetStatsResponse]:
    return [
        WatchBudgetStatsResponse(stats=BudgetStats(committed_micros=each))
        for each in committed_micros
    ]


async def test_a_watch_goes_on_when_the_server_goes_and_comes_back(server: CannedServer) -> None:
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        server.will("WatchBudgetStats", changes(3))

    server.will("WatchBudgetStats", changes(1, 2))
    seen = []
    async with aio.connect(server.target, sleep=sleep) as service:
        async for stats in service.budgets.watch("google_ads"):
            seen.append(stats.committed_micros)
            if stats.committed_micros == 3:
                break
    assert seen == [1, 2, 3]
    assert len(pauses) == 1
    assert [list(request.budget_ids) for request in server.requests] == [["google_ads"]] * 2


def test_a_watch_goes_on_without_an_event_loop_too(server: CannedServer) -> None:
    def sleep(seconds: float) -> None:
        del seconds
        server.will("WatchBudgetStats", changes(3))

    server.will("WatchBudgetStats", changes(1, 2))
    with sync.connect(server.target, sleep=sleep) as service:
        watch = service.budgets.watch()
        assert [next(watch).committed_micros for _ in range(3)] == [1, 2, 3]


async def test_a_watch_of_what_is_not_there_fails(server: CannedServer) -> None:
    server.refuses("WatchBudgetStats", grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    async with aio.connect(server.target) as service:
        with pytest.raises(NotFound):
            await anext(service.budgets.watch("nowhere"))
    with sync.connect(server.target) as waiting, pytest.raises(NotFound):
        next(waiting.budgets.watch("nowhere"))


async def test_budgets_are_looked_up_one_by_one_and_all_together(server: CannedServer) -> None:
    stats = BudgetStats(budget_id="google_ads")
    server.will("GetBudgetStats", GetBudgetStatsResponse(stats=stats))
    server.will("ListBudgetStats", ListBudgetStatsResponse(stats=[stats]))
    async with aio.connect(server.target) as service:
        assert await service.budgets.get("google_ads") == stats
        assert await service.budgets.all() == [stats]
    with sync.connect(server.target) as waiting:
        assert waiting.budgets.get("google_ads") == stats
        assert waiting.budgets.all() == [stats]


async def test_calls_carry_the_trace_and_the_token(server: CannedServer) -> None:
    server.will("PlaceBid", PLACED)
    with trace.use_span(TracerProvider().get_tracer("test").start_span("caller")) as span:
        async with aio.connect(server.target, token="secret") as service:
            await service.bid(a_bid())
        with sync.connect(server.target, token="secret") as waiting:
            waiting.bid(a_bid())
        trace_id = f"{trace.get_current_span().get_span_context().trace_id:032x}"
        del span
    for metadata in server.metadata:
        assert metadata["authorization"] == "Bearer secret"
        assert metadata["traceparent"].split("-")[1] == trace_id
    assert len(server.metadata) == 2


async def test_a_token_is_shown_without_what_nobody_sees_around_it(
    server: CannedServer, tmp_path: Path
) -> None:
    server.will("PlaceBid", PLACED)
    async with aio.connect(server.target, token="\ufeffsecret\r\n\u00a0") as service:
        await service.bid(a_bid())
    with sync.connect(server.target, token="secret\n") as waiting:
        waiting.bid(a_bid())
    assert [each["authorization"] for each in server.metadata] == ["Bearer secret"] * 2
    file = tmp_path / "token"
    for content in ("secret\r\n".encode("utf-8-sig"), "secret\r\n".encode("utf-16")):
        file.write_bytes(content)
        assert read_token(file) == "secret"


@pytest.mark.parametrize("token", ["two words", "a\0b", "caf\u00e9", " \n"])
async def test_a_token_that_no_header_carries_is_refused_without_repeating_it(token: str) -> None:
    connects: list[Callable[..., Any]] = [aio.connect, sync.connect]
    for connect in connects:
        with pytest.raises(ValueError, match="one word") as caught:
            connect("127.0.0.1:1", token=token)
        assert token not in str(caught.value)


async def test_a_token_does_not_leave_this_machine_in_plain_text() -> None:
    connects: list[Callable[..., Any]] = [aio.connect, sync.connect]
    for connect in connects:
        with pytest.raises(ValueError, match="plain text"):
            connect("example.test:50051", token="secret")


async def test_streams_of_bids_raise_typed_errors(server: CannedServer) -> None:
    server.refuses("StreamBids", grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")

    async def some() -> AsyncIterator[google_ads_pb2.StreamBidsRequest]:
        yield google_ads_pb2.StreamBidsRequest(bid=a_bid("r1"))

    def same() -> Iterator[google_ads_pb2.StreamBidsRequest]:
        yield google_ads_pb2.StreamBidsRequest(bid=a_bid("r1"))

    async with aio.connect(server.target) as service:
        with pytest.raises(RateLimited):
            async for _ in service.google_ads.StreamBids(some()):
                pass
    with sync.connect(server.target) as waiting, pytest.raises(RateLimited):
        next(iter(waiting.google_ads.StreamBids(same())))


def test_which_errors_may_be_retried() -> None:
    assert OutcomeUnknown("OUTCOME_UNKNOWN", "").may_retry
    assert ServiceError("", "", code=grpc.StatusCode.UNAVAILABLE).may_retry
    assert not InvalidBid("INVALID_BID", "").may_retry


MANY = 1_000


def test_calls_go_round_the_servers() -> None:
    with canned_server() as one, canned_server() as other:
        for server in (one, other):
            server.will("PlaceBid", PLACED)
        with sync.connect(f"ipv4:{one.target},{other.target}") as service:
            for _ in range(MANY):  # the second is connected to a little later than the first
                service.bid(a_bid())
                if one.requests and other.requests:
                    break
        assert one.requests
        assert other.requests


async def test_a_server_that_drains_is_not_asked() -> None:
    with canned_server() as draining, canned_server() as other:
        draining.drains()
        for server in (draining, other):
            server.will("PlaceBid", PLACED)
        target = f"ipv4:{draining.target},{other.target}"
        with sync.connect(target) as waiting:
            waiting.bid(a_bid())
        async with aio.connect(target) as service:
            await service.bid(a_bid())
        assert len(other.requests) == 2
