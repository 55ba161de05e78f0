"""What an answer says of a bid, for the soak's own table."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2
from tests.soak.table import Told

from smartconnectors.common.v1 import bid_pb2, errors_pb2

_REASONS = frozenset(
    name.removeprefix("ERROR_REASON_") for name, _ in errors_pb2.ErrorReason.items()
)
_NOT_FINAL = frozenset({"OUTCOME_UNKNOWN", "REQUEST_IN_PROGRESS"})
_PLACED = bid_pb2.BID_STATUS_PLACED
_OVER = frozenset(
    {
        bid_pb2.BID_STATUS_SUPERSEDED,
        bid_pb2.BID_STATUS_EXPIRED,
        bid_pb2.BID_STATUS_UNCHANGED,
    }
)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """`BUDGET_EXCEEDED`; the status where the server gave no reason: a deadline, a connection."""
    trailers = dict(error.trailing_metadata() or ())
    details: Any = trailers.get("grpc-status-details-bin", b"")
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(details).details:
        if detail.Unpack(info):
            return str(info.reason)
    return str(error.code().name)


def told_by_error(error: grpc.aio.AioRpcError) -> tuple[str, Told]:
    """(reason, what it means). Only a reason of the server's own says that nothing was sent."""
    reason = reason_of(error)
    final = reason in _REASONS and reason not in _NOT_FINAL
    return reason, Told.NOT_SENT if final else Told.UNKNOWN


def told_by_result(result: Any) -> tuple[str, Told]:
    """The same of a BidResponse."""
    name = bid_pb2.BidStatus.Name(result.status).removeprefix("BID_STATUS_")
    if result.status == _PLACED:
        return name, Told.PLACED
    return name, Told.NOT_SENT if result.status in _OVER else Told.UNKNOWN


def told_by_answer(answer: Any) -> tuple[str, Told]:
    """The same of a BidAnswer: of a batch, a stream, or GetBid."""
    if answer.WhichOneof("answer") == "response":
        return told_by_result(answer.response.result)
    reason = errors_pb2.ErrorReason.Name(answer.error.reason).removeprefix("ERROR_REASON_")
    return reason, Told.UNKNOWN if reason in _NOT_FINAL else Told.NOT_SENT
