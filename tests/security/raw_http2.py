"""A client that speaks just enough HTTP/2 to open calls and never send their message."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Self

from tests.soak.half_open import PREFACE, frame, request_headers

_DATA, _HEADERS, _RESET, _SETTINGS, _PING = 0, 1, 3, 4, 6
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_FRAME_HEADER_BYTES = 9
_OURS = b"half-open"[:8]


def _literal(value: bytes) -> bytes:
    """A string of HPACK, up to 380 bytes."""
    if len(value) < 127:
        return bytes([len(value)]) + value
    return bytes([127]) + _rest(len(value) - 127) + value


def _rest(number: int) -> bytes:
    written = b""
    while number >= 128:
        written += bytes([number % 128 + 128])
        number //= 128
    return written + bytes([number])


def call_headers(path: str, token: str = "") -> bytes:
    """The headers of a call."""
    shown = b"\x00" + _literal(b"authorization") + _literal(f"Bearer {token}".encode())
    return request_headers(path) + (shown if token else b"")


class HalfOpen:
    """One connection and the calls that it holds open.

    Attributes:
        ended: how many of its calls the server has ended.
    """

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._next = 1
        self._pongs = 0
        self._pinged = asyncio.Condition()
        self._open: set[int] = set()
        self.ended = 0

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, int(self._port))
        self._writer.write(PREFACE + frame(_SETTINGS, 0, 0))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        self._writer.transport.abort()

    async def begin(self, calls: int, path: str, token: str = "", data: bytes = b"") -> None:
        """Sends the headers of so many calls, and `data` as the beginning of each one's message;
        returns when the server's transport has read them all.
        """
        headers = call_headers(path, token)
        for _ in range(calls):
            self._open.add(self._next)
            self._writer.write(frame(_HEADERS, _END_HEADERS, self._next, headers))
            if data:
                self._writer.write(frame(_DATA, 0, self._next, data))
            self._next += 2
        await self._writer.drain()
        await self._ping()

    async def until_ended(self, calls: int) -> None:
        """Returns when the server has ended so many of them."""
        async with self._pinged:
            await self._pinged.wait_for(lambda: self.ended >= calls)

    async def _ping(self) -> None:
        before = self._pongs
        self._writer.write(frame(_PING, 0, 0, _OURS))
        async with self._pinged:
            await self._pinged.wait_for(lambda: self._pongs > before)

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await self._reader.readexactly(_FRAME_HEADER_BYTES)
                kind, flags = head[3], head[4]
                (stream,) = struct.unpack(">I", head[5:])
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                await self._heard(kind, flags, stream, payload)

    async def _heard(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _PING and not flags & _ACK:
            self._writer.write(frame(_PING, _ACK, 0, payload))
        elif kind == _SETTINGS and not flags & _ACK:
            self._writer.write(frame(_SETTINGS, _ACK, 0))
        async with self._pinged:
            if kind == _PING and flags & _ACK:
                self._pongs += 1
            ends = kind == _RESET or (kind in (_HEADERS, _DATA) and flags & _END_STREAM)
            if ends and stream in self._open:
                self._open.remove(stream)
                self.ended += 1
            self._pinged.notify_all()
