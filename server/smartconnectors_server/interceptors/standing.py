"""How a platform is: the worst of its connection, its circuit breaker and its pauses. Everything
that shows a platform's state shows this one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smartconnectors_server.circuitbreaker import State

if TYPE_CHECKING:
    from smartconnectors_server.budget import Keeper
    from smartconnectors_server.interceptors._base import PlatformRuntime


class PlatformState(enum.Enum):
    """Ordered from the best to the worst."""

    OPERATIONAL = "operational"
    """Bids are sent."""
    HALF_OPEN = "half_open"
    """The circuit breaker lets a few probes through."""
    CONNECTING = "connecting"
    """The first attempt to connect is under way; bids wait for it."""
    PAUSED = "paused"
    """An operator has stopped new bids."""
    CIRCUIT_OPEN = "circuit_open"
    """The circuit breaker lets nothing through; bids are deferred."""
    NOT_CONNECTED = "not_connected"
    """The platform cannot be called; bids are deferred, or refused when its account is."""

    @property
    def is_down(self) -> bool:
        """True when no bid reaches the platform, and no operator wanted that."""
        return self in (PlatformState.CIRCUIT_OPEN, PlatformState.NOT_CONNECTED)


@dataclass(frozen=True, slots=True)
class Standing:
    """One platform's state.

    Attributes:
        reason: a sentence for operators; empty while it is operational.
        retry_after_s: until that may change by itself; None: no time is known.
    """

    state: PlatformState
    reason: str = ""
    retry_after_s: float | None = None


def standing_of(runtime: PlatformRuntime, keeper: Keeper) -> Standing:
    """A platform's state now."""
    link, breaker = runtime.link, runtime.breaker
    if link.attempted and not link.is_connected:
        return Standing(PlatformState.NOT_CONNECTED, link.why, link.retry_after_s)
    circuit = breaker.state
    if circuit is State.OPEN:
        reason = "the circuit breaker is open after failed or slow calls"
        return Standing(PlatformState.CIRCUIT_OPEN, reason, breaker.retry_after_s())
    if keeper.pause_of((runtime.book,)) is not None:
        return Standing(PlatformState.PAUSED, "an operator has stopped new bids")
    if not link.is_connected:
        return Standing(PlatformState.CONNECTING, "the first attempt to connect is under way")
    if circuit is State.HALF_OPEN:
        return Standing(PlatformState.HALF_OPEN, "the circuit breaker lets a few probes through")
    return Standing(PlatformState.OPERATIONAL)
