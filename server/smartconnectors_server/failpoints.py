"""Named places at which a crash test kills the process, as `kill -9` would.

Armed by the setting `server.failpoint` and by nothing else; otherwise a look at one variable.
"""

from __future__ import annotations

import enum
import os
import signal


class Failpoint(enum.Enum):
    """Every point between a bid's arrival and its settling at which a crash leaves other traces."""

    RESERVE_IN_MEMORY = "reserve_in_memory"
    """Admitted, nothing on disk."""
    COMMIT_BEFORE = "commit_before"
    """A batch is about to be committed."""
    COMMIT_AFTER = "commit_after"
    """A batch is on disk, nobody has been told."""
    HELD = "held"
    """The hold is durable, nothing has been sent."""
    ANSWERED = "answered"
    """The platform has accepted, nothing is settled."""
    SETTLED_IN_MEMORY = "settled_in_memory"
    """Settled, the settling not on disk."""
    DEFERRED_DISPATCH = "deferred_dispatch"
    """A deferred hold is durably about to be sent."""


_armed: list[Failpoint] = []


def arm(name: str) -> None:
    """Kills this process when the point is reached; an empty name disarms. Raises ValueError."""
    _armed[:] = [Failpoint(name)] if name else []


def reached(point: Failpoint) -> None:
    """Dies here if this point is armed."""
    if point in _armed:
        os.kill(os.getpid(), signal.SIGKILL)
