"""What a platform has ordered about its own quota. It can only make the limit tighter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smartconnectors_server.clock import NANOS_PER_SECOND

LONGEST_PAUSE_S = 86_400.0
"""A platform that asks for more is asked again after a day."""
EASY_PERCENT = 80.0
"""Up to this share of the platform's quota its reports change nothing."""


class PlatformFloor:
    """No calls before an instant, and fewer of them while the platform says its quota runs out.

    Above 80 % of its quota the limit shrinks in a straight line, down to `least` at 100 %. The
    newest report replaces the one before, and without a new one it lapses after one window. Not
    kept across a restart: the first answer of the platform says it again.
    """

    def __init__(self, limit: int, least: int, window_ns: int) -> None:
        self._limit = limit
        self._least = least
        self._window_ns = window_ns
        self._strain = 0.0
        self.lapses_ns = 0
        """When the last report of usage stops counting."""
        self.not_before_ns = 0
        """No call before this."""

    def tighten(
        self, now_ns: int, retry_after_s: float | None, usage_percent: float | None
    ) -> None:
        """Takes in what the platform said. What is not a positive number orders nothing: a platform
        that writes nonsense into a header is no reason to fail a call that it accepted.
        """
        if retry_after_s is not None and retry_after_s > 0:
            pause_ns = round(min(retry_after_s, LONGEST_PAUSE_S) * NANOS_PER_SECOND)
            self.not_before_ns = max(self.not_before_ns, now_ns + pause_ns)
        if usage_percent is not None and usage_percent >= 0:
            strain = (min(usage_percent, 100.0) - EASY_PERCENT) / (100.0 - EASY_PERCENT)
            self._strain = max(0.0, strain)
            self.lapses_ns = now_ns + self._window_ns

    def limit(self, now_ns: int) -> int:
        """Calls in one window that the platform's reports leave, at most the configured limit."""
        if now_ns >= self.lapses_ns:
            return self._limit
        return self._limit - int(self._strain * (self._limit - self._least))

    def follow(self, limit: int, least: int) -> None:
        """Another configured limit; what the platform has ordered stands."""
        self._limit = limit
        self._least = least


class Floors:
    """What a platform has ordered, by whom it binds: every account, one account, or a kind of call.

    A call names whose orders it obeys, so that what was said to others does not hold it up.
    """

    def __init__(self, limit: int, least: int, window_ns: int) -> None:
        self._limit = limit
        self._least = least
        self._window_ns = window_ns
        self._by_whom: dict[str, PlatformFloor] = {}

    def of(self, whose: Iterable[str]) -> Iterator[PlatformFloor]:
        """Those of them that were ever ordered anything."""
        for one in whose:
            floor = self._by_whom.get(one)
            if floor is not None:
                yield floor

    def tighten(
        self, whose: str, now_ns: int, retry_after_s: float | None, usage_percent: float | None
    ) -> None:
        """Takes in what the platform said to `whose`. See `PlatformFloor.tighten`."""
        floor = self._by_whom.get(whose)
        if floor is None:
            floor = PlatformFloor(self._limit, self._least, self._window_ns)
            self._by_whom[whose] = floor
        floor.tighten(now_ns, retry_after_s, usage_percent)

    def limit(self, whose: Iterable[str], now_ns: int) -> int:
        """Calls in one window that the platform leaves to who obeys all of these."""
        return min((floor.limit(now_ns) for floor in self.of(whose)), default=self._limit)

    def not_before_ns(self, whose: Iterable[str]) -> int:
        """No call before this by who obeys all of these."""
        return max((floor.not_before_ns for floor in self.of(whose)), default=0)

    def follow(self, limit: int, least: int) -> None:
        """Another configured limit; what the platform has ordered remains in effect."""
        self._limit = limit
        self._least = least
        for floor in self._by_whom.values():
            floor.follow(limit, least)
