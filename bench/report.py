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

    def as_dict(self) -> dict[str, str | float]:
        """For JSON."""
        return dataclasses.asdict(self)


def show(
    rows: list[Row], facts: Mapping[str, str], counted: Mapping[str, Mapping[str, int]]
) -> None:
    """Prints the table, what it was measured on, and how many calls failed."""
    on_terminal = sys.stdout.isatty()
    console = Console(
        width=None if on_terminal else PIPE_COLUMNS, highlight=False, no_color=not on_terminal
    )
    table = Table(box=box.SIMPLE_HEAD if on_terminal else None, pad_edge=False)
    table.add_column("load")
    table.add_column("variant", style="bold")
    for name in ("ratio to echo", "(of the rounds)", "calls/s", "p50 ms", "p99 ms"):
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
        )
    console.print(table)
    console.print()
    for name, value in facts.items():
        console.print(f"{name + ':':10}{value}", soft_wrap=True)
    console.print("baseline: a bare grpc.aio server that parses the bid and answers as much")
    failed = sum(c["sent"] - c["answered"] for c in counted.values())
    sent = sum(c["sent"] for c in counted.values())
    console.print(f"calls:    {sent:,} sent, {failed:,} failed")
