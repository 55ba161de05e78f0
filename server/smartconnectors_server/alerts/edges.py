"""When a condition begins and when it has ended, with room in between so that it does not flutter.
Pure.
"""

from __future__ import annotations

from smartconnectors_server.clock import NANOS_PER_SECOND

NEAR_PERCENT = 90
EASED_PERCENT = 70
QUIET_S = 60.0
"""So long without a slow commit, and the ledger is not slow any more."""


def is_near_limit(stood: bool, used: int, headroom: int) -> bool:
    """Whether a quota is nearly used up: from 90 % on, until it has fallen below 70 %.

    `headroom`: what may still be called. Where nothing may be called, it is.
    """
    percent = EASED_PERCENT if stood else NEAR_PERCENT
    return used * 100 >= percent * (used + headroom)


def is_overdue(since_ns: int, now_ns: int, after_s: float) -> bool:
    """Whether something has lasted too long."""
    return now_ns - since_ns >= round(after_s * NANOS_PER_SECOND)


class Steady:
    """Whether a condition that comes and goes stands: it begins when it has held for a while
    without a break, and ends when it has not held for a while.
    """

    def __init__(self, stands: bool) -> None:
        self.stands = stands
        self._other_since_ns: int | None = None

    def begin(self) -> None:
        """It stands at once."""
        self.stands, self._other_since_ns = True, None

    def look(self, holds: bool, now_ns: int, *, begins_after_s: float, ends_after_s: float) -> bool:
        """Whether it stands, now that it holds or does not."""
        if holds == self.stands:
            self._other_since_ns = None
            return self.stands
        if self._other_since_ns is None:
            self._other_since_ns = now_ns
        if is_overdue(self._other_since_ns, now_ns, begins_after_s if holds else ends_after_s):
            self.stands, self._other_since_ns = holds, None
        return self.stands


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
