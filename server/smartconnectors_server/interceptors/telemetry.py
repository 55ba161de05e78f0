"""One span and one log line for each call that can reach a platform."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from google.protobuf.message import Message

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.access import ANYBODY
from smartconnectors_server.call import Call, Kind, MethodSpec
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.interceptors._base import Engines, Next
from smartconnectors_server.telemetry import Metrics, Telemetry, current, names
from smartconnectors_server.telemetry.recent import Recent, Refusal

_OUTCOMES = {number: name.removeprefix("BID_STATUS_") for name, number in bid_pb2.BidStatus.items()}
_OK = "OK"
_PLACED = "PLACED"


def outcome_name(response: Any) -> str:
    """`PLACED`, `DEFERRED`, ... of a response that has a status, else `OK`."""
    status: Any = getattr(getattr(response, "result", None), "status", 0)
    return _OUTCOMES[status] if status else _OK


def attributes_of(call: Call, outcome: str) -> dict[str, str | int | bool]:
    """What is said of a call in its span and its log line."""
    said: dict[str, str | int | bool] = {
        names.ATTR_METHOD: call.spec.name,
        names.ATTR_PLATFORM: call.spec.platform,
        names.ATTR_OUTCOME: outcome,
        names.ATTR_CIRCUIT: call.circuit,
    }
    if call.caller is not ANYBODY:
        said[names.ATTR_ACTOR] = call.actor
    if call.request_id:
        said[names.ATTR_REQUEST_ID] = call.request_id
    if call.campaign_id:
        said[names.ATTR_CAMPAIGN_ID] = call.campaign_id
    if call.customer:
        said[names.ATTR_CUSTOMER] = call.customer
    if call.priced is not None:
        said[names.ATTR_SOURCE] = call.priced.source.value
        said[names.ATTR_BID_MICROS] = call.priced.bid_micros
        said[names.ATTR_CURRENCY] = call.priced.currency_code
    if call.replayed:
        said[names.ATTR_REPLAYED] = True
    if call.platform_latency_ns:
        said[names.ATTR_PLATFORM_LATENCY_MS] = call.platform_latency_ns // 1_000_000
    said.update(call.attributes)
    return said


def count(metrics: Metrics, call: Call, outcome: str, took_ns: int, *, refused: bool) -> None:
    """Counts an answered call by its `outcome`: the status of its response or, when it was
    refused, the reason.
    """
    platform, priced, hold = call.spec.platform, call.priced, call.hold
    source = "" if priced is None else priced.source.value
    status, reason = ("refused", outcome) if refused else (outcome.lower(), "")
    if call.replayed and not refused:
        status = "replayed"
    if call.spec.kind is Kind.BID:
        trace_id = call.trace.trace_id if call.trace is not None and call.trace.sampled else ""
        metrics.bid(
            platform,
            source=source,
            status=status,
            reason=reason,
            took_ns=took_ns,
            trace_id=trace_id,
        )
    else:
        metrics.change(platform, call.spec.name, status, reason)
    if outcome == _PLACED and hold is not None and not call.replayed:
        metrics.committed(platform, source, hold.currency_code, hold.amount_micros)


def remember(recent: Recent, call: Call, outcome: str, at_ns: int, error: Exception | None) -> None:
    """Adds a call that has ended to the last minutes."""
    if error is not None:
        retry_s = getattr(error, "retry_after_s", None)
        retry_at_ns = None if retry_s is None else at_ns + round(retry_s * NANOS_PER_SECOND)
        message = getattr(error, "message", "")
        recent.refused(
            Refusal(at_ns, call.spec.platform, call.campaign_id, outcome, message, retry_at_ns)
        )
    if call.spec.kind is Kind.BID and not call.replayed:
        source = "" if call.priced is None else call.priced.source.value
        recent.bid(at_ns, "refused" if error is not None else source)
        if error is not None:
            recent.bid_refused(at_ns, call.spec.platform, outcome)


def tell(
    telemetry: Telemetry,
    clock: Clock,
    call: Call,
    outcome: str,
    started_ns: int,
    error: Exception | None,
    **more: str | int | bool,
) -> None:
    """Counts a call that has ended, remembers it for a while, finishes its span and writes its log
    line. `started_ns`: wall clock; `error`: None when it was not refused.
    """
    took_ns = clock.monotonic_ns() - call.started_ns
    ended_ns = clock.wall_ns()
    count(telemetry.metrics, call, outcome, took_ns, refused=error is not None)
    remember(telemetry.recent, call, outcome, ended_ns, error)
    said = attributes_of(call, outcome)
    fields = {key.removeprefix("smartconnectors."): value for key, value in said.items()}
    trace = call.trace
    if trace is not None:
        why = "" if error is None else getattr(error, "message", "") or type(error).__name__
        telemetry.finish(trace, names.SPAN_BID, started_ns, ended_ns, said, why)
        fields[names.LOG_TRACE_ID], fields[names.LOG_SPAN_ID] = trace.trace_id, trace.span_id
    telemetry.event(names.EVENT_BID, **fields, **more)


class CallerGone(Exception):
    """Stands for the cancellation of a call, which is nobody's error."""


class Observe:
    """Says of each call what became of it."""

    name: ClassVar[str] = "telemetry"

    def __init__(self, engines: Engines) -> None:
        self._clock = engines.clock
        self._telemetry = engines.telemetry

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.reaches_platform

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        call.trace = self._telemetry.tracer.begin(call.traceparent)
        if call.trace is not None:
            current.set(call.trace)  # of this call's task, and those that it begins
        started_ns = self._clock.wall_ns()
        try:
            response: Message = await call_next(request, call)
        except asyncio.CancelledError:
            self._say(call, "CALLER_GONE", started_ns, CallerGone("the caller went away"))
            raise
        except ConnectorError as error:
            self._say(call, error.reason, started_ns, error)
            raise
        except Exception as error:
            self._say(call, "INTERNAL", started_ns, error)
            raise
        self._say(call, outcome_name(response), started_ns, None)
        return response

    def _say(self, call: Call, outcome: str, started_ns: int, error: Exception | None) -> None:
        tell(self._telemetry, self._clock, call, outcome, started_ns, error)
