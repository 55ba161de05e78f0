"""One call of the platform's quota for the bid itself, or a refusal with the time to come back."""

from __future__ import annotations

from typing import Any, ClassVar

from google.protobuf.message import Message

from smartconnectors_server.call import Call, Kind, MethodSpec
from smartconnectors_server.connector import Mode
from smartconnectors_server.interceptors._base import Engines, Next
from smartconnectors_server.telemetry import names


class RateLimit:
    """Innermost: what follows is the wire. In shadow mode nothing follows."""

    name: ClassVar[str] = "rate_limit"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.reaches_platform

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        runtime = self._engines.runtime(call)
        if runtime.mode is Mode.SHADOW and not call.validate_only:
            return _shadowed(request, call)
        await runtime.limiter.take(
            call.weight,
            reserved=call.reserved,
            # The platform can refuse a pause by itself.
            obeys=() if call.urgent else runtime.obeys(request),
            asker=call.asker,
        )
        call.dispatched = True
        started_ns = self._engines.clock.monotonic_ns()
        if call.permit is not None:
            call.permit.restart()
        telemetry = self._engines.telemetry
        try:
            with telemetry.tracer.inside(
                call.trace, names.SPAN_CHANGE, self._engines.clock, "client"
            ):
                response: Message = await call_next(request, call)
        finally:
            took_ns = self._engines.clock.monotonic_ns() - started_ns
            call.platform_latency_ns = took_ns
            telemetry.metrics.platform_call(runtime.name, "change", took_ns)
        return response


def _shadowed(request: Any, call: Call) -> Message:
    """The answer in the platform's place. A bid's status is said where its hold is settled."""
    response: Any = call.spec.response_class()
    if call.spec.kind is Kind.OTHER:
        response.result.shadowed = True
        if "campaign_id" in response.result.DESCRIPTOR.fields_by_name:
            response.result.campaign_id = request.update.campaign_id
    return response  # type: ignore[no-any-return]
