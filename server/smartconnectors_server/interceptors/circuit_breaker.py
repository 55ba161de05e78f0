"""A permit of the platform's breaker around the platform's part of a call, and only that part."""

from __future__ import annotations

from typing import ClassVar

from google.protobuf.message import Message

from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.circuitbreaker import CircuitOpen
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.interceptors._base import Engines, Next
from smartconnectors_server.interceptors.fallback import circuit_refusal


class CircuitBreak:
    """Tells the breaker how the platform did: never our own vetoes, the caller's bad input, or a
    cancellation.

    Raises CircuitOpen to the budget interceptor for a bid, which then defers it.
    """

    name: ClassVar[str] = "circuit_breaker"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.reaches_platform

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        runtime = self._engines.runtime(call)
        # The first call waits for the platform's library to be imported: not on its clock.
        await runtime.connector(call)
        try:
            permit = runtime.breaker.acquire()
        except CircuitOpen:
            if call.urgent:
                unguarded: Message = await call_next(request, call)
                return unguarded
            call.circuit = runtime.breaker.state.value
            if call.spec.spends:
                raise
            raise circuit_refusal(runtime, "this change is not deferred.") from None
        call.permit = permit
        try:
            response: Message = await call_next(request, call)
        except ConnectorError as error:
            if error.platform_fault:
                permit.fail()
            else:
                permit.release()
            raise
        except BaseException:
            permit.release()
            raise
        permit.succeed()
        return response
