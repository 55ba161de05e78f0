"""A caller's connection to the server: every platform's methods, and the budgets."""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf.message_factory import GetMessageClass

from smartconnectors.budgets.v1 import budget_service_pb2_grpc as budgets_grpc
from smartconnectors_server.platforms import PLATFORMS

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    # Two links to one address are two connections.
    ("grpc.use_local_subchannel_pool", 1),
)


def request_of(platform: str, method: str, **fields: Any) -> Any:
    """A request of a platform's method."""
    descriptor = PLATFORMS[platform].service.methods_by_name[method]
    return GetMessageClass(descriptor.input_type)(**fields)


class Link:
    """One connection."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address, _OPTIONS)
        self.budgets: Any = budgets_grpc.BudgetServiceStub(self.channel)
        self._calls: dict[tuple[str, str], Any] = {}

    def method(self, platform: str, name: str) -> Any:
        """A platform's method, as a generated stub has it."""
        if (platform, name) not in self._calls:
            service = PLATFORMS[platform].service
            descriptor = service.methods_by_name[name]
            many = name == "StreamBids"
            make: Any = self.channel.stream_stream if many else self.channel.unary_unary
            self._calls[platform, name] = make(
                f"/{service.full_name}/{name}",
                request_serializer=GetMessageClass(descriptor.input_type).SerializeToString,
                response_deserializer=GetMessageClass(descriptor.output_type).FromString,
            )
        return self._calls[platform, name]

    async def ask(self, platform: str, name: str, request: Any, timeout_s: float) -> Any:
        """One unary call. Raises grpc.aio.AioRpcError."""
        return await self.method(platform, name)(request, timeout=timeout_s)

    async def close(self) -> None:
        """Closes the connection."""
        await self.channel.close()
