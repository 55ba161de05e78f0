"""The three usage headers: how much of Meta's quota the sandbox says is used."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock

CALLS_PER_HOUR = 100_000
"""What an account with full access has, without its active ads."""
MOST_PERCENT = 75.0
"""The sandbox never runs out of quota by itself: only the fault `quota` makes it say so."""
MANAGEMENT = "ads_management"
INSIGHTS = "ads_insights"
"""Business use cases: each has a quota of its own."""
_HOUR_NS = 3600 * NANOS_PER_SECOND


class Meter:
    """Calls in the last hour."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls_ns: deque[int] = deque()

    def count(self) -> None:
        """One more call."""
        self._calls_ns.append(self._clock.monotonic_ns())

    def reset(self) -> None:
        """No call yet."""
        self._calls_ns.clear()

    def headers(
        self, account: str, *, use_case: str = MANAGEMENT, throttled_ms: int | None = None
    ) -> Mapping[str, str]:
        """What is said of an account's usage. `throttled_ms`: it is used up, for that long."""
        now_ns = self._clock.monotonic_ns()
        while self._calls_ns and self._calls_ns[0] + _HOUR_NS <= now_ns:
            self._calls_ns.popleft()
        used = min(MOST_PERCENT, len(self._calls_ns) * 100 / CALLS_PER_HOUR)
        wait_s = 0
        if throttled_ms is not None:
            used, wait_s = 100.0, math.ceil(throttled_ms / 1000)
        # One header counts in minutes, so less than one is said by the other alone.
        minutes = math.ceil(wait_s / 60) if wait_s >= 60 else 0
        percent = math.ceil(used)
        business = {
            "type": use_case,
            "call_count": percent,
            "total_cputime": percent // 2,
            "total_time": percent // 2,
            "estimated_time_to_regain_access": minutes,
            "ads_api_access_tier": "standard_access",
        }
        app = {"call_count": percent, "total_cputime": percent // 2, "total_time": percent // 2}
        ad_account = {
            "acc_id_util_pct": round(used, 3),
            "reset_time_duration": wait_s,
            "ads_api_access_tier": "standard_access",
        }
        return {
            "x-business-use-case-usage": json.dumps({account: [business]}),
            "x-app-usage": json.dumps(app),
            "x-ad-account-usage": json.dumps(ad_account),
        }
