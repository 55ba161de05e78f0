"""What `smartconnectors.sync` adds to every call: the token, the trace, typed errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc

from smartconnectors.credentials import AUTHORIZATION
from smartconnectors.errors import error_of
from smartconnectors.tracing import trace_headers


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class Interceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """For every kind of call that the service has."""

    def __init__(self, token: str) -> None:
        self._shown = ((AUTHORIZATION, f"Bearer {token}"),) if token else ()

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        call = continuation(self._details(client_call_details), request)
        if isinstance(failure := call.exception(), grpc.RpcError):
            raise error_of(failure) from failure
        return call

    def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return _answers(continuation(self._details(client_call_details), request))

    def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return _answers(continuation(self._details(client_call_details), request_iterator))

    def _details(self, details: Any) -> _Details:
        return _Details(
            details.method,
            details.timeout,
            (*(details.metadata or ()), *self._shown, *trace_headers()),
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )


def _answers(call: Any) -> Iterator[Any]:
    try:
        yield from call
    except grpc.RpcError as error:
        raise error_of(error) from error
    finally:
        call.cancel()  # who stops reading ends the call; one that has ended does not mind
