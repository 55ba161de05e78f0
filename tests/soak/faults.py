"""What goes wrong at the platforms, again and again, so that breakers open, bids are deferred and
outcomes have to be found out.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

from tests.soak.processes import Control

from smartconnectors_server.connector.sandbox import CHANGES, FaultKind
from smartconnectors_server.platforms import PLATFORMS

TIMEOUT_MS = 2_000
"""The server's timeout for a platform's call."""
SLOW_CALL_MS = 1_000
"""Long, so that a machine that is busy with something else does not open breakers by itself."""
EVERY_S = 5.0
REFUSED_FOR_S = 4.0
_EPISODES: tuple[dict[str, Any], ...] = (
    {"kind": FaultKind.SERVER_ERROR.value, "times": 3},
    {"kind": FaultKind.APPLY_THEN_HANG.value, "times": 1},
    {"kind": FaultKind.SLOW.value, "times": 4, "delay_ms": SLOW_CALL_MS + 100},
    {"kind": FaultKind.APPLY_THEN_RESET.value, "times": 1},
    {"kind": FaultKind.HANG.value, "times": 3},
    {"kind": FaultKind.MALFORMED.value, "times": 2},
    {"kind": FaultKind.QUOTA.value, "times": 1, "delay_ms": 1_000},
    {"kind": FaultKind.APPLY_LATE.value, "times": 2, "delay_ms": TIMEOUT_MS + 200},
    {"kind": FaultKind.REFUSE.value},
)
"""Of the sandboxes' faults all but one: a request that the platform delivers twice to itself cannot
be told from one that was sent twice.
"""


class Faults:
    """Plays them, platform after platform."""

    def __init__(self, control: Control) -> None:
        self.played: Counter[str] = Counter()
        self._control = control
        self._episodes = itertools.cycle(itertools.product(_EPISODES, sorted(PLATFORMS)))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.play_next()

    async def play_next(self) -> None:
        """One episode on one platform."""
        episode, platform = next(self._episodes)
        self.played[episode["kind"]] += 1
        if episode["kind"] == FaultKind.REFUSE.value:
            await self._control.add_fault(platform, kind=episode["kind"])
            await asyncio.sleep(REFUSED_FOR_S)
            await self._control.clear_faults(platform)
        else:
            await self._control.add_fault(platform, method=CHANGES, **episode)

    async def end(self) -> None:
        """No more of them."""
        for platform in sorted(PLATFORMS):
            await self._control.clear_faults(platform)
