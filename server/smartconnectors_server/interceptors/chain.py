"""Puts the chain around each method, once, and keeps it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from smartconnectors_server.access import Role
from smartconnectors_server.call import Call, MethodSpec, MethodTable
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.interceptors._base import Interceptor, Next
from smartconnectors_server.interceptors.arrivals import ArrivalRules, Arrivals
from smartconnectors_server.interceptors.auth import Auth
from smartconnectors_server.interceptors.door import Door
from smartconnectors_server.interceptors.status import StatusError, foreseen, parse, to_status
from smartconnectors_server.interceptors.validation import Validation
from smartconnectors_server.telemetry import Metrics

_HEALTH = "/grpc.health.v1.Health/"
_ASKED_AGAIN_AFTER_NS = NANOS_PER_SECOND
"""A caller whose message came so long after its headers is identified a second time."""


def compose(interceptors: Sequence[Interceptor], spec: MethodSpec, innermost: Next) -> Next:
    """The interceptors that apply to a method, outermost first, around `innermost`."""
    chain = innermost
    for interceptor in reversed(interceptors):
        if interceptor.applies_to(spec):
            chain = partial(interceptor.intercept, chain)
    return chain


if TYPE_CHECKING:  # generic to the type checker only
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]


class ChainInterceptor(grpc.aio.ServerInterceptor):
    """Wraps each handler, since grpc.aio shows an interceptor no more than a method's path.

    A handler of one message is wrapped as one of a stream: grpc.aio then calls it at the headers,
    and not first at the message, which may never come.

    Attributes:
        arrivals: the calls that wait for their message; its `run` has to run.
    """

    def __init__(
        self,
        interceptors: Sequence[Interceptor],
        methods: MethodTable,
        clock: Clock,
        rules: ArrivalRules,
        door: Door,
        metrics: Metrics,
    ) -> None:
        self._interceptors = interceptors
        self._methods = methods
        self._clock = clock
        self._door = door
        self._wrapped: dict[str, Handler] = {}
        self._auth = next(i for i in interceptors if isinstance(i, Auth))
        self.arrivals = Arrivals(clock, rules, partial(metrics.turned_away, "grpc"))

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        path = handler_call_details.method
        wrapped = self._wrapped.get(path)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        spec = self._methods.get(path)
        if spec is None:
            return self._other(path, handler)
        if handler is None:
            return None
        if spec.client_streaming:
            wrapped = self._many(spec, handler)
        elif spec.server_streaming:
            wrapped = self._stream(spec, handler)
        else:
            wrapped = self._unary(spec, handler)
        self._wrapped[path] = wrapped
        return wrapped

    def _call(self, spec: MethodSpec, context: Context) -> Call:
        now_ns = self._clock.monotonic_ns()
        left_s: Any = context.time_remaining()  # None without a deadline, whatever the stub says
        deadline_ns = None if left_s is None else now_ns + int(left_s * NANOS_PER_SECOND)
        call = Call(spec=spec, started_ns=now_ns, deadline_ns=deadline_ns)
        for key, value in context.invocation_metadata() or ():
            if key == "traceparent" and isinstance(value, str):
                call.traceparent = value
        return call

    async def _message(self, call: Call, context: Context) -> Any:
        """The message of a call that was admitted by its headers; the call begins with it."""
        message = await self.arrivals.message(context)
        now_ns = self._clock.monotonic_ns()
        if now_ns - call.started_ns >= _ASKED_AGAIN_AFTER_NS:
            self._auth.admit(call, context)
        call.started_ns = now_ns
        return message

    async def _refuse(self, error: ConnectorError, context: Context) -> None:
        """Ends a call with the status of what was found wrong with it."""
        status = to_status(error)
        with self.arrivals.refusal(context.peer()):
            await context.abort(status.code, status.message, status.trailers)

    def _unary(self, spec: MethodSpec, handler: Any) -> Handler:
        chain = compose(self._interceptors, spec, handler.unary_unary)

        async def unary(_raws: Any, context: Context) -> bytes:
            call = self._call(spec, context)
            try:
                self._auth.admit(call, context)
                with self.arrivals.slot(), self._door.call(call.caller):
                    raw = await self._message(call, context)
                    answer: bytes = await chain(raw, call)
            except ConnectorError as refused:  # at the door
                await self._refuse(refused, context)
                raise
            except StatusError as error:
                await context.abort(error.code, error.message, error.trailers)
                raise
            return answer

        return grpc.stream_unary_rpc_method_handler(unary)

    def _stream(self, spec: MethodSpec, handler: Any) -> Handler:
        """A stream of messages to the caller: checked once, ended by an error as a status."""
        validation = next(i for i in self._interceptors if isinstance(i, Validation))

        async def watched(call: Call, context: Context) -> AsyncIterator[bytes]:
            try:
                raw = await self._message(call, context)
                request = parse(raw, spec, validation.most_bytes)
                self._auth.check(request, call)
                validation.check(request, call)
                async for message in handler.unary_stream(request, call):
                    self._auth.again(call)
                    yield message.SerializeToString()
            except Exception as error:
                status = to_status(foreseen(error, call))
                await context.abort(status.code, status.message, status.trailers)

        async def stream(_raws: Any, context: Context) -> AsyncIterator[bytes]:
            call = self._call(spec, context)
            try:
                self._auth.admit(call, context)
                with self.arrivals.slot(), self._door.stream(call.caller):
                    async for message in watched(call, context):
                        yield message
            except ConnectorError as refused:  # at the door
                await self._refuse(refused, context)

        return grpc.stream_stream_rpc_method_handler(stream)

    def _many(self, spec: MethodSpec, handler: Any) -> Handler:
        """Streams both ways: the handler parses and checks each message for itself."""

        async def answered(
            raws: AsyncIterator[bytes], call: Call, context: Context
        ) -> AsyncIterator[bytes]:
            try:
                with self.arrivals.waiting(patient=True) as waiting:

                    async def noted() -> AsyncIterator[bytes]:
                        async for raw in raws:
                            self.arrivals.arrived(waiting)
                            yield raw

                    async for message in handler.stream_stream(noted(), call):
                        yield message.SerializeToString()
            except Exception as error:
                status = to_status(foreseen(error, call))
                await context.abort(status.code, status.message, status.trailers)

        async def stream(raws: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            call = self._call(spec, context)
            try:
                self._auth.admit(call, context)
                with self.arrivals.slot(), self._door.stream(call.caller):
                    async for message in answered(raws, call, context):
                        yield message
            except ConnectorError as refused:  # at the door
                await self._refuse(refused, context)

        return grpc.stream_stream_rpc_method_handler(stream)

    # Methods that no guard describes

    @contextlib.contextmanager
    def _admitted(self, path: str, context: Context) -> Iterator[None]:
        """A slot for a call of another method. Load balancers may always ask for health; whatever
        else there is, or is not, is for callers who are known. Raises ConnectorError.
        """
        share: AbstractContextManager[None] = contextlib.nullcontext()
        slot = self.arrivals.slot()
        if path.startswith(_HEALTH):
            if not self._auth.knows(context):
                slot = self.arrivals.unknown_slot(context.peer())
        elif not self._auth.open:
            share = self._door.stream(self._auth.admit_to_other(path, context, Role.READ))
        with slot, share:
            yield

    def _other(self, path: str, handler: Any) -> Handler | None:
        """A method that no guard describes, with a place among all calls."""
        if handler is None and self._auth.open:
            return None
        deserializer = getattr(handler, "request_deserializer", None)
        serializer = getattr(handler, "response_serializer", None)
        if handler is not None and handler.unary_unary is not None:

            async def unary(_requests: Any, context: Context) -> Any:
                try:
                    with self._admitted(path, context):
                        message = await self.arrivals.message(context)
                        return await handler.unary_unary(message, context)
                except ConnectorError as refused:
                    await self._refuse(refused, context)

            return grpc.stream_unary_rpc_method_handler(unary, deserializer, serializer)

        async def stream(requests: Any, context: Context) -> AsyncIterator[Any]:
            try:
                with self._admitted(path, context):
                    if handler is not None and handler.unary_stream is not None:
                        asked = await self.arrivals.message(context)
                        answers = handler.unary_stream(asked, context)
                    elif handler is not None and handler.stream_stream is not None:
                        answers = handler.stream_stream(requests, context)
                    else:
                        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
                    async for message in answers:
                        yield message
            except ConnectorError as refused:
                await self._refuse(refused, context)

        return grpc.stream_stream_rpc_method_handler(stream, deserializer, serializer)
