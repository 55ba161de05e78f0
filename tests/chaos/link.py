"""A TCP link between a server and a platform that can hold, truncate and cut what passes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from urllib.parse import urlsplit

CHUNK_BYTES = 64 * 1024
Delay = Callable[[], float]


class Link:
    """Forwards to one endpoint. Faults are set from outside and apply to bytes that pass from then
    on.

    Attributes:
        hold_s: how long bytes from the server wait before the platform gets them, drawn for each
            chunk; the platform gets them even if the server has given up in between.
        truncate: chance that a chunk from the server is cut in the middle and the connection
            closed on both sides.
    """

    def __init__(self, endpoint: str, chance: random.Random) -> None:
        """`endpoint`: a platform's, as a URL or as host:port."""
        self._endpoint = endpoint
        parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        self._behind = (parts.hostname or "", parts.port or 0)
        self._authority = parts.netloc
        self._chance = chance
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut = False
        self.hold_s: Delay = lambda: 0.0
        self.truncate = 0.0

    async def start(self) -> str:
        """Listens; returns the endpoint in the form of the one behind it."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return self._endpoint.replace(self._authority, f"{host}:{port}")

    def clear(self) -> None:
        """Passes everything at once again."""
        self.hold_s = lambda: 0.0
        self.truncate = 0.0
        self._cut = False

    def cut(self) -> None:
        """Closes every connection, and each new one at once, until `clear`."""
        self._cut = True
        for writer in tuple(self._open):
            writer.transport.abort()

    async def close(self) -> None:
        """Ends everything."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back_reader, back_writer = await asyncio.open_connection(*self._behind)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back_writer}
        answers = asyncio.create_task(_copy(back_reader, writer))
        try:
            await self._copy_held(reader, back_writer)
            # What is under way back may still arrive, as through any box on the way.
            await asyncio.wait({answers}, timeout=1.0)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            self._open -= {writer, back_writer}
            writer.transport.abort()
            back_writer.transport.abort()

    async def _copy_held(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if (hold_s := self.hold_s()) > 0:
                    await asyncio.sleep(hold_s)
                if self._chance.random() < self.truncate:
                    onward.write(chunk[: self._chance.randrange(len(chunk))])
                    await onward.drain()
                    onward.close()
                    return
                onward.write(chunk)
                await onward.drain()
            if onward.can_write_eof():
                onward.write_eof()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
