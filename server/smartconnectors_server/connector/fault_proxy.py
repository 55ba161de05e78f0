"""A TCP forwarder in front of a sandbox, for faults below any protocol.

It always listens on the same port, so a client sees what it would see of a platform that went away
and came back: refused connections, cut connections, reset connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

Address = tuple[str, int]
Route = Callable[[bytes], Address]
"""Where a connection goes, told by the first bytes that its client sends (at least one)."""

_CHUNK_BYTES = 64 * 1024
_NOTICE_S = 0.2
"""How long a client may take to see that its connection was closed; one that keeps it for later
without looking at it is cut off then."""


class _Pipe:
    """One client connection and the connection behind it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._upstream: asyncio.StreamWriter | None = None
        self._client_gone = asyncio.Event()

    async def run(self, route: Route) -> None:
        """Forwards both ways until either side ends."""
        try:
            first = await self._reader.read(_CHUNK_BYTES)
            if not first:
                return
            host, port = route(first)
            upstream_reader, self._upstream = await asyncio.open_connection(host, port)
            self._upstream.write(first)
            back = asyncio.create_task(_copy(upstream_reader, self._writer))
            try:
                await _copy(self._reader, self._upstream)
            finally:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
        except OSError:
            return  # Either side went away; closing the other one is all that is left to do.
        finally:
            self._client_gone.set()
            self._writer.close()
            if self._upstream is not None:
                self._upstream.close()

    async def finish(self) -> None:
        """Closes towards the client and returns when the client has seen it."""
        if self._writer.can_write_eof() and not self._writer.is_closing():
            with contextlib.suppress(OSError):
                self._writer.write_eof()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._client_gone.wait(), _NOTICE_S)
        self._writer.transport.abort()

    def reset(self) -> None:
        """Cuts the client off with a TCP reset."""
        raw: socket.socket | None = self._writer.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):  # the client is gone already
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        if self._upstream is not None:
            self._upstream.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until the end of `reader` or until either side fails."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    # A side that ended while the other still listens ends the pair: no protocol here half-closes.
    writer.close()


class FaultProxy:
    """Forwards TCP connections to where `route` says, unless told to misbehave."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._pipes: dict[_Pipe, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self._address: Address | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listens, and returns the port. Raises OSError when the port is taken."""
        await self._listen(host, port)
        assert self._address is not None
        return self._address[1]

    async def refuse(self) -> None:
        """Refuses connections from now on, and ends the open ones; returns when it is so."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await asyncio.gather(*(pipe.finish() for pipe in tuple(self._pipes)))

    async def accept(self) -> None:
        """Takes connections again, on the same port."""
        if self._server is None and self._address is not None:
            await self._listen(*self._address)

    def reset(self) -> None:
        """Resets every open connection; new ones are taken."""
        for pipe in tuple(self._pipes):
            pipe.reset()

    async def close(self) -> None:
        """Stops for good."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        await asyncio.gather(*self._pipes.values(), return_exceptions=True)

    async def _listen(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._connected, host, port)
        bound = self._server.sockets[0].getsockname()
        self._address = (bound[0], bound[1])

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            # Accepted just before listening ended, handed to us just after.
            writer.transport.abort()
            return
        pipe = _Pipe(reader, writer)
        task = asyncio.create_task(pipe.run(self._route))
        self._pipes[pipe] = task
        task.add_done_callback(lambda _: self._pipes.pop(pipe, None))
