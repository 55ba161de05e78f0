"""The kernel of the server's machine: it goes on sending what was written to a socket, after the
end of the call and of the process, for as long as the options of the socket let it.
"""

from __future__ import annotations

import dataclasses
import random
import socket
from dataclasses import dataclass, field
from functools import cache

from tests.simulation.change import Change
from tests.simulation.terms import TIMEOUT_S
from tests.simulation.world import VirtualClock

from smartconnectors_server.connector import sockets

RETRANSMISSIONS = 8
"""Of a socket that nobody holds any more: `net.ipv4.tcp_orphan_retries`."""


@cache
def user_timeout_s() -> float:
    """What bounds the kernel on a connection for changes; infinite: nothing does."""
    create = sockets.for_changes(round(TIMEOUT_S * 1000))
    with create((socket.AF_INET, socket.SOCK_STREAM, 0)) as made:
        value_ms = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    return value_ms / 1000 if value_ms else float("inf")


@dataclass
class Kernel:
    """What it has yet to deliver to one platform. Its timers are suspended with the machine."""

    chance: random.Random
    clock: VirtualClock
    waiting: list[tuple[float, Change]] = field(default_factory=list)
    """When each is delivered, in seconds of the time that the machine is awake."""

    def take(self, change: Change, partition_s: float) -> None:
        """A change is written, and the network is partitioned for so long from now on."""
        first_s = self.chance.uniform(0.25, 1.5)
        for number in range(1, RETRANSMISSIONS + 1):
            after_s = first_s * (2**number - 1)
            if after_s - first_s > user_timeout_s():
                return
            if after_s >= partition_s:
                self.waiting.append((self.clock.awake_s() + after_s, change))
                return

    def delivered(self) -> list[Change]:
        """What has been delivered since it was last asked for."""
        awake_s, now_s = self.clock.awake_s(), self.clock.now_s()
        due = [item for item in self.waiting if item[0] <= awake_s]
        self.waiting = [item for item in self.waiting if item[0] > awake_s]
        return [dataclasses.replace(change, at_s=now_s - awake_s + at_s) for at_s, change in due]

    def changes(self) -> list[Change]:
        """What may still be delivered."""
        return [change for _, change in self.waiting]
