"""The limiter of one platform: decides whether one more call may be made now."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.ratelimit.burst import BurstLimit
from smartconnectors_server.ratelimit.claims import CallStore, Claims
from smartconnectors_server.ratelimit.floor import Floors
from smartconnectors_server.ratelimit.shares import ACTIVE_FOR_S, CallsOfCallers
from smartconnectors_server.window import SlidingSum

CLAIMS_PER_LIMIT = 50
LONGEST_CLAIM_NS = NANOS_PER_SECOND
CLAIMS_PER_WINDOW = 60
EVERYONE = ""
"""Whose orders bind every call of a platform but reserved ones."""
_EVERYONE = (EVERYONE,)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why not now, and when."""

    limited_by: str
    """`window`, `burst`, `platform` or `caller`."""
    ready_ns: int
    """The first instant at which a call would be admitted if none is made until then."""


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom a call is made."""

    caller: str = ""
    """Who has a share of the limit; empty: the server itself, which has none and leaves none."""
    dry_run: bool = False
    """True: the call changes nothing, so it may use half of its caller's share and no more."""


THE_SERVER = Asker()


class RateLimiter:
    """Never more than `limit` calls in any trailing window, across restarts and crashes too.

    Refuses, never queues. A call counts from the instant it is taken, so it has to go out at once;
    one that is taken and then not made counts all the same. Calls within a millisecond (or within
    1/60,000 of the window) count until the last of them leaves: exact, or late by that much.

    For one event loop; times are ledger time, in nanoseconds.
    """

    def __init__(
        self,
        platform: str,
        store: CallStore,
        now_ns: Callable[[], int],
        *,
        limit: int,
        window_s: float,
        burst: int | None = None,
        reserve_percent: float = 0.0,
        active_for_s: float = ACTIVE_FOR_S,
    ) -> None:
        """To be opened before use.

        Args:
            platform: whose calls these are; also the key in the store.
            store: remembers claimed calls, durably.
            now_ns: ledger time, which goes on where it was after a restart.
            limit: the most calls in one window.
            window_s: the window's length in seconds.
            burst: the most calls at once; None: `limit`.
            reserve_percent: share of the limit that only reserved calls may use (pausing a
                campaign must be possible when bids have used everything else).
            active_for_s: how long a caller keeps its share after it last asked, one window at
                least.

        Raises:
            ValueError: a number is out of its range.
        """
        _check(platform, limit, window_s, burst, reserve_percent)
        self._platform = platform
        self._store = store
        self._now_ns = now_ns
        self._limit = limit
        self._window_s = window_s
        self._window_ns = round(window_s * NANOS_PER_SECOND)
        self._reserve = int(limit * reserve_percent / 100)
        self._calls = SlidingSum(self._window_ns)
        self._floors = Floors(limit, max(1, self._reserve), self._window_ns)
        self._burst = self._bucket(burst)
        self._callers = CallsOfCallers(self._window_ns, round(active_for_s * NANOS_PER_SECOND))
        self._claims = Claims(
            platform,
            store,
            now_ns,
            largest=limit // CLAIMS_PER_LIMIT,
            validity_ns=max(1, min(LONGEST_CLAIM_NS, self._window_ns // CLAIMS_PER_WINDOW)),
        )
        self._is_open = False

    async def open(self) -> None:
        """Counts what was claimed before the last stop or crash. Raises what the store raises."""
        now_ns = self._now_ns()
        claimed = await self._store.calls_since(self._platform, now_ns - self._window_ns)
        # Whoever claimed them is gone, so no call was made later than now.
        calls = [(min(at_ns, now_ns), count) for at_ns, count in claimed]
        for at_ns, count in calls:
            self._calls.add(at_ns, count)
        if self._burst is not None:
            await self._burst.restore(calls, now_ns)
        self._is_open = True

    def follow(self, *, limit: int, burst: int | None, reserve_percent: float) -> None:
        """Other limits for the same window, from now on: what was called so far counts in it, so
        a lower limit refuses until enough of that has left.

        Raises ValueError, and changes nothing, when a number is out of its range.
        """
        _check(self._platform, limit, self._window_s, burst, reserve_percent)
        self._limit = limit
        self._reserve = int(limit * reserve_percent / 100)
        self._floors.follow(limit, max(1, self._reserve))
        self._claims.follow(limit // CLAIMS_PER_LIMIT)
        self._burst = self._bucket(burst)
        if self._burst is not None:
            # No bucket can be fuller than by all that was called in the window.
            self._burst.fill(self.used())

    def _bucket(self, burst: int | None) -> BurstLimit | None:
        # A bucket as large as the limit, leaking it once a window, never refuses what the window
        # admits, so it is left out.
        if burst is None or burst >= self._limit:
            return None
        return BurstLimit(burst, self._limit / self._window_s, self._now_ns)

    @property
    def limit(self) -> int:
        """The most calls in one window, as configured."""
        return self._limit

    @property
    def window_s(self) -> float:
        """The length of the window, in seconds."""
        return self._window_s

    def used(self) -> int:
        """Calls in the window that ends now."""
        return self._calls.total(self._now_ns())

    def headroom(self, obeys: Sequence[str] = _EVERYONE) -> int:
        """Calls that ordinary callers may still make in the window that ends now, the platform's
        orders considered and burst protection not; 0 while the platform has ordered a pause.
        """
        now_ns = self._now_ns()
        if now_ns < self._floors.not_before_ns(obeys):
            return 0
        room = self._floors.limit(obeys, now_ns) - self._reserve
        return max(0, room - self._calls.total(now_ns))

    def ordered_wait_s(self, obeys: Sequence[str] = _EVERYONE) -> float:
        """Seconds for which the platform has ordered no call; 0: it has not."""
        wait_ns = self._floors.not_before_ns(obeys) - self._now_ns()
        return max(0, wait_ns) / NANOS_PER_SECOND

    def look(
        self,
        *,
        reserved: bool = False,
        obeys: Sequence[str] = _EVERYONE,
        asker: Asker = THE_SERVER,
    ) -> float | None:
        """Seconds until one call would be admitted; None: now. Takes nothing and writes nothing."""
        now_ns = self._now_ns()
        refusal = self._refusal(now_ns, reserved=reserved, obeys=obeys, asker=asker)
        return None if refusal is None else (refusal.ready_ns - now_ns) / NANOS_PER_SECOND

    def check(
        self,
        *,
        reserved: bool = False,
        leave: int = 0,
        obeys: Sequence[str] = _EVERYONE,
        asker: Asker = THE_SERVER,
    ) -> None:
        """Raises the RateLimited that `take` would raise now. Takes nothing and writes nothing, but
        a caller that asks is active.
        """
        now_ns = self._now_ns()
        self._note(asker, now_ns)
        refusal = self._refusal(now_ns, reserved=reserved, leave=leave, obeys=obeys, asker=asker)
        if refusal is not None:
            raise self._rate_limited(refusal, now_ns, reserved=reserved, asker=asker)

    async def take(
        self,
        count: int = 1,
        *,
        reserved: bool = False,
        leave: int = 0,
        obeys: Sequence[str] = _EVERYONE,
        asker: Asker = THE_SERVER,
    ) -> None:
        """Takes `count` calls, all or none, which are made right after.

        `reserved`: may use the reserve, and is made whatever the platform has ordered: a campaign
        must be pausable while the platform asks for patience, and the platform can refuse by
        itself. `leave`: only if that many calls are free afterwards, for those that matter more.
        `obeys`: whose orders of the platform bind the call. `asker`: whose share of the limit they
        count in; reserved calls need no share. More calls than the limit or the burst never fit.

        Raises:
            RateLimited: not now; nothing was taken.
            Exception: what the store raised; nothing was taken, and the call must not be made.
        """
        if not self._is_open:
            raise RuntimeError(f"the rate limiter of {self._platform} has not been opened")
        while True:
            now_ns = self._now_ns()
            self._note(asker, now_ns)
            refusal = self._refusal(
                now_ns, count, reserved=reserved, leave=leave, obeys=obeys, asker=asker
            )
            if refusal is not None:
                raise self._rate_limited(refusal, now_ns, reserved=reserved, asker=asker)
            if self._claims.use(now_ns, count):
                break
            # Time passes and others take meanwhile, so everything is asked again afterwards.
            await self._claims.extend(self._limit - self._calls.total(now_ns), count)
        self._calls.add(now_ns, count)
        if asker.caller:
            self._callers.add(asker.caller, now_ns, count, self._calls_per_s)
        if self._burst is not None:
            await self._burst.take(count)

    def tighten(
        self,
        retry_after_s: float | None = None,
        usage_percent: float | None = None,
        *,
        whose: str = EVERYONE,
    ) -> None:
        """Takes in what the platform said of its quota: no calls (but reserved ones) for
        `retry_after_s` seconds; fewer calls while `usage_percent` of its quota is above 80.
        `whose`: the calls that it binds are those that obey this.

        Never loosens the configured limit. A lower usage replaces a higher one at once, and a
        report counts for one window.
        """
        self._floors.tighten(whose, self._now_ns(), retry_after_s, usage_percent)

    @property
    def _calls_per_s(self) -> float:
        return self._limit / self._window_s

    def _note(self, asker: Asker, now_ns: int) -> None:
        if asker.caller:
            self._callers.asks(asker.caller, now_ns)

    def _refusal(
        self,
        now_ns: int,
        count: int = 1,
        *,
        reserved: bool,
        leave: int = 0,
        obeys: Sequence[str],
        asker: Asker,
    ) -> _Refusal | None:
        floors, kept = self._floors, leave + (0 if reserved else self._reserve)
        bound = () if reserved else obeys
        allowed = floors.limit(bound, now_ns) - kept
        wait_ns = 0 if self._burst is None else self._burst.wait_ns(count)
        used = self._calls.total(now_ns)
        not_before_ns = floors.not_before_ns(bound)
        share_ns = now_ns if reserved else self._share_ns(asker, now_ns, count, allowed)
        if (
            used + count <= allowed
            and now_ns >= not_before_ns
            and wait_ns == 0
            and share_ns == now_ns
        ):
            return None
        refusals = [
            _Refusal("window", self._fits_at_ns(now_ns, self._limit - kept, count)),
            _Refusal("burst", now_ns + wait_ns),
            _Refusal("platform", not_before_ns),
        ]
        for floor in floors.of(bound):
            fits_at_ns = self._fits_at_ns(now_ns, floor.limit(now_ns) - kept, count)
            refusals.append(_Refusal("platform", min(floor.lapses_ns, fits_at_ns)))
        refusals.append(_Refusal("caller", share_ns))
        return max(refusals, key=lambda refusal: refusal.ready_ns)

    def _share_ns(self, asker: Asker, now_ns: int, count: int, allowed: int) -> int:
        """When the share of the one who asks admits the calls; `now_ns`: now."""
        caller, callers = asker.caller, self._callers
        if not caller:
            return now_ns
        fits_at_ns = callers.fits_at_ns(
            caller, now_ns, count, allowed, self._calls, dry_run=asker.dry_run
        )
        ready_ns = now_ns + 2 * self._window_ns if fits_at_ns is None else fits_at_ns
        if self._burst is None:
            return ready_ns
        burst = self._burst.burst
        left = callers.left_of_burst(caller, now_ns, count, burst, self._calls_per_s)
        return max(ready_ns, now_ns + self._burst.wait_ns(count + left))

    def _fits_at_ns(self, now_ns: int, allowed: int, count: int) -> int:
        """When more calls are within `allowed`; an instant past any report if they never are."""
        fits_at_ns = self._calls.fits_at_ns(now_ns, allowed, count)
        return now_ns + 2 * self._window_ns if fits_at_ns is None else fits_at_ns

    def _rate_limited(
        self, refusal: _Refusal, now_ns: int, *, reserved: bool, asker: Asker
    ) -> RateLimited:
        used = self._calls.total(now_ns)
        of_caller: dict[str, str] = {}
        retry_after_s = (refusal.ready_ns - now_ns) / NANOS_PER_SECOND
        so_far = f"{used} of {self._limit} calls used in the last {self._window_s:g} s"
        if refusal.limited_by == "burst":
            so_far += ", and no more at once"
        elif refusal.limited_by == "platform":
            so_far += ", and the platform asks for fewer"
        elif refusal.limited_by == "caller":
            share = self._callers.share(
                asker.caller, self._limit - self._reserve, dry_run=asker.dry_run
            )
            own = self._callers.used(asker.caller, now_ns)
            kind = "dry runs of one caller" if asker.dry_run else "one caller"
            so_far += f", {own} of them by {asker.caller}; the share of {kind} is {share} now"
            of_caller = {"caller_share_calls": str(share), "caller_used_calls": str(own)}
        elif self._reserve and not reserved:
            so_far += f", {self._reserve} kept for pausing"
        return RateLimited(
            f"{self._platform}: {so_far}. Next call in {math.ceil(retry_after_s * 10) / 10:.1f} s.",
            retry_after_s=retry_after_s,
            metadata={
                "limit_calls": str(self._limit),
                "window_s": f"{self._window_s:g}",
                "used_calls": str(used),
                "limited_by": refusal.limited_by,
                **of_caller,
            },
            quota_subject=f"{self._platform}/calls",
        )


def _check(
    platform: str, limit: int, window_s: float, burst: int | None, reserve_percent: float
) -> None:
    if limit < 1 or not window_s > 0 or not 0 <= reserve_percent < 100:
        raise ValueError(
            f"{platform}: limit {limit}, window_s {window_s}, reserve_percent {reserve_percent}"
        )
    if burst is not None and burst < 1:
        raise ValueError(f"{platform}: burst {burst}")
