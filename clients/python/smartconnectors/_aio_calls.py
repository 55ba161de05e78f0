"""What `smartconnectors.aio` adds to every call: the trace, and typed errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from grpc import aio

from smartconnectors.errors import error_of
from smartconnectors.tracing import trace_headers


def interceptors() -> list[aio.ClientInterceptor]:
    """One for each kind of call that the service has; gRPC takes an interceptor for one kind."""
    return [_Unary(), _ServerStream(), _BothStreams()]


def _traced(details: Any) -> Any:
    metadata = aio.Metadata(*(details.metadata or ()), *trace_headers())
    return details._replace(metadata=metadata)


async def _answers(call: Any) -> AsyncIterator[Any]:
    try:
        async for answer in call:
            yield answer
    except aio.AioRpcError as error:
        raise error_of(error) from error
    finally:
        call.cancel()  # who stops reading ends the call; one that has ended does not mind


class _Unary(aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        call = await continuation(_traced(client_call_details), request)
        try:
            await call
        except aio.AioRpcError as error:
            raise error_of(error) from error
        return call


class _ServerStream(aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return _answers(await continuation(_traced(client_call_details), request))


class _BothStreams(aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return _answers(await continuation(_traced(client_call_details), request_iterator))
