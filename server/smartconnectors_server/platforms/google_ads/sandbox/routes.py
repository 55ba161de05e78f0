"""The two methods of Google's GoogleAdsService that are served, in every version of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_args

import grpc

from smartconnectors_server.platforms.google_ads.options import ApiVersion

MUTATE = "Mutate"
SEARCH_STREAM = "SearchStream"

_PATH = re.compile(
    r"/google\.ads\.googleads\.(?P<version>v\d+)\.services\.GoogleAdsService/(?P<method>\w+)"
)


@dataclass(frozen=True, slots=True)
class Route:
    """A method of one version."""

    version: str
    method: str


Context = Any
Unary = Callable[[Route, bytes, Context], Awaitable[bytes]]
Stream = Callable[[Route, bytes, Context], AsyncIterator[bytes]]


class Handler(grpc.GenericRpcHandler):
    """Hands requests on as bytes, so that a version is imported when it is first asked for and a
    malformed answer can be sent. Other methods are UNIMPLEMENTED, as grpc says by itself.
    """

    def __init__(self, unary: Unary, stream: Stream) -> None:
        self._unary = unary
        self._stream = stream

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        match = _PATH.fullmatch(handler_call_details.method)
        if match is None or match["version"] not in get_args(ApiVersion):
            return None
        route = Route(match["version"], match["method"])

        if route.method == MUTATE:

            async def unary(payload: bytes, context: Context) -> bytes:
                return await self._unary(route, payload, context)

            return grpc.unary_unary_rpc_method_handler(unary)
        if route.method == SEARCH_STREAM:

            async def stream(payload: bytes, context: Context) -> AsyncIterator[bytes]:
                async for part in self._stream(route, payload, context):
                    yield part

            return grpc.unary_stream_rpc_method_handler(stream)
        return None
