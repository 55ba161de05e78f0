"""A share of a platform's quota for calls that can wait: reports, never bids."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from smartconnectors_server.errors import RateLimited
from smartconnectors_server.ratelimit.claims import CallStore
from smartconnectors_server.ratelimit.limiter import EVERYONE, RateLimiter


class LowPriority:
    """Calls that take from a platform's quota only what nobody misses.

    In any window they are at most `percent` of the limit, and one is made only while that share of
    the window is still free: they stop before bids would feel them, and start again by themselves.
    Their own count survives restarts and crashes as the whole one does. While the platform asks
    bids to wait, reports wait too; what it says to reports never holds up a bid.
    """

    def __init__(
        self,
        platform: str,
        limiter: RateLimiter,
        store: CallStore,
        now_ns: Callable[[], int],
        *,
        percent: float,
    ) -> None:
        """`limiter`: the platform's own. A share of less than one call lets nothing through."""
        self._platform = platform
        self._limiter = limiter
        self._share = int(limiter.limit * percent / 100)
        self._own = RateLimiter(
            f"{platform}/reports",
            store,
            now_ns,
            limit=max(1, self._share),
            window_s=limiter.window_s,
        )

    @property
    def share(self) -> int:
        """The most calls of this kind in one window."""
        return self._share

    async def open(self) -> None:
        """Counts what was made before the last stop or crash. Raises what the store raises."""
        await self._own.open()

    def tighten(
        self,
        retry_after_s: float | None = None,
        usage_percent: float | None = None,
        *,
        whose: str = EVERYONE,
    ) -> None:
        """Takes in what the platform said to reports, as `RateLimiter.tighten` does."""
        self._own.tighten(retry_after_s, usage_percent, whose=whose)

    def ordered_wait_s(self, obeys: Sequence[str] = (EVERYONE,)) -> float:
        """Seconds for which the platform has ordered no report; 0: it has not."""
        return self._own.ordered_wait_s(obeys)

    async def take(self, obeys: Sequence[str] = (EVERYONE,)) -> None:
        """Takes one call of the share and of the whole, which the caller makes right after.
        `obeys`: as for `RateLimiter.take`.

        Raises RateLimited: not now. A call of the share may be lost then, none of the whole.
        """
        if self._share < 1:
            raise RateLimited(
                f"{self._platform}: the share of {self._limiter.limit} calls that reports may use "
                "is less than one call; raise reported_spend.quota_percent",
                retry_after_s=self._limiter.window_s,
            )
        wait_s = self._own.ordered_wait_s(obeys)
        if wait_s:
            raise RateLimited(
                f"{self._platform}: reports are throttled by the platform for another "
                f"{math.ceil(wait_s)} s; bids and pauses are not",
                retry_after_s=wait_s,
                metadata={"limited_by": "platform"},
                quota_subject=f"{self._platform}/reports",
            )
        self._limiter.check(leave=self._share - 1, obeys=obeys)
        await self._own.take(obeys=obeys)
        await self._limiter.take(leave=self._share - 1, obeys=obeys)
