"""Log lines about what lasts: said when it begins, then with a count at most each minute."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from dataclasses import dataclass

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock

EVERY_S = 60.0
MOST_KINDS = 1000
"""More are not remembered apart; the oldest is forgotten."""


@dataclass(slots=True)
class _Said:
    """What was logged of one kind."""

    at_ns: int
    """When it was logged last."""
    met_ns: int
    """When it happened last."""
    unsaid: int = 0
    """How often it happened since it was logged last."""
    stands: bool = True
    """Whether the log says that it stands."""


class Lasting:
    """Keeps a loop that meets the same thing again and again from filling the log with it. For one
    event loop.

    What is the same is told by a key: a line whose key is new, or was not met for two minutes, is
    logged at once; otherwise it is counted, and the first one after a minute is logged with the
    count.
    """

    def __init__(self, log: logging.Logger, clock: Clock, *, every_s: float = EVERY_S) -> None:
        self._log = log
        self._clock = clock
        self._every_ns = round(every_s * NANOS_PER_SECOND)
        self._said: dict[Hashable, _Said] = {}

    def say(
        self,
        key: Hashable,
        message: str,
        *values: object,
        level: int = logging.INFO,
        error: BaseException | None = None,
    ) -> bool:
        """Logs it or counts it; True when it was logged. `error`: with its traceback, in the first
        line only. A change of anything in `key` is logged at once.
        """
        now_ns = self._clock.monotonic_ns()
        said = self._said.get(key)
        if said is None or now_ns - said.met_ns >= 2 * self._every_ns:
            self._said.pop(key, None)
            self._said[key] = _Said(now_ns, now_ns)
            if len(self._said) > MOST_KINDS:
                del self._said[next(iter(self._said))]
            self._log.log(level, message, *values, exc_info=error)
            return True
        said.met_ns = now_ns
        said.unsaid += 1
        if now_ns - said.at_ns < self._every_ns:
            return False
        seconds = (now_ns - said.at_ns) / NANOS_PER_SECOND
        self._log.log(level, f"{message} (%d times in %.0f s)", *values, said.unsaid, seconds)
        said.at_ns, said.unsaid, said.stands = now_ns, 0, True
        return True

    def over(self, key: Hashable, message: str, *values: object, level: int = logging.INFO) -> bool:
        """It has ended: logged when its last beginning was, so that what comes and goes is not
        logged each time. True when it was logged.
        """
        said = self._said.get(key)
        if said is None or not said.stands:
            return False
        said.stands = False
        self._log.log(level, message, *values)
        return True
