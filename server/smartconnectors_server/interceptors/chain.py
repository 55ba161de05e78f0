"""Puts the chain around each method, once, and keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from smartconnectors_server.access import Role
from smartconnectors_server.call import Call, MethodSpec, MethodTable
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.interceptors._base import Interceptor, Next
from smartconnectors_server.interceptors.auth import Auth
from smartconnectors_server.interceptors.door import Door
from smartconnectors_server.interceptors.status import StatusError, foreseen, parse, to_status
from smartconnectors_server.interceptors.validation import Validation

_HEALTH = "/grpc.health.v1.Health/"


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
    """Wraps each handler, since grpc.aio shows an interceptor no more than a method's path."""

    def __init__(
        self, interceptors: Sequence[Interceptor], methods: MethodTable, clock: Clock, door: Door
    ) -> None:
        self._interceptors = interceptors
        self._methods = methods
        self._clock = clock
        self._door = door
        self._wrapped: dict[str, Handler] = {}
        self._auth = next(i for i in interceptors if isinstance(i, Auth))

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

    def _other(self, path: str, handler: Any) -> Handler | None:
        """A method that no guard describes. Load balancers may always ask for health; whatever else
        there is, or is not, is for callers who are known.
        """
        if self._auth.open or path.startswith(_HEALTH):
            return handler  # type: ignore[no-any-return]

        async def stream(requests: Any, context: Context) -> AsyncIterator[Any]:
            try:
                caller = self._auth.admit_to_other(path, context, Role.READ)
                with self._door.stream(caller):
                    if handler is None or handler.stream_stream is None:
                        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
                    async for message in handler.stream_stream(requests, context):
                        yield message
            except ConnectorError as error:
                status = to_status(error)
                await context.abort(status.code, status.message, status.trailers)

        return grpc.stream_stream_rpc_method_handler(
            stream,
            getattr(handler, "request_deserializer", None),
            getattr(handler, "response_serializer", None),
        )

    def _unary(self, spec: MethodSpec, handler: Any) -> Handler:
        chain = compose(self._interceptors, spec, handler.unary_unary)

        async def unary(raw: bytes, context: Context) -> bytes:
            call = self._call(spec, context)
            try:
                self._auth.admit(call, context)
                with self._door.call(call.caller):
                    answer: bytes = await chain(raw, call)
            except ConnectorError as refused:  # at the door
                status = to_status(refused)
                await context.abort(status.code, status.message, status.trailers)
                raise
            except StatusError as error:
                await context.abort(error.code, error.message, error.trailers)
                raise
            return answer

        return grpc.unary_unary_rpc_method_handler(unary)

    def _stream(self, spec: MethodSpec, handler: Any) -> Handler:
        """A stream of messages to the caller: checked once, ended by an error as a status."""
        validation = next(i for i in self._interceptors if isinstance(i, Validation))

        async def stream(raw: bytes, context: Context) -> AsyncIterator[bytes]:
            call = self._call(spec, context)
            try:
                self._auth.admit(call, context)
                request = parse(raw, spec, validation.most_bytes)
                self._auth.check(request, call)
                validation.check(request, call)
                with self._door.stream(call.caller):
                    async for message in handler.unary_stream(request, call):
                        self._auth.again(call)
                        yield message.SerializeToString()
            except Exception as error:
                status = to_status(foreseen(error, call))
                await context.abort(status.code, status.message, status.trailers)

        return grpc.unary_stream_rpc_method_handler(stream)

    def _many(self, spec: MethodSpec, handler: Any) -> Handler:
        """Streams both ways: the handler parses and checks each message for itself."""

        async def stream(raws: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            call = self._call(spec, context)
            try:
                self._auth.admit(call, context)
                with self._door.stream(call.caller):
                    async for message in handler.stream_stream(raws, call):
                        yield message.SerializeToString()
            except Exception as error:
                status = to_status(foreseen(error, call))
                await context.abort(status.code, status.message, status.trailers)

        return grpc.stream_stream_rpc_method_handler(stream)
