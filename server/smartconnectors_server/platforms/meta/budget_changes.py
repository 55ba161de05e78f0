"""Meta's own rule that a daily budget of an ad set changes at most four times an hour.

Kept before anything is sent, because a fifth change blocks the ad set for an hour. What this
process did not send it does not know (another client, or itself before a restart): then Meta
refuses, and the block that it names is kept here too.
"""

from __future__ import annotations

import math
from collections import deque

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import RateLimited

MOST = 4
WINDOW_S = 3600
_WINDOW_NS = WINDOW_S * NANOS_PER_SECOND


class BudgetChanges:
    """When the daily budget of each ad set was changed, in the hour that ends now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent_ns: dict[str, deque[int]] = {}
        self._blocked_until_ns: dict[str, int] = {}

    def check(self, ad_set_id: str) -> None:
        """Raises RateLimited, with the exact time to come back, when a change would be too many."""
        now_ns = self._clock.monotonic_ns()
        self._forget(now_ns)
        sent = self._sent_ns.get(ad_set_id, ())
        ready_ns = self._blocked_until_ns.get(ad_set_id, 0)
        if len(sent) >= MOST:
            ready_ns = max(ready_ns, sent[-MOST] + _WINDOW_NS)
        if ready_ns <= now_ns:
            return
        retry_after_s = (ready_ns - now_ns) / NANOS_PER_SECOND
        raise RateLimited(
            f"Meta takes {MOST} changes an hour of the daily budget of ad set {ad_set_id}. Next "
            f"one in {math.ceil(retry_after_s)} s.",
            retry_after_s=retry_after_s,
            metadata={
                "limit_calls": str(MOST),
                "window_s": str(WINDOW_S),
                "used_calls": str(len(sent)),
                "limited_by": "budget_changes",
                "target": f"ad_sets/{ad_set_id}",
            },
            quota_subject=f"meta/ad_sets/{ad_set_id}/daily_budget",
        )

    def sent(self, ad_set_id: str) -> None:
        """Counts a change that may have reached Meta."""
        self._sent_ns.setdefault(ad_set_id, deque()).append(self._clock.monotonic_ns())

    def not_made(self, ad_set_id: str) -> None:
        """Takes back the newest `sent`: Meta provably did not make that change."""
        sent = self._sent_ns.get(ad_set_id)
        if sent:
            sent.pop()

    def blocked(self, ad_set_id: str, retry_after_s: float) -> None:
        """Keeps a block that Meta has declared."""
        until_ns = self._clock.monotonic_ns() + round(retry_after_s * NANOS_PER_SECOND)
        self._blocked_until_ns[ad_set_id] = until_ns

    def _forget(self, now_ns: int) -> None:
        """Drops what is older than an hour, so that memory follows the changes of one hour."""
        for ad_set_id, sent in list(self._sent_ns.items()):
            while sent and sent[0] + _WINDOW_NS <= now_ns:
                sent.popleft()
            if not sent:
                del self._sent_ns[ad_set_id]
        for ad_set_id, until_ns in list(self._blocked_until_ns.items()):
            if until_ns <= now_ns:
                del self._blocked_until_ns[ad_set_id]
