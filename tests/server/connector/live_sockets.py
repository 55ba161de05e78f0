"""What the kernel says of the sockets that this process has open."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path


def user_timeouts_ms(*, port: int = 0, peer_port: int = 0) -> list[int]:
    """TCP_USER_TIMEOUT of every connection of this process with that port at its own end, or at the
    other one.
    """
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(link.name))) as copy:
            if copy.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            peer = copy.getpeername()  # raises OSError for one that listens
            if port == copy.getsockname()[1] or peer_port == peer[1]:
                found.append(copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
    return found
