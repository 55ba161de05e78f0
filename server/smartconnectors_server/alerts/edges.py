"""When a condition begins and when it has ended, with room in between so that it does not flutter.
Pure.
"""

from __future__ import annotations

from smartconnectors_server.clock import NANOS_PER_SECOND

NEAR_PERCENT = 90
REARM_POINTS = 5
QUIET_S = 60.0
"""So long without a slow commit, and the ledger is not slow any more."""


def is_near_limit(stood: bool, used: int, headroom: int) -> bool:
    """Whether a quota is nearly used up: from 90 % on, until it has fallen below 85 %.

    `headroom`: what may still be called. Where nothing may be called, it is.
    """
    percent = NEAR_PERCENT - REARM_POINTS if stood else NEAR_PERCENT
    return used * 100 >= percent * (used + headroom)


def is_overdue(since_ns: int, now_ns: int, after_s: float) -> bool:
    """Whether something has lasted too long."""
    return now_ns - since_ns >= round(after_s * NANOS_PER_SECOND)


class Slowness:
    """Whether commits are slow: from one slow commit on, until a minute without any has passed."""

    def __init__(self, stands: bool, now_ns: int) -> None:
        self.stands = stands
        self._last_ns = now_ns

    def slow(self, now_ns: int) -> None:
        """A commit was slow, or none is possible."""
        self.stands = True
        self._last_ns = now_ns

    def look(self, now_ns: int) -> bool:
        """Whether it still stands."""
        self.stands = self.stands and not is_overdue(self._last_ns, now_ns, QUIET_S)
        return self.stands
