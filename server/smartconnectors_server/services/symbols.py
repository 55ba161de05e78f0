"""What server reflection looks symbols up in."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2

V1_SERVICE = "grpc.reflection.v1.ServerReflection"
_ALPHA, _V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"


class Symbols:
    """The descriptors of this process, as reflection asks for them. A method is a symbol too: some
    tools (ghz) ask for nothing else, and protobuf's own pool does not find one.
    """

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        """Everything else is asked of protobuf's pool."""
        return getattr(self._pool, name)

    def FindFileByName(self, name: str) -> FileDescriptor:
        """The file of that name. Raises KeyError."""
        pool = _v1_pool() if name.startswith("grpc/reflection/v1/") else self._pool
        found: FileDescriptor = pool.FindFileByName(name)
        return found

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file that declares it. Raises KeyError."""
        pool = _v1_pool() if symbol.startswith(f"{_V1}.") else self._pool
        try:
            found: FileDescriptor = pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            methods = pool.FindServiceByName(service).methods_by_name
            found = methods[method].containing_service.file
        return found


@lru_cache
def _v1_pool() -> Any:
    """Reflection's own `v1`, which the Python package does not ship: `v1alpha` with another
    package. In a pool of its own, so that whoever ships it can still register it.
    """
    file = descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    file.name, file.package = "grpc/reflection/v1/reflection.proto", _V1
    for message in file.message_type:
        for field in (one for one in message.field if one.type_name):
            field.type_name = field.type_name.replace(f".{_ALPHA}.", f".{_V1}.")
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(f".{_ALPHA}.", f".{_V1}.")
            method.output_type = method.output_type.replace(f".{_ALPHA}.", f".{_V1}.")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool
