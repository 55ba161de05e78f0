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
    """What is kept of the speed of a call when it is observed: medians over the rounds.

    Attributes:
        by_cpu: processor time of a call without it, divided by that with it.
        by_rate: calls a second with it, divided by those without.
        least: what `by_cpu` has to be.
    """

    load: str
    by_cpu: float
    by_rate: float
    least: float

    @property
    def enough(self) -> bool:
        """Whether it is cheap enough."""
        return self.by_cpu >= self.least

    def as_dict(self) -> dict[str, str | float | bool]:
        """For JSON."""
        return {**dataclasses.asdict(self), "enough": self.enough}


def show(
    rows: list[Row],
    kept: list[Kept],
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
    for one in kept:
        console.print(
            f"observed: {one.by_cpu:.3f} of the speed without metrics and traces, {one.load} "
            f"(by processor time; by calls a second {one.by_rate:.3f}): "
            f"{'within' if one.enough else 'NOT within'} 3 %",
            soft_wrap=True,
        )
    failed = sum(c["sent"] - c["answered"] for c in counted.values())
    sent = sum(c["sent"] for c in counted.values())
    console.print(f"calls:    {sent:,} sent, {failed:,} failed")
