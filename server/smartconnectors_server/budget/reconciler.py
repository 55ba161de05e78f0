"""Finds out what became of holds in doubt, and ends each by what the platform says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from smartconnectors_server.budget.keeper import Keeper
from smartconnectors_server.budget.resolution import Finding, Verb, resolution_of_doubt
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.ledger import Hold, HoldState

Lookup = Callable[[Hold], Awaitable[Finding]]

log = logging.getLogger(__name__)


class Reconciler:
    """Looks up every hold in doubt, again and again, until it is known."""

    def __init__(
        self,
        keeper: Keeper,
        clock: Clock,
        lookup: Lookup,
        *,
        interval_s: float,
        quiet_period_s: Callable[[str], float],
    ) -> None:
        """`quiet_period_s` of a platform: how long a change may arrive after its call ended; at
        least twice the platform's timeout.
        """
        self._keeper = keeper
        self._clock = clock
        self._lookup = lookup
        self._interval_s = interval_s
        self._quiet_period_s = quiet_period_s
        self._stopped_at: dict[str, str] = {}  # platform -> the hold that the last look failed at

    async def run(self) -> None:
        """Looks every interval, for ever."""
        while True:
            await self.look()
            await self._clock.sleep(self._interval_s)

    async def look(self) -> None:
        """One look at each hold in doubt; holds of different platforms do not wait for another."""
        by_platform: dict[str, list[Hold]] = {}
        for hold in self._keeper.open_holds(HoldState.IN_DOUBT):
            by_platform.setdefault(hold.platform, []).append(hold)
        await asyncio.gather(*(self._look_at(*item) for item in by_platform.items()))

    async def _look_at(self, platform: str, holds: list[Hold]) -> None:
        # A platform that is down is asked once a look. But it may be one hold alone that cannot be
        # looked up: where the last look stopped is where this one ends.
        stopped_at = self._stopped_at.pop(platform, "")
        for hold in sorted(holds, key=lambda hold: (hold.hold_id <= stopped_at, hold.hold_id)):
            try:
                await self._resolve(hold)
                continue
            except ConnectorError as error:
                log.info("request %s stays in doubt: %s", hold.request_id, error.message)
            except Exception:
                log.exception("request %s stays in doubt", hold.request_id)
            self._stopped_at[platform] = hold.hold_id
            return

    async def _resolve(self, hold: Hold) -> None:
        # Taken before the look, so that what was seen is at least this old. Since the call ended,
        # not since the reserve: in between it may have waited for the disk or for its turn.
        age_s = (self._keeper.now_ns() - hold.updated_ns) / NANOS_PER_SECOND
        finding = await self._lookup(hold)
        quiet = age_s >= self._quiet_period_s(hold.platform)
        verb = resolution_of_doubt(finding, quiet=quiet)
        if verb is Verb.WAIT:
            return
        note = f"looked up {age_s:.1f} s after the call ended: {finding.value}"
        await self._keeper.resolve(hold, verb, note=note)
        log.info("request %s: %s (%s)", hold.request_id, verb.value, note)
