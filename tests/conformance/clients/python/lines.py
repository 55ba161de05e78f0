"""What the two Python clients say of answers, in the scenario's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from smartconnectors.common.v1.bid_pb2 import BidRequest, BidResponse, BidSource, BidStatus
from smartconnectors.credentials import tls
from smartconnectors.errors import BudgetExceeded, ServiceError, Unreachable
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as google_ads
from smartconnectors.meta.v1 import meta_service_pb2 as meta
from smartconnectors.money import to_decimal, to_micros
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as trade_desk

_REQUESTS: dict[str, Any] = {
    "google_ads": google_ads.PlaceBidRequest,
    "meta": meta.PlaceBidRequest,
    "trade_desk": trade_desk.PlaceBidRequest,
}


def request_of(bid: list[str], platform: str = "google_ads") -> Any:
    """The platform's PlaceBidRequest of [request id, campaign, amount, LTV]."""
    request_id, campaign, amount, ltv = bid
    common = BidRequest(
        request_id=request_id,
        campaign_id=campaign,
        bid_micros=to_micros(amount),
        predicted_ltv_micros=to_micros(ltv),
    )
    return _REQUESTS[platform](bid=common)


def of_result(result: BidResponse) -> str:
    status = BidStatus.Name(result.status).removeprefix("BID_STATUS_")
    source = BidSource.Name(result.source).removeprefix("BID_SOURCE_").lower()
    amount = f"{to_decimal(result.bid_micros)} {result.currency_code}"
    return f"{status} source={source} {amount}{', replayed' if result.replayed else ''}"


def of_answer(answer: Any) -> str:
    """Of a PlaceBidResponse, or of the error in its place."""
    if isinstance(answer, ServiceError):
        return of_refusal(answer)
    return of_result(answer.result)


def of_refusal(error: ServiceError) -> str:
    if isinstance(error, Unreachable):
        return "refused: not reached"
    # Each reason has a class of its own.
    assert type(error) is ServiceError.kinds[error.reason], error
    return f"refused: {error.reason}"


def of_numbers(error: ServiceError, step: dict[str, Any]) -> list[str]:
    """What a refusal says beyond its reason."""
    if not isinstance(error, BudgetExceeded):
        return [f"wrong: {violation.field}" for violation in error.violations]
    numbers = (
        f"{error.amount} {error.currency} for {error.budget_id}: limit {error.limit}, "
        f"committed {error.committed}, held {error.held}, deferred {error.deferred}, "
        f"in doubt {error.in_doubt}, remaining {error.remaining}"
    )
    if error.retry_after_s is None:
        return [numbers, "no time is known"]
    longest_s = step["fits_within_s"]
    fits = 0 < error.retry_after_s <= longest_s
    said = f"within {longest_s} s" if fits else f"in {error.retry_after_s} s"
    return [numbers, f"fits {said}"]


def of_stats(stats: Any) -> str:
    committed, limit, deferred, remaining = (
        to_decimal(micros)
        for micros in (
            stats.committed_micros,
            stats.limit_micros,
            stats.deferred_micros,
            stats.remaining_micros,
        )
    )
    return (
        f"committed {committed} of {limit} {stats.currency_code}, "
        f"deferred {deferred}, remaining {remaining}"
    )


def of_committed(stats: Any) -> str:
    return f"committed {to_decimal(stats.committed_micros)}"


def credentials_of(how: dict[str, Any]) -> grpc.ChannelCredentials | None:
    """How the server is known; None: plain text."""
    if not how["tls"]:
        return None
    return tls(Path(how["ca_file"]) if how["ca_file"] else None)
