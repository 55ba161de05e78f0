"""What one run is, decided by its seed, and what it came to."""

from __future__ import annotations

import random
from dataclasses import dataclass

PLATFORMS = ("meta", "trade_desk", "google_ads")
SHARES = (2, 2, 1)
SHORTEST_S, LONGEST_S = 5.0, 60.0


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        partition_s: how long the network is cut.
        killed_after_s: when the server is killed and started again; None: it is not.
        retries: the caller of the change that met the cut sends it again once it was released;
            otherwise others take the room.
        cured: False: the server lacks what protects it.
        waits_for_retransmission: the partition ends right after the change was retransmitted once
            more, which leaves the room to be sold most time before the next time.
    """

    seed: int
    platform: str
    timeout_ms: int
    partition_s: float
    killed_after_s: float | None
    retries: bool
    cured: bool = True
    waits_for_retransmission: bool = False


def draw(seed: int, *, cured: bool = True) -> Plan:
    """The run of this seed."""
    chance = random.Random(seed)
    platform = chance.choices(PLATFORMS, SHARES)[0]
    timeout_ms = chance.choice([1_000, 2_000, 5_000])
    partition_s = round(chance.uniform(SHORTEST_S, LONGEST_S), 1)
    latest_s = min(partition_s, 1.5 * timeout_ms / 1000)
    killed_after_s = round(chance.uniform(0.2, latest_s), 2) if chance.random() < 0.4 else None
    retries = chance.random() < 0.3
    return Plan(seed, platform, timeout_ms, partition_s, killed_after_s, retries, cured)


@dataclass
class Result:
    """What one run came to. Times are seconds since the cut.

    Attributes:
        last_sent_s: when the server's machine last sent something of the change.
        released_s: when the server gave the money back; None: it did not.
        arrived_s: when the platform last applied the change, or what its caller sent again; None:
            it never did.
        over_micros: how much more than the limit the platform applied.
        twice: how many requests the platform applied twice.
        failed: why the run says nothing; empty: it does.
    """

    plan: Plan
    last_sent_s: float = 0.0
    released_s: float | None = None
    arrived_s: float | None = None
    over_micros: int = 0
    twice: int = 0
    failed: str = ""

    @property
    def overspent(self) -> bool:
        """Whether a promise was broken."""
        return self.over_micros > 0 or self.twice > 0


def watched_until_s(partition_s: float, latency_s: float) -> float:
    """So long after the cut the kernel's next retransmission after the partition has arrived. The
    first comes after three round trips or a round trip and 0.2 s, each after twice the time.
    """
    wait_s = max(6 * latency_s, 2 * latency_s + 0.2)
    at_s = wait_s
    while at_s < partition_s:
        wait_s *= 2
        at_s += wait_s
    return 1.1 * at_s + 2.0
