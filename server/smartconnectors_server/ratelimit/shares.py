"""How callers share what all of them need, so that none takes what another is entitled to.

Every active caller has an equal share. Up to its share a caller needs room in the whole only.
Beyond it, a caller may use what is free, but leaves free what each other active caller has not used
of its share. So a caller that is alone may use everything, and a caller that joins has its share as
soon as what others used beyond theirs has ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.window import SlidingSum

ACTIVE_FOR_S = 600.0
"""How long a caller is active after it last asked, unless it is configured."""
_ROUNDING = 1e-4
"""A level that has leaked many times is this close to a whole call."""


class ActiveCallers:
    """Who has asked lately, and what each of them is entitled to. Times only go forward."""

    def __init__(self, active_for_ns: int) -> None:
        self._active_for_ns = active_for_ns
        self._asked_ns: dict[str, int] = {}  # the one that asked longest ago first

    def asks(self, caller: str, now_ns: int) -> list[str]:
        """The caller is active from now on. Returns those that no longer are."""
        self._asked_ns.pop(caller, None)
        self._asked_ns[caller] = now_ns
        gone = []
        for name, asked_ns in self._asked_ns.items():
            if now_ns - asked_ns < self._active_for_ns:
                break
            gone.append(name)
        for name in gone:
            del self._asked_ns[name]
        return gone

    @property
    def count(self) -> int:
        """How many are active; at least one."""
        return max(1, len(self._asked_ns))

    def share(self, caller: str, whole: int) -> int:
        """What the caller may use of `whole` whatever the others do."""
        return max(0, whole) // (len(self._asked_ns) + (caller not in self._asked_ns))

    def unused_by_others(self, caller: str, whole: int, used: Callable[[str], float]) -> int:
        """What the others have not used of their shares."""
        share = self.share(caller, whole)
        if share == 0:
            return 0
        unused = (share - used(name) for name in self._asked_ns if name != caller)
        return math.ceil(sum(max(0.0, one) for one in unused) - _ROUNDING)


class CallsOfCallers:
    """The calls that each caller has made in a window, and when it may make more."""

    def __init__(self, window_ns: int, active_for_ns: int) -> None:
        """A caller is active for one window at least: as long as its calls count."""
        self._window_ns = window_ns
        self._active = ActiveCallers(max(window_ns, active_for_ns))
        self._sums: dict[str, SlidingSum] = {}
        self._levels: dict[str, tuple[float, int]] = {}
        """Caller -> how full its part of the burst was, and when."""

    def asks(self, caller: str, now_ns: int) -> None:
        """The caller is active from now on."""
        for name in self._active.asks(caller, now_ns):
            self._sums.pop(name, None)
            self._levels.pop(name, None)

    def add(self, caller: str, now_ns: int, count: int, calls_per_s: float) -> None:
        """The caller makes so many calls. `calls_per_s`: at which bursts leak."""
        self._sums.setdefault(caller, SlidingSum(self._window_ns)).add(now_ns, count)
        self._levels[caller] = (self._level(caller, now_ns, calls_per_s) + count, now_ns)

    def used(self, caller: str, now_ns: int) -> int:
        """Its calls in the window that ends now."""
        own = self._sums.get(caller)
        return 0 if own is None else own.total(now_ns)

    def share(self, caller: str, allowed: int, *, dry_run: bool) -> int:
        """The calls of `allowed` that the caller may make whatever the others do."""
        share = self._active.share(caller, allowed)
        return max(1, share // 2) if dry_run else share

    def fits_at_ns(
        self,
        caller: str,
        now_ns: int,
        count: int,
        allowed: int,
        calls: SlidingSum,
        *,
        dry_run: bool,
    ) -> int | None:
        """When the caller may make `count` calls more, if there is room in the whole and the others
        stay as active as they are; None: never. `calls`: everybody's.

        A dry run may use half of its caller's share and nothing else, so that the other half is
        left for the caller's changes.
        """
        share = self.share(caller, allowed, dry_run=dry_run)
        own = self._sums.get(caller)
        if own is None:
            own_ns = now_ns if count <= share else None
        else:
            own_ns = own.fits_at_ns(now_ns, share, count)
        if dry_run or own_ns == now_ns:
            return own_ns
        kept = self._active.unused_by_others(caller, allowed, lambda name: self.used(name, now_ns))
        free_ns = calls.fits_at_ns(now_ns, allowed - kept, count)
        return min((one for one in (own_ns, free_ns) if one is not None), default=None)

    def left_of_burst(
        self, caller: str, now_ns: int, count: int, burst: int, calls_per_s: float
    ) -> int:
        """The calls of a burst that have to stay free when the caller makes `count` at once."""

        def level(name: str) -> float:
            return self._level(name, now_ns, calls_per_s)

        if level(caller) + count <= self._active.share(caller, burst) + _ROUNDING:
            return 0
        return self._active.unused_by_others(caller, burst, level)

    def _level(self, caller: str, now_ns: int, calls_per_s: float) -> float:
        """How full a caller's part of the burst is. It leaks at the caller's part of the rate."""
        level, at_ns = self._levels.get(caller, (0.0, now_ns))
        leaked = (now_ns - at_ns) / NANOS_PER_SECOND * calls_per_s / self._active.count
        return max(0.0, level - leaked)
