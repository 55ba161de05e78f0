"""Pictures as they change, to any number of viewers: made once for all of them, and not at all
while nobody looks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock

LOOK_EVERY_S = 0.5
QUIET_S = 10.0
"""After so long without a change, a comment keeps proxies from closing the stream."""


def ended(reason: str) -> bytes:
    """The last event, so that a viewer can tell it from a connection that broke."""
    return f'event: end\ndata: {{"reason":"{reason}"}}\n\n'.encode()


class Live:
    """Server-sent events of one picture."""

    def __init__(self, make: Callable[[], dict[str, Any]], clock: Clock) -> None:
        """`make`: the picture now; `now_ms` in it alone is no change."""
        self._make = make
        self._clock = clock
        self._made_ns = -1
        self._text = ""
        self._compared = ""
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Ends every stream."""
        self._closed.set()

    async def events(self) -> AsyncIterator[bytes]:
        """The picture at once, then whenever it has changed; in the end, that the server stops."""
        told, told_ns = "", self._clock.monotonic_ns()
        while not self._closed.is_set():
            self._look()
            if self._compared != told:
                told, told_ns = self._compared, self._clock.monotonic_ns()
                yield f"data: {self._text}\n\n".encode()
            elif self._clock.monotonic_ns() - told_ns > QUIET_S * NANOS_PER_SECOND:
                told_ns = self._clock.monotonic_ns()
                yield b": still here\n\n"
            await self._pause()
        yield ended("SERVER_DRAINING")

    def _look(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._made_ns >= 0 and now_ns - self._made_ns < LOOK_EVERY_S * NANOS_PER_SECOND / 2:
            return
        self._made_ns = now_ns
        made = self._make()
        self._text = json.dumps(made, separators=(",", ":"))
        self._compared = json.dumps({**made, "now_ms": 0}, separators=(",", ":"))

    async def _pause(self) -> None:
        waits = [
            asyncio.ensure_future(self._clock.sleep(LOOK_EVERY_S)),
            asyncio.ensure_future(self._closed.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
