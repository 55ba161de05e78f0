"""Finds out what became of holds in doubt, and ends each by what the platform says.

Asks less and less while that is in vain: a platform that is down has other worries, and a hold that
cannot be looked up must not use up the quota of those that can.

A change that was found is settled at once. Anything else takes two looks with the same finding, a
quiet period apart, both after the call ended. The quiet period begins when the platform first
answers such a look, not when the call ended: while the network is partitioned a change can wait on
its way, and arrive after the partition. A look in between that fails starts it again. It counts
time in which the machine was awake, because while it is suspended so is what it has to send. It is
kept in memory, so that after a restart of the server the two looks start over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from smartconnectors_server.budget.keeper import Keeper
from smartconnectors_server.budget.resolution import Finding, Verb, resolution_of_doubt
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import ConnectorError, PlatformUnavailable, RateLimited
from smartconnectors_server.ledger import BY_RECONCILER, Hold, HoldState
from smartconnectors_server.telemetry import Lasting

Lookup = Callable[[Hold], Awaitable[Finding]]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pace:
    """When something is asked again, and how long the wait was that led there."""

    next_ns: int = 0
    wait_s: float = 0.0

    def pause(self, now_ns: int, wait_s: float) -> None:
        self.next_ns = now_ns + round(wait_s * NANOS_PER_SECOND)


@dataclass(frozen=True, slots=True)
class _FirstLook:
    """The look that the quiet period of a hold began with."""

    platform: str
    finding: Finding
    awake_ns: int
    """When the platform had answered."""


class Reconciler:
    """Looks up every hold in doubt, again and again, until it is known."""

    def __init__(
        self,
        keeper: Keeper,
        clock: Clock,
        lookup: Lookup,
        *,
        interval_s: float,
        max_interval_s: float,
        quiet_period_s: Callable[[str], float],
    ) -> None:
        """`interval_s`: how soon it is asked again; doubled each time that it was in vain, up to
        `max_interval_s`. `quiet_period_s` of a platform: how long a change may still arrive after
        its call ended and the platform was reached; at least twice the platform's timeout.
        """
        self._keeper = keeper
        self._clock = clock
        self._lookup = lookup
        self.follow(interval_s, max_interval_s)
        self._quiet_period_s = quiet_period_s
        self._platforms: dict[str, _Pace] = {}
        self._holds: dict[str, _Pace] = {}
        self._first_looks: dict[str, _FirstLook] = {}
        self._lasting = Lasting(log, clock)
        self._stopped_at: dict[str, str] = {}  # platform -> the hold that the last look failed at

    def follow(self, interval_s: float, max_interval_s: float) -> None:
        """Other intervals, from the next wait on."""
        self._interval_s = interval_s
        self._max_interval_s = max(interval_s, max_interval_s)

    async def run(self) -> None:
        """Looks every interval, for ever."""
        while True:
            await self.look()
            await self._clock.sleep(self._interval_s)

    async def look(self) -> None:
        """One look at each hold in doubt whose time has come; platforms do not wait for another."""
        in_doubt = self._keeper.open_holds(HoldState.IN_DOUBT)
        self._holds = {h.hold_id: self._holds.get(h.hold_id, _Pace()) for h in in_doubt}
        self._first_looks = {k: v for k, v in self._first_looks.items() if k in self._holds}
        now_ns = self._keeper.now_ns()
        by_platform: dict[str, list[Hold]] = {}
        for hold in in_doubt:
            pace = self._platforms.setdefault(hold.platform, _Pace())
            if max(pace.next_ns, self._holds[hold.hold_id].next_ns) <= now_ns:
                by_platform.setdefault(hold.platform, []).append(hold)
        await asyncio.gather(*(self._look_at(*item) for item in by_platform.items()))

    async def _look_at(self, platform: str, holds: list[Hold]) -> None:
        # A platform that is down is asked once a look. But it may be one hold alone that cannot be
        # looked up: where the last look stopped is where this one ends.
        stopped_at = self._stopped_at.pop(platform, "")
        for hold in sorted(holds, key=lambda hold: (hold.hold_id <= stopped_at, hold.hold_id)):
            try:
                await self._resolve(hold)
            except ConnectorError as error:
                key, said = (platform, error.message), "request %s stays in doubt: %s"
                self._lasting.say(key, said, hold.request_id, error.message)
                self._restart_quiet_periods(hold, error)
                if error.platform_fault or error.retry_after_s is None:
                    self._wait_longer(self._holds[hold.hold_id])
                if self._platform_has_to_wait(platform, error):
                    self._stopped_at[platform] = hold.hold_id
                    return
            except Exception as error:  # noqa: BLE001 - logged with its traceback
                # Whatever it is: if this task died of it, nothing would be looked up any more.
                self._lasting.say(
                    (platform, type(error)),
                    "request %s stays in doubt",
                    hold.request_id,
                    level=logging.ERROR,
                    error=error,
                )
                self._first_looks.pop(hold.hold_id, None)
                self._wait_longer(self._holds[hold.hold_id])
            else:
                self._platforms[platform] = _Pace()

    def _platform_has_to_wait(self, platform: str, error: ConnectorError) -> bool:
        pace = self._platforms[platform]
        if error.platform_fault:
            self._wait_longer(pace, at_least_s=error.retry_after_s or 0.0)
        elif error.retry_after_s is not None:  # our own quota or breaker, which know when
            pace.pause(self._keeper.now_ns(), error.retry_after_s)
        else:
            return False
        return True

    def _wait_longer(self, pace: _Pace, *, at_least_s: float = 0.0) -> None:
        pace.wait_s = min(self._max_interval_s, max(self._interval_s, 2 * pace.wait_s))
        pace.pause(self._keeper.now_ns(), max(pace.wait_s, at_least_s))

    def _awake_ns(self) -> int:
        return self._clock.awake_ns()

    def _restart_quiet_periods(self, hold: Hold, error: ConnectorError) -> None:
        """Forgets the first look at a hold, or at all holds of a platform that was not reached. A
        quota that keeps a call back says nothing about the network.
        """
        if isinstance(error, PlatformUnavailable):
            looks = self._first_looks.items()
            self._first_looks = {k: v for k, v in looks if v.platform != hold.platform}
        elif not isinstance(error, RateLimited):
            self._first_looks.pop(hold.hold_id, None)

    async def _resolve(self, hold: Hold) -> None:
        # Taken before the look, so that what was seen is at least this old.
        began_ns, began_awake_ns = self._keeper.now_ns(), self._awake_ns()
        finding = await self._lookup(hold)
        first = self._first_looks.get(hold.hold_id)
        if first is None or first.finding is not finding:
            first = _FirstLook(hold.platform, finding, self._awake_ns())
            self._first_looks[hold.hold_id] = first
        quiet_ns = round(self._quiet_period_s(hold.platform) * NANOS_PER_SECOND)
        left_ns = first.awake_ns + quiet_ns - began_awake_ns
        verb = resolution_of_doubt(finding, quiet=left_ns <= 0)
        if verb is Verb.WAIT:
            pace = self._holds[hold.hold_id]
            self._wait_longer(pace)
            left_ns = first.awake_ns + quiet_ns - self._awake_ns()
            pace.next_ns = min(pace.next_ns, self._keeper.now_ns() + max(0, left_ns))
            return
        age_s = (began_ns - hold.updated_ns) / NANOS_PER_SECOND
        note = f"{BY_RECONCILER}{age_s:.1f} s after the call ended: {finding.value}"
        await self._keeper.resolve(hold, verb, note=note)
        log.info("request %s: %s (%s)", hold.request_id, verb.value, note)
