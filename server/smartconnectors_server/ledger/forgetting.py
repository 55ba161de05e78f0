"""When closed holds and old calls are forgotten: a little at a time, so that no bid waits long."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.ledger.store import FORGET_AT_ONCE

KEEP_CLOSED_S = 86_400
PURGE_EVERY_S = 600
PURGE_MORE_S = 0.5

log = logging.getLogger(__name__)


def kept_for_s(longest_window_s: float) -> float:
    """How long closed holds, and with them their request ids, are remembered."""
    return max(KEEP_CLOSED_S, 2 * longest_window_s)


class Forgetting:
    """Asks for what is old to be forgotten, whenever that is due."""

    def __init__(self, now_ns: int, longest_window_s: float) -> None:
        self._keep_s = kept_for_s(longest_window_s)
        self._due_ns = now_ns + PURGE_EVERY_S * NANOS_PER_SECOND

    async def when_due(self, now_ns: int, purge: Callable[[int, int], Awaitable[int]]) -> None:
        """`purge` is given the times before which closed holds and calls are old; it says how many
        holds it has forgotten, and may raise sqlite3.Error.
        """
        if now_ns < self._due_ns:
            return
        closed_ns = now_ns - round(self._keep_s * NANOS_PER_SECOND)
        calls_ns = now_ns - 2 * KEEP_CLOSED_S * NANOS_PER_SECOND
        forgotten = 0
        try:
            forgotten = await purge(closed_ns, calls_ns)
        except sqlite3.Error as error:
            log.warning("old holds could not be forgotten, which is harmless: %s", error)
        # While there is more, soon again.
        wait_s = PURGE_MORE_S if forgotten == FORGET_AT_ONCE else PURGE_EVERY_S
        self._due_ns = now_ns + round(wait_s * NANOS_PER_SECOND)
