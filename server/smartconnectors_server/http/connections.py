"""Connections of the HTTP port: how many there may be, and for how long one may say nothing.

The bounds hold from accepting on, before TLS and before a byte is read, since a connection costs a
file from there on. One too many closes the one that has waited longest for a request.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock

LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class HttpRules:
    """Seconds."""

    first_request_s: float = 5.0
    """From accepting, TLS included, to the end of the first request's headers."""
    idle_s: float = 75.0
    """From an answer to the end of the next request's headers. Longer than a scrape's interval."""
    request_s: float = 30.0
    """From a request's headers to its answer, the body included."""
    write_s: float = 10.0
    """How long a viewer of a stream may read nothing once its buffers are full."""
    handshake_s: float = 5.0


class Connections:
    """All of them. For one event loop."""

    def __init__(
        self,
        most: int,
        clock: Clock,
        turned_away: Callable[[str], None],
        rules: HttpRules | None = None,
    ) -> None:
        """`most`: at once, half of them from one address. `turned_away`: is told the reason of each
        connection that is closed before it said anything, or when it no longer does.
        """
        self._most = most
        self._most_from_one = max(1, most // 2)
        self._clock = clock
        self._turned_away = turned_away
        self.rules = rules or HttpRules()
        self._open: dict[_Guarded, None] = {}
        """Those that wait for a request, in the order in which they began to, among the others."""
        self._of_address: Counter[str] = Counter()
        self._of_transport: dict[asyncio.BaseTransport, _Guarded] = {}

    def protocol(
        self, make: Callable[[], asyncio.Protocol], encryption: Callable[[], ssl.SSLContext] | None
    ) -> asyncio.Protocol:
        """For one connection: speaks what `make` makes, through TLS with `encryption`."""
        return _Guarded(self, make, encryption)

    def of(self, request: web.Request) -> _Guarded | None:
        """The connection of a request; None: it is closed."""
        transport = request.transport
        return None if transport is None else self._of_transport.get(transport)

    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    async def run(self) -> None:
        """Closes those whose time is over, until it is cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            now_ns = self._clock.monotonic_ns()
            for one in list(self._open):
                if one.until_ns is not None and one.until_ns <= now_ns:
                    self._close(one, "idle" if one.answered else "late_request")

    def close(self) -> None:
        """Closes all."""
        for one in list(self._open):
            self.gone(one)
            one.abort()

    # For the connections themselves

    def take(self, one: _Guarded) -> bool:
        """False: it has to be closed at once."""
        crowded = self._of_address[one.address] >= self._most_from_one
        if crowded or len(self._open) >= self._most:
            waits = next(
                (
                    other
                    for other in self._open
                    if not other.busy and (not crowded or other.address == one.address)
                ),
                None,
            )
            self._turned_away("too_many")
            if waits is None:
                return False
            self.gone(waits)
            waits.abort()
        self._open[one] = None
        self._of_address[one.address] += 1
        return True

    def speaks(self, one: _Guarded, transport: asyncio.BaseTransport) -> None:
        """Its requests come over `transport`."""
        self._of_transport[transport] = one

    def waits(self, one: _Guarded, seconds: float) -> None:
        """From now on it waits for a request."""
        if one in self._open:
            del self._open[one]
            self._open[one] = None
        one.until_ns = self.after_ns(seconds)

    def after_ns(self, seconds: float) -> int:
        """So many seconds from now."""
        return self._clock.monotonic_ns() + round(seconds * NANOS_PER_SECOND)

    def gone(self, one: _Guarded) -> None:
        """It is closed, or about to be."""
        if one not in self._open:
            return
        del self._open[one]
        self._of_address[one.address] -= 1
        if not self._of_address[one.address]:
            del self._of_address[one.address]
        if one.spoken is not None:
            self._of_transport.pop(one.spoken, None)

    def _close(self, one: _Guarded, why: str) -> None:
        self._turned_away(why)
        self.gone(one)
        one.abort()


class _Guarded(asyncio.Protocol):
    """One connection, around the protocol that speaks HTTP.

    Attributes:
        address: the peer's, without its port.
        spoken: what HTTP is spoken over; None before TLS is.
        until_ns: when it is closed; None: it may take its time.
        busy: whether a request is under way.
        answered: whether one was answered.
    """

    def __init__(
        self,
        all_: Connections,
        make: Callable[[], asyncio.Protocol],
        encryption: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        self._all = all_
        self._make = make
        self._encryption = encryption
        self._socket: asyncio.Transport | None = None
        self._inner: asyncio.Protocol | None = None
        self._early = b""
        self._handshake: asyncio.Task[None] | None = None
        self.spoken: asyncio.BaseTransport | None = None
        self.address = ""
        self.until_ns: int | None = None
        self.busy = False
        self.answered = False

    # What a request says of itself

    def begin(self) -> None:
        """A request's headers are there."""
        self.busy = True
        self.until_ns = self._all.after_ns(self._all.rules.request_s)

    def streams(self) -> None:
        """Its answer goes on for as long as it is read."""
        self.until_ns = None

    def writes(self) -> None:
        """A part of such an answer is written; `streams` when it was."""
        self.until_ns = self._all.after_ns(self._all.rules.write_s)

    def end(self) -> None:
        """It was answered."""
        self.busy = False
        self.answered = True
        self._all.waits(self, self._all.rules.idle_s)

    def abort(self) -> None:
        """Closes it at once."""
        if self._handshake is not None:
            self._handshake.cancel()
        if self._socket is not None:
            self._socket.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername") or ("",)
        self.address = str(peer[0])
        if not self._all.take(self):
            self._socket.abort()
            return
        self.until_ns = self._all.after_ns(self._all.rules.first_request_s)
        if self._encryption is None:
            self._speak(transport)
            return
        self._socket.pause_reading()
        self._handshake = asyncio.create_task(self._encrypt(self._encryption()))

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        assert self._socket is not None
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                self._socket,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._all.rules.handshake_s,
            )
        except (OSError, EOFError):  # ssl.SSLError is an OSError
            encrypted = None
        self._handshake = None
        if encrypted is None:
            self._all.gone(self)
            self._socket.abort()
            return
        self._speak(encrypted)
        early, self._early = self._early, b""
        if early and self._inner is not None:
            self._inner.data_received(early)

    def _speak(self, transport: asyncio.BaseTransport) -> None:
        self.spoken = transport
        self._all.speaks(self, transport)
        self._inner = self._make()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._inner is None:  # TLS has begun, and its beginning has not been noticed yet
            self._early += data
        else:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.gone(self)
        if self._inner is not None:
            self._inner.connection_lost(exc)


def counted(connections: Connections) -> Any:
    """A middleware that says when requests begin and end."""

    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        one = connections.of(request)
        if one is None:
            raise ConnectionResetError
        one.begin()
        try:
            answer: web.StreamResponse = await handler(request)
        finally:
            one.end()
        return answer

    return middleware
