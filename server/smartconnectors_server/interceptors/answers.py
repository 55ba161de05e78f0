"""Answers: from a hold and a platform's response to what the caller reads, and back. Pure."""

from __future__ import annotations

import json
from typing import Any

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.call import Call, Kind, MethodSpec, Priced, Source
from smartconnectors_server.errors import (
    ConnectorError,
    OutcomeUnknown,
    PlatformRejected,
    RequestInProgress,
)
from smartconnectors_server.ledger import BudgetState, Hold, HoldState
from smartconnectors_server.messages import SOURCES, duration, fill_stats, timestamp

STATUSES = {
    HoldState.SETTLED: bid_pb2.BID_STATUS_PLACED,
    HoldState.DEFERRED: bid_pb2.BID_STATUS_DEFERRED,
    HoldState.EXPIRED: bid_pb2.BID_STATUS_EXPIRED,
    HoldState.SUPERSEDED: bid_pb2.BID_STATUS_SUPERSEDED,
}

_CIRCUITS = {
    "closed": bid_pb2.CIRCUIT_STATE_CLOSED,
    "open": bid_pb2.CIRCUIT_STATE_OPEN,
    "half_open": bid_pb2.CIRCUIT_STATE_HALF_OPEN,
}


def fill_result(
    response: Any, call: Call, priced: Priced, status: int, *, at_ns: int | None = None
) -> None:
    """Says in `response.result` what every platform says of a bid or a campaign budget."""
    result = response.result
    result.request_id = call.request_id
    result.status = status
    result.currency_code = priced.currency_code
    if call.spec.kind is Kind.CAMPAIGN_BUDGET:
        result.committed_micros = call.hold.amount_micros if call.hold is not None else 0
        return
    result.source = SOURCES[priced.source.value]
    result.bid_micros = priced.bid_micros
    result.uncapped_fallback_micros = priced.uncapped_micros
    result.circuit_state = _CIRCUITS[call.circuit]
    if call.platform_latency_ns:
        result.platform_latency.CopyFrom(duration(call.platform_latency_ns))
    if at_ns is not None:
        result.placed_at.CopyFrom(timestamp(at_ns))


def add_budget(response: Any, state: BudgetState) -> None:
    """Adds the budget after the bid."""
    fill_stats(response.result.budget, state)


def store_error(error: ConnectorError) -> str:
    """A refusal in the form that the ledger keeps."""
    return json.dumps({"message": error.message, "metadata": error.metadata})


def stored_rejection(hold: Hold) -> PlatformRejected:
    """The refusal that the ledger kept."""
    stored = json.loads(hold.error)
    return PlatformRejected(stored["message"], metadata=stored["metadata"])


def stored_answer(spec: MethodSpec, hold: Hold, circuit: str) -> Any:
    """What became of an earlier request, from its hold, without the budget.

    Raises PlatformRejected as it was stored; RequestInProgress and OutcomeUnknown while it is not
    known.
    """
    if hold.state is HoldState.REJECTED:
        raise stored_rejection(hold)
    if hold.state is HoldState.HELD:
        raise RequestInProgress(
            f"request {hold.request_id} is still running; retry with the same id",
            retry_after_s=0.5,
            metadata={"request_id": hold.request_id},
        )
    if hold.state is HoldState.IN_DOUBT:
        raise OutcomeUnknown(
            f"request {hold.request_id} was sent and its outcome is not known yet; its amount "
            "stays counted until the platform has been asked. Retry with the SAME request id.",
            retry_after_s=2.0,
            metadata={"request_id": hold.request_id, "hold_id": hold.hold_id},
        )
    response: Any = spec.response_class()
    if hold.answer:
        response.ParseFromString(hold.answer)
    else:
        call = Call(spec=spec, started_ns=0, request_id=hold.request_id, hold=hold)
        call.circuit = circuit
        fill_result(response, call, priced_of(hold), STATUSES[hold.state])
        if hold.state is HoldState.SETTLED and spec.kind is Kind.BID:
            response.result.placed_at.CopyFrom(timestamp(hold.updated_ns))
            response.result.platform_bid_id = hold.target
    response.result.replayed = True
    return response


def priced_of(hold: Hold) -> Priced:
    """The price that a hold was made for."""
    return Priced(
        request_id=hold.request_id,
        bid_micros=hold.amount_micros,
        ltv_micros=hold.ltv_micros,
        currency_code=hold.currency_code,
        source=Source(hold.source),
        uncapped_micros=hold.uncapped_micros,
        ai_bid_micros=hold.ai_bid_micros,
    )
