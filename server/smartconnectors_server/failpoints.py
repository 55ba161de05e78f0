"""Named places at which a crash test kills the process, as `kill -9` would.

Armed by the setting `server.failpoint` and by nothing else; otherwise a look at one variable. A
point of the ledger is a write and a moment of it, `settle_after_commit`; the others are places on a
bid's way. `settle_after_commit:7` dies there the seventh time.
"""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Callable, Collection
from dataclasses import dataclass


class Write(enum.Enum):
    """What the ledger makes durable, by what an audit line calls it and by who said so."""

    RESERVE = "reserve"
    DEFER_NEW = "defer_new"
    """Deferred from the start."""
    DEFER = "defer"
    """Held before."""
    DISPATCH = "dispatch"
    SETTLE = "settle"
    SETTLE_LATE = "settle_late"
    RELEASE = "release"
    REJECT = "reject"
    EXPIRE = "expire"
    SUPERSEDE = "supersede"
    DOUBT = "doubt"
    RESOLVE_BY_RECONCILER = "resolve_by_reconciler"
    """A settle or release of what was in doubt, by the platform's word."""
    RESOLVE_BY_OPERATOR = "resolve_by_operator"
    LIMIT = "limit"
    PAUSE = "pause"
    RESUME = "resume"
    PAUSE_CAMPAIGN = "pause_campaign"
    RESUME_CAMPAIGN = "resume_campaign"
    ALERT = "alert"
    """With the change that crossed the level."""
    ALERT_END = "alert_end"
    CONFIGURE = "configure"
    BIND = "bind"
    """What the state directory is bound to, also by an adoption."""
    ERASE = "erase"
    """The line that a customer's data was erased."""
    CALLS = "calls"
    """Calls to a platform, claimed before they are made."""


class Moment(enum.Enum):
    """When in the life of a write."""

    IN_MEMORY = "in_memory"
    """Done in memory, nothing of it on disk."""
    BEFORE_COMMIT = "before_commit"
    """Its batch is about to be committed."""
    AFTER_COMMIT = "after_commit"
    """Its batch is on disk, nobody has been told."""


class Place(enum.Enum):
    """Where on a bid's way, or in a commit."""

    HELD = "held"
    """The hold is durable, nothing has been sent."""
    ANSWERED = "answered"
    """The platform has accepted, nothing is settled."""
    DEFERRED_DISPATCH = "deferred_dispatch"
    """A deferred hold is durably about to be sent."""
    MARK = "mark"
    """A batch is on disk, and the mark of how many lines were committed is not yet."""


Failpoint = Place | tuple[Write, Moment]

FAILPOINTS: dict[str, Failpoint] = {
    **{place.value: place for place in Place},
    **{f"{write.value}_{moment.value}": (write, moment) for write in Write for moment in Moment},
}
"""Every point, by its name."""


@dataclass(slots=True)
class _Armed:
    """The one point that is armed, and how often it still may be passed."""

    point: Failpoint
    left: int

    def pass_by(self) -> None:
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


_armed: _Armed | None = None


def parse(setting: str) -> tuple[Failpoint, int] | None:
    """The point, and the how-manieth time it is reached; None for an empty setting.

    Raises ValueError.
    """
    if not setting:
        return None
    name, colon, times = setting.partition(":")
    if name not in FAILPOINTS:
        raise ValueError(f"no failpoint is called {name!r}; there are: {', '.join(FAILPOINTS)}")
    if colon and not (times.isdecimal() and int(times) > 0):
        raise ValueError(f"{setting!r}: after the colon, which time it is reached: 1 or more")
    return FAILPOINTS[name], int(times or 1)


def arm(setting: str) -> None:
    """Kills this process when the point is reached; an empty setting disarms. Raises ValueError."""
    global _armed  # noqa: PLW0603 - a point is passed in places that nothing could be handed to
    parsed = parse(setting)
    _armed = None if parsed is None else _Armed(*parsed)


def reached(place: Place) -> None:
    """Dies here if this place is armed."""
    if _armed is not None and _armed.point is place:
        _armed.pass_by()


def reached_by(moment: Moment, writes: Callable[[], Collection[Write]]) -> None:
    """Dies here if this moment of one of these writes is armed."""
    if _armed is None or isinstance(_armed.point, Place) or _armed.point[1] is not moment:
        return
    if _armed.point[0] in writes():
        _armed.pass_by()
