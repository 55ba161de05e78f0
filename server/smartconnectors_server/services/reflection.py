"""Server reflection, by both names that tools know it by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from smartconnectors_server.services.symbols import V1_SERVICE, Symbols

SERVICES = (reflection.SERVICE_NAME, V1_SERVICE)


def add_reflection(server: Any, services: Iterable[str]) -> None:
    """Serves reflection of these services and of itself. The messages of `v1` are those of
    `v1alpha` but for their package, so one servicer answers both.
    """
    servicer = reflection.aio.ReflectionServicer([*services, *SERVICES], pool=cast(Any, Symbols()))
    register: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    register(servicer, server)
    v1 = grpc.stream_stream_rpc_method_handler(
        cast(Any, servicer.ServerReflectionInfo),
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(V1_SERVICE, {"ServerReflectionInfo": v1})
    server.add_generic_rpc_handlers((handlers,))
