"""The figures for people: a table on a terminal, aligned columns in a pipe."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

PIPE_COLUMNS = 110
"""A pipe has no width of its own."""


@dataclass(frozen=True, slots=True)
class Row:
    """One variant under one load: medians over the rounds. Milliseconds."""

    load: str
    variant: str
    ratio: float
    """Calls a second, divided by the baseline's in the same round."""
    ratio_least: float
    ratio_most: float
    calls_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """The server's processor time for each call, in microseconds; 0 where that cannot be told."""

    def as_dict(self) -> dict[str, str | float]:
        """For JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of the speed of a call when it is observed, in processor time.

    Attributes:
        by_parts: from what observing adds to a call, each part measured alone.
        by_turns: the median over turns with and without it, beside each other.
        margin: two standard errors of that.
        least: what has to be kept.
        metrics_us: of counting one bid.
        spans_us: of one sampled call.
        scrape_us: of one scrape.
    """

    by_parts: float
    by_turns: float
    margin: float
    least: float
    metrics_us: float
    spans_us: float
    scrape_us: float

    @property
    def enough(self) -> bool:
        """False: it costs too much, as far as can be told here."""
        return self.by_parts >= self.least and self.by_turns + self.margin >= self.least

    def as_dict(self) -> dict[str, float | bool]:
        """For JSON."""
        return {**dataclasses.asdict(self), "enough": self.enough}


def show(
    rows: list[Row],
    kept: Kept,
    facts: Mapping[str, str],
    counted: Mapping[str, Mapping[str, int]],
) -> None:
    """Prints the table, what it was measured on, and how many calls failed."""
    on_terminal = sys.stdout.isatty()
    console = Console(
        width=None if on_terminal else PIPE_COLUMNS, highlight=False, no_color=not on_terminal
    )
    table = Table(box=box.SIMPLE_HEAD if on_terminal else None, pad_edge=False)
    table.add_column("load")
    table.add_column("variant", style="bold")
    for name in ("ratio to echo", "(of the rounds)", "calls/s", "p50 ms", "p99 ms", "cpu µs"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.load,
            row.variant,
            f"{row.ratio:.2f}",
            f"{row.ratio_least:.2f}-{row.ratio_most:.2f}",
            f"{row.calls_per_s:,.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.cpu_us:.0f}",
        )
    console.print(table)
    console.print()
    for name, value in facts.items():
        console.print(f"{name + ':':10}{value}", soft_wrap=True)
    console.print("baseline: a bare grpc.aio server that parses the bid and answers as much")
    console.print(
        f"observed: {kept.by_parts:.3f} of the speed without metrics and traces by their parts "
        f"({kept.metrics_us:.1f} µs for a bid, {kept.spans_us:.0f} µs for a sampled call, "
        f"{kept.scrape_us / 1000:.1f} ms for a scrape); {kept.by_turns:.3f} ± {kept.margin:.3f} "
        f"by turns; at least {kept.least}: {'yes' if kept.enough else 'NO'}",
        soft_wrap=True,
    )
    failed = sum(c["sent"] - c["answered"] for c in counted.values())
    sent = sum(c["sent"] for c in counted.values())
    console.print(f"calls:    {sent:,} sent, {failed:,} failed")
