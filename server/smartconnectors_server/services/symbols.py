"""What server reflection looks symbols up in."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor


class Symbols:
    """The descriptors of this process, as reflection asks for them. A method is a symbol too: some
    tools (ghz) ask for nothing else, and protobuf's own pool does not find one.
    """

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        """Everything else is asked of protobuf's pool."""
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file that declares it. Raises KeyError."""
        try:
            found: FileDescriptor = self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            methods = self._pool.FindServiceByName(service).methods_by_name
            found = methods[method].containing_service.file
        return found
