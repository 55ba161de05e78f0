"""Sockets for changes: nothing of a change leaves the machine once the server has given it up.

What a process writes to a socket outlives the call and the process: the kernel retransmits it for
up to 100 seconds, also after the socket was closed and after `kill -9`. After a network partition
such a change would still reach the platform, long after it was found not to be there. Two things
prevent that:

- The socket is created to be reset: closing it, or the end of the process, drops what was not
  delivered. Only when the platform has answered is it set to close in the normal way.
- TCP_USER_TIMEOUT bounds what the kernel does by itself: it drops the connection when what was
  sent stays unacknowledged for that long. The kernel counts from the first retransmission, which
  follows the first transmission after one round trip and about 0.2 s. With the platform's timeout
  as the user timeout, the last retransmission therefore leaves one timeout and this fraction of a
  second after the call's end at the latest. The quiet period, at least two timeouts from the
  call's end, has nearly a whole timeout to spare. While a connection is being made nothing has
  been written, so the retransmission of a SYN is harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
"""The socket option; None on systems without it, such as macOS."""

_RESET = struct.pack("ii", 1, 0)
_NORMAL = struct.pack("ii", 0, 0)


def for_changes(
    timeout_ms: int, option: int | None = USER_TIMEOUT
) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Returns aiohttp's `socket_factory` for connections that carry changes.

    `timeout_ms`: the longest that a change's call may take. `option`: as `USER_TIMEOUT`.
    """

    def create(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol = address[:3]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if option is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, timeout_ms)
        return made

    return create


def answered(transport: asyncio.Transport) -> None:
    """Lets the connection close in the normal way: the platform has answered."""
    _set_linger(transport, _NORMAL)


def reset(transport: asyncio.Transport) -> None:
    """Drops the connection and everything that was not delivered, in the process and the kernel."""
    _set_linger(transport, _RESET)
    transport.abort()


def _set_linger(transport: asyncio.Transport, value: bytes) -> None:
    found = transport.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):  # closed already
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)


def warning(option: int | None = USER_TIMEOUT) -> str | None:
    """What to log at start on a system that cannot bound retransmission; None on any other."""
    if option is not None:
        return None
    return (
        "this system has no TCP_USER_TIMEOUT: a change that was under way when the network was cut"
        " may be delivered minutes later if the kernel does not drop it; on Linux it cannot be"
    )
