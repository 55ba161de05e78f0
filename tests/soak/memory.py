"""What a process takes, as seen from outside, and whether it grew."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_GROWTH = 0.05
MEDIAN_OVER_S = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the server. `at_s`: since the load began."""

    at_s: float
    rss_kib: int
    files: int
    threads: int
    ledger_bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Medians of one minute each, in KiB."""

    warm_kib: float
    end_kib: float

    @property
    def growth(self) -> float:
        """0.01: one per cent more at the end than after the warm-up."""
        return self.end_kib / self.warm_kib - 1

    @property
    def flat(self) -> bool:
        return self.end_kib <= self.warm_kib * (1 + MOST_GROWTH)


def look_at(process_id: int, state_dir: Path, at_s: float) -> Sample:
    """Raises OSError when there is no such process."""
    proc = Path("/proc") / str(process_id)
    status = dict(
        line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line
    )
    return Sample(
        at_s=at_s,
        rss_kib=int(status["VmRSS"].split()[0]),
        files=len(list((proc / "fd").iterdir())),
        threads=int(status["Threads"]),
        ledger_bytes=sum(path.stat().st_size for path in state_dir.iterdir() if path.is_file()),
    )


def memory_of(samples: Sequence[Sample], *, warm_s: float, end_s: float) -> Memory | None:
    """The minute that follows the warm-up against the last one; None when there are not two
    minutes that do not overlap.
    """
    if end_s - warm_s < 2 * MEDIAN_OVER_S:
        return None
    warm = [s.rss_kib for s in samples if warm_s <= s.at_s < warm_s + MEDIAN_OVER_S]
    end = [s.rss_kib for s in samples if end_s - MEDIAN_OVER_S <= s.at_s <= end_s]
    if not warm or not end:
        return None
    return Memory(statistics.median(warm), statistics.median(end))
