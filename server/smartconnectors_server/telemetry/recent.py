"""The last minutes in memory, for whoever opens the dashboard: who decided bids, and what was
refused. Bounded, and gone with the process; the audit ledger is what lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

STEP_NS = 10_000_000_000
STEPS = 90
MOST_REFUSALS = 50


@dataclass(frozen=True, slots=True)
class Refusal:
    """One call that was refused. Wall-clock nanoseconds."""

    at_ns: int
    platform: str
    campaign_id: str
    reason: str
    message: str
    retry_at_ns: int | None
    """When trying again can help; None: no time is known."""


@dataclass(slots=True)
class Stretch:
    """What happened in one step of time."""

    start_ns: int
    bids: dict[str, int] = field(default_factory=dict)
    """By `ai`, `fallback` and `refused`."""


class Recent:
    """What happened lately, in steps of ten seconds."""

    def __init__(self) -> None:
        self._stretches: deque[Stretch] = deque(maxlen=STEPS)
        self._refusals: deque[Refusal] = deque(maxlen=MOST_REFUSALS)

    def bid(self, at_ns: int, who: str) -> None:
        """A bid was answered: `ai`, `fallback`, or `refused`."""
        counts = self._at(at_ns).bids
        counts[who] = counts.get(who, 0) + 1

    def refused(self, refusal: Refusal) -> None:
        """A call was refused."""
        self._refusals.append(refusal)

    def refusals(self) -> Iterator[Refusal]:
        """The newest first."""
        return reversed(self._refusals)

    def steps(self, now_ns: int) -> list[Stretch]:
        """Every step up to now, the oldest first; those in which nothing happened are empty."""
        known: Mapping[int, Stretch] = {stretch.start_ns: stretch for stretch in self._stretches}
        last_ns = now_ns - now_ns % STEP_NS
        starts = range(last_ns - (STEPS - 1) * STEP_NS, last_ns + 1, STEP_NS)
        return [known.get(start_ns) or Stretch(start_ns) for start_ns in starts]

    def _at(self, at_ns: int) -> Stretch:
        start_ns = at_ns - at_ns % STEP_NS
        # A wall clock that was set back adds to the newest step: a chart, not an account.
        if not self._stretches or self._stretches[-1].start_ns < start_ns:
            self._stretches.append(Stretch(start_ns))
        return self._stretches[-1]
