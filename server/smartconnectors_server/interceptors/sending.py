"""The moment of truth for money: sends what is held, and resolves the hold by what happened.

Shared by live bids and by deferred ones, so that there is one place where it is decided.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.budget import Verb, outcome_of, resolution_of
from smartconnectors_server.call import Call, Priced
from smartconnectors_server.connector import Mode
from smartconnectors_server.errors import (
    ConnectorError,
    InternalError,
    OutcomeUnknown,
    PlatformRejected,
)
from smartconnectors_server.failpoints import Place, reached
from smartconnectors_server.interceptors._base import Engines, Next, PlatformRuntime
from smartconnectors_server.interceptors.answers import fill_result, store_error
from smartconnectors_server.ledger import Hold
from smartconnectors_server.telemetry import names

log = logging.getLogger(__name__)

ASK_AGAIN = (
    "Its amount stays counted until the platform has been asked. Retry with the SAME request id."
)


async def send_held(
    engines: Engines,
    runtime: PlatformRuntime,
    call_next: Next,
    request: Any,
    call: Call,
    hold: Hold,
    priced: Priced,
) -> Any:
    """Sends and settles; the response without the budget.

    Raises:
        ConnectorError: after the hold was released, rejected or put in doubt, as its class says.
            A NOT_SENT error is raised with the hold still held: the caller of this function
            decides between releasing and deferring it.
        CircuitOpen: as NOT_SENT.
    """
    keeper, telemetry = engines.keeper, engines.telemetry
    reached(Place.HELD)
    try:
        try:
            response = await call_next(request, call)
        finally:
            if call.dispatched:
                keeper.dispatches.ended(hold)
    except (ConnectorError, asyncio.CancelledError) as error:
        verb = resolution_of(outcome_of(error, dispatched=call.dispatched))
        if verb is not Verb.RELEASE:
            stored = store_error(error) if isinstance(error, PlatformRejected) else ""
            note = error.message if isinstance(error, ConnectorError) else "stopped while sending"
            await keeper.resolve(hold, verb, error=stored, note=note)
        if isinstance(error, OutcomeUnknown):
            raise _explained(error, call, hold) from error
        raise
    except Exception as error:
        if not call.dispatched:
            raise
        log.exception("unforeseen error after request %s may have been sent", call.request_id)
        await keeper.resolve(hold, Verb.DOUBT, note=f"unforeseen {type(error).__name__}")
        unknown = OutcomeUnknown("The server failed after the change may have been sent.")
        raise _explained(unknown, call, hold) from error
    reached(Place.ANSWERED)
    at_ns = keeper.now_ns()
    shadowed = runtime.mode is Mode.SHADOW
    status = bid_pb2.BID_STATUS_SHADOWED if shadowed else bid_pb2.BID_STATUS_PLACED
    fill_result(response, call, priced, status, at_ns=None if shadowed else at_ns)
    with telemetry.tracer.inside(call.trace, names.SPAN_SETTLE, engines.clock):
        await keeper.resolve(hold, Verb.SETTLE, answer=response.SerializeToString())
    return response


def _explained(error: OutcomeUnknown, call: Call, hold: Hold) -> OutcomeUnknown:
    """The error with what the caller needs to know beside it."""
    return OutcomeUnknown(
        f"{error.message} {ASK_AGAIN}",
        retry_after_s=error.retry_after_s or 2.0,
        metadata={
            **error.metadata,
            "request_id": call.request_id,
            "hold_id": hold.hold_id,
            "in_doubt_micros": str(hold.amount_micros),
        },
    )


def released_error(error: BaseException) -> BaseException:
    """What the caller reads of an unforeseen error before anything was sent."""
    if isinstance(error, ConnectorError | asyncio.CancelledError):
        return error
    log.error("unforeseen error before anything was sent", exc_info=error)
    return InternalError("The server failed before anything was sent; nothing is held.")
