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
    refusals: dict[tuple[str, str], int] = field(default_factory=dict)
    """Refused bids, by platform and reason."""


class Recent:
    """What happened lately, in steps of ten seconds."""

    def __init__(self) -> None:
        self._stretches: deque[Stretch] = deque(maxlen=STEPS)
        self._refusals: deque[Refusal] = deque(maxlen=MOST_REFUSALS)
        self._refused: dict[str, dict[str, int]] = {}

    def bid(self, at_ns: int, who: str) -> None:
        """A bid was answered: `ai`, `fallback`, or `refused`."""
        counts = self._at(at_ns).bids
        counts[who] = counts.get(who, 0) + 1

    def refused(self, refusal: Refusal) -> None:
        """A call was refused."""
        self._refusals.append(refusal)

    def bid_refused(self, at_ns: int, platform: str, reason: str) -> None:
        """A bid was refused, for whatever reason."""
        ever, lately = self._refused.setdefault(platform, {}), self._at(at_ns).refusals
        ever[reason] = ever.get(reason, 0) + 1
        lately[platform, reason] = lately.get((platform, reason), 0) + 1

    def refused_since_start(self, platform: str) -> Mapping[str, int]:
        """Reason -> how many bids of a platform were refused for it since the process began."""
        return self._refused.get(platform, {})

    def refused_lately(self, platform: str, now_ns: int) -> dict[str, int]:
        """The same of the last minutes, the most frequent reason first."""
        counts: dict[str, int] = {}
        first_ns = now_ns - now_ns % STEP_NS - (STEPS - 1) * STEP_NS
        for stretch in self._stretches:
            if stretch.start_ns < first_ns:
                continue
            for (name, reason), count in stretch.refusals.items():
                if name == platform:
                    counts[reason] = counts.get(reason, 0) + count
        return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))

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
