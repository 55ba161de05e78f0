"""The wire between the server's machine and the platform's, which can be cut.

Carries IP packets between two TUN devices and delivers each after a fixed time. Whatever is under
way when the wire is cut is lost, as is everything after, until it is healed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

LATENCY_S = 0.05
"""One way."""
_TCP = 6
_LARGEST = 65_536


@dataclass(frozen=True, slots=True)
class _Segment:
    """One TCP packet: whose it is, and how much of a request or an answer it carries."""

    port: int
    payload: int


def _segment(packet: bytes) -> _Segment | None:
    if packet[0] >> 4 != 4 or packet[9] != _TCP:
        return None
    header = (packet[0] & 15) * 4
    total = int.from_bytes(packet[2:4], "big")
    offset = (packet[header + 12] >> 4) * 4
    port = int.from_bytes(packet[header : header + 2], "big")
    return _Segment(port, total - header - offset)


class Wire:
    """`near` is the server's end, `far` the platform's: descriptors of TUN devices."""

    def __init__(self, near: int, far: int, latency_s: float = LATENCY_S) -> None:
        self._near = near
        self._far = far
        self._latency_s = latency_s
        self._kept_back: asyncio.Queue[tuple[bytes, _Segment]] | None = None
        self._is_cut = False
        self._port = 0
        self.cut_at_s = 0.0
        self.cut_wall_ns = 0
        self.last_sent_at_s = 0.0
        """When the server's machine last sent something of the change that met the cut."""

    def open(self) -> None:
        """Carries from now on."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._near, self._take, self._near, self._far)
        loop.add_reader(self._far, self._take, self._far, self._near)

    def close(self) -> None:
        """Carries no more."""
        loop = asyncio.get_running_loop()
        for end in (self._near, self._far):
            loop.remove_reader(end)
            os.close(end)

    async def cut_at(self, is_the_change: Callable[[], Awaitable[bool]]) -> None:
        """Keeps each request back until it is known whether it is the change, and is cut by the one
        that is: it was sent, and does not arrive. Returns then.
        """
        self._kept_back = asyncio.Queue()
        while True:
            packet, request = await self._kept_back.get()
            if await is_the_change():
                break
            self._send(packet, self._far)
        self._is_cut, self._port = True, request.port
        self._kept_back = None
        self.cut_at_s = self.last_sent_at_s = asyncio.get_running_loop().time()
        self.cut_wall_ns = time.time_ns()

    def heal(self) -> None:
        """Carries again."""
        self._is_cut = False

    def _take(self, source: int, target: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while packet := os.read(source, _LARGEST):
                self._carry(packet, source, target)

    def _carry(self, packet: bytes, source: int, target: int) -> None:
        segment = _segment(packet)
        if source == self._near and segment is not None and segment.payload:
            if self._kept_back is not None:
                self._kept_back.put_nowait((packet, segment))
                return
            if segment.port == self._port:
                self.last_sent_at_s = asyncio.get_running_loop().time()
        self._send(packet, target)

    def _send(self, packet: bytes, target: int) -> None:
        asyncio.get_running_loop().call_later(self._latency_s, self._deliver, packet, target)

    def _deliver(self, packet: bytes, target: int) -> None:
        if not self._is_cut:
            with contextlib.suppress(OSError):
                os.write(target, packet)
