"""Sums over a window of time. Money and calls are both counted here; nothing here reads a clock.

Times are integer nanoseconds since the Unix epoch in ledger time, weights are integers (micros of
money, or calls). A window never forgets too early: what it says is at least what the exact window
would say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Protocol

from smartconnectors_server.zones import zone_of

SMALLEST_BUCKET_NS = 1_000_000
BUCKETS_PER_WINDOW = 60_000

_NANOS_PER_SECOND = 1_000_000_000
_SECONDS_PER_HOUR = 3600
_UNITS = ("hour", "day", "month")

_WEIGHT_SO_FAR = itemgetter(1)


class WindowSum(Protocol):
    """The sum of what was added inside one window.

    Time passed in may not go backwards: an earlier time is taken as the latest one seen.
    """

    def add(self, now_ns: int, weight: int) -> None:
        """Adds `weight`, which must not be negative. To restore a window, add in order of time."""
        ...

    def total(self, now_ns: int) -> int:
        """The sum of the weights inside the window that ends at `now_ns`."""
        ...

    def count(self, now_ns: int) -> int:
        """How many additions are inside the window that ends at `now_ns`."""
        ...

    def next_release_ns(self, now_ns: int) -> int | None:
        """When the oldest of what is inside leaves; None when nothing is inside."""
        ...

    def fits_at_ns(self, now_ns: int, room: int, weight: int) -> int | None:
        """The first instant, from `now_ns` on, at which the total and `weight` together are at most
        `room` if nothing more is added; None when `weight` alone is more than `room`.
        """
        ...


class SlidingSum:
    """The sum over the trailing `width_ns`, for any instant.

    What is added at t counts until t + width, and up to one bucket longer: additions that are less
    than max(1 ms, width / 60,000) apart share a bucket, and a bucket leaves as a whole when its
    newest addition does. So the sum is never too small, late by one bucket at most, and at most
    60,001 buckets are kept whatever the traffic.
    """

    __slots__ = (
        "_bucket_ns",
        "_bucket_start_ns",
        "_buckets",
        "_count_gone",
        "_count_so_far",
        "_latest_ns",
        "_weight_gone",
        "_weight_so_far",
        "_width_ns",
    )

    def __init__(self, width_ns: int) -> None:
        if width_ns <= 0:
            raise ValueError(f"a window must be longer than nothing, not {width_ns} ns")
        self._width_ns = width_ns
        self._bucket_ns = max(SMALLEST_BUCKET_NS, -(-width_ns // BUCKETS_PER_WINDOW))
        # (newest addition, weight so far, count so far). Running totals since the beginning instead
        # of sums per bucket: the retry time is then one binary search, not a walk.
        self._buckets: deque[tuple[int, int, int]] = deque()
        self._bucket_start_ns = 0
        self._latest_ns = 0
        self._weight_so_far = self._weight_gone = 0
        self._count_so_far = self._count_gone = 0

    @property
    def bucket_ns(self) -> int:
        """How late the sum may be, in nanoseconds."""
        return self._bucket_ns

    @property
    def bucket_count(self) -> int:
        """How many buckets are kept now."""
        return len(self._buckets)

    def add(self, now_ns: int, weight: int) -> None:
        """As `WindowSum.add`. Raises ValueError for a negative weight."""
        if weight < 0:
            raise ValueError(f"a weight cannot be negative: {weight}")
        buckets = self._buckets
        now_ns = self._advance(now_ns)
        self._weight_so_far += weight
        self._count_so_far += 1
        entry = (now_ns, self._weight_so_far, self._count_so_far)
        if buckets and now_ns - self._bucket_start_ns < self._bucket_ns:
            buckets[-1] = entry
        else:
            self._bucket_start_ns = now_ns
            buckets.append(entry)

    def total(self, now_ns: int) -> int:
        self._advance(now_ns)
        return self._weight_so_far - self._weight_gone

    def count(self, now_ns: int) -> int:
        self._advance(now_ns)
        return self._count_so_far - self._count_gone

    def next_release_ns(self, now_ns: int) -> int | None:
        self._advance(now_ns)
        return self._buckets[0][0] + self._width_ns if self._buckets else None

    def fits_at_ns(self, now_ns: int, room: int, weight: int) -> int | None:
        if weight > room:
            return None
        now_ns = self._advance(now_ns)
        excess = self._weight_so_far - self._weight_gone + weight - room
        if excess <= 0:
            return now_ns
        # The first bucket with whose leaving at least the excess has left.
        index = bisect_left(self._buckets, self._weight_gone + excess, key=_WEIGHT_SO_FAR)
        return self._buckets[index][0] + self._width_ns

    def _advance(self, now_ns: int) -> int:
        """Drops what has left by `now_ns`; returns the time to go by."""
        if now_ns > self._latest_ns:
            self._latest_ns = now_ns
        else:
            now_ns = self._latest_ns
        buckets = self._buckets
        horizon_ns = now_ns - self._width_ns
        if buckets and buckets[0][0] <= horizon_ns:
            if buckets[-1][0] <= horizon_ns:
                _, self._weight_gone, self._count_gone = buckets[-1]
                buckets.clear()
            else:
                while buckets[0][0] <= horizon_ns:
                    _, self._weight_gone, self._count_gone = buckets.popleft()
        return now_ns


class CalendarSum:
    """The sum since the hour, day or month began in a time zone.

    A day or month ends when the date changes there, so a day may have 23 or 25 hours. An hour ends
    when the local clock reaches a full hour or is set to one: an hour that the clocks repeat in
    autumn is two hours here.
    """

    __slots__ = ("_count", "_end_ns", "_latest_ns", "_unit", "_weight", "_zone")

    def __init__(self, unit: str, time_zone: str = "UTC") -> None:
        """Raises ValueError for an unknown unit, UnknownZone for a time zone that cannot be looked
        up here.
        """
        if unit not in _UNITS:
            raise ValueError(f"a calendar window is one of {', '.join(_UNITS)}, not {unit!r}")
        self._unit = unit
        self._zone = zone_of(time_zone)
        self._end_ns = 0
        self._latest_ns = 0
        self._weight = 0
        self._count = 0

    def add(self, now_ns: int, weight: int) -> None:
        """As `WindowSum.add`. Raises ValueError for a negative weight."""
        if weight < 0:
            raise ValueError(f"a weight cannot be negative: {weight}")
        self._advance(now_ns)
        self._weight += weight
        self._count += 1

    def total(self, now_ns: int) -> int:
        self._advance(now_ns)
        return self._weight

    def count(self, now_ns: int) -> int:
        self._advance(now_ns)
        return self._count

    def next_release_ns(self, now_ns: int) -> int | None:
        self._advance(now_ns)
        return self._end_ns if self._count else None

    def fits_at_ns(self, now_ns: int, room: int, weight: int) -> int | None:
        if weight > room:
            return None
        now_ns = self._advance(now_ns)
        return now_ns if self._weight + weight <= room else self._end_ns

    def _advance(self, now_ns: int) -> int:
        """Starts anew when the boundary has been passed; returns the time to go by."""
        if now_ns > self._latest_ns:
            self._latest_ns = now_ns
        else:
            now_ns = self._latest_ns
        if now_ns >= self._end_ns:
            self._weight = self._count = 0
            self._end_ns = self._end_of_period_s(now_ns // _NANOS_PER_SECOND) * _NANOS_PER_SECOND
        return now_ns

    def _end_of_period_s(self, now_s: int) -> int:
        """The next boundary after `now_s`, both in whole seconds since the epoch."""
        local = datetime.fromtimestamp(now_s, self._zone)
        if self._unit == "hour":
            offset_s = int((local.utcoffset() or timedelta()).total_seconds())
            return ((now_s + offset_s) // _SECONDS_PER_HOUR + 1) * _SECONDS_PER_HOUR - offset_s
        midnight = datetime(local.year, local.month, local.day, tzinfo=self._zone)
        if self._unit == "day":
            boundary = midnight + timedelta(days=1)
        else:
            boundary = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        end_s = int(boundary.timestamp())
        if end_s <= now_s:
            # Clocks went back across midnight: the boundary comes round a second time.
            end_s = int(boundary.replace(fold=1).timestamp())
        return end_s
