"""What many seeds come to, and how it is shown."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from tests.simulation.bids import UNSENT
from tests.simulation.broken import Promise
from tests.simulation.state import World
from tests.simulation.terms import TOTAL, USD


@dataclass
class PlatformFigures:
    """One platform, or all of them together."""

    sent: int = 0
    applied: int = 0
    applied_micros: int = 0
    largest_share: float = 0.0
    """Of a limit, used in any window: 1.0 is all of it."""
    overshoot_micros: int = 0
    sent_twice: int = 0
    leaked: int = 0

    def add(self, other: PlatformFigures) -> None:
        """Takes in what another seed came to."""
        for name in ("sent", "applied", "applied_micros", "sent_twice", "leaked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.largest_share = max(self.largest_share, other.largest_share)
        self.overshoot_micros = max(self.overshoot_micros, other.overshoot_micros)


@dataclass
class Figures:
    """Some seeds."""

    seeds: int = 0
    lives: int = 0
    crashes: int = 0
    asked: int = 0
    attempts: int = 0
    refused: int = 0
    """Bids that were refused, and nothing else, at each attempt."""
    platforms: dict[str, PlatformFigures] = field(default_factory=dict)
    broken: dict[int, list[str]] = field(default_factory=dict)
    """Seed -> what it found."""
    seconds: float = 0.0

    def add(self, other: Figures) -> None:
        """Takes in what other seeds came to; time is the caller's."""
        for name in ("seeds", "lives", "crashes", "asked", "attempts", "refused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, figures in other.platforms.items():
            self.platforms.setdefault(name, PlatformFigures()).add(figures)
        self.broken.update(other.broken)

    def document(self) -> dict[str, Any]:
        """For a script."""
        return dataclasses.asdict(self)


def figures_of(world: World) -> Figures:
    """One seed."""
    asked = [bid for bid in world.asked.values() if bid.attempts]
    figures = Figures(
        seeds=1,
        lives=world.lives,
        crashes=world.crashes,
        asked=len(asked),
        attempts=sum(len(bid.attempts) for bid in asked),
        refused=sum(set(bid.told) <= UNSENT for bid in asked),
    )
    for name, platform in world.platforms.items():
        figures.platforms[name] = PlatformFigures(
            sent=platform.sent,
            applied=len(platform.journal),
            applied_micros=sum(change.amount for change in platform.journal),
            largest_share=world.largest_share[name],
            overshoot_micros=max(0, world.overshoot_micros[name]),
            sent_twice=sum(b.promise is Promise.ONCE for b in platform.broken),
            leaked=world.leaked[name],
        )
    total = PlatformFigures()
    for figures_of_one in figures.platforms.values():
        total.add(figures_of_one)
    total.largest_share = world.largest_share[TOTAL]
    total.overshoot_micros = max(0, world.overshoot_micros[TOTAL])
    total.leaked += world.leaked[""]
    figures.platforms[TOTAL] = total
    if world.all_broken():
        figures.broken[world.seed] = [str(broken) for broken in world.all_broken()]
    return figures


def console_of() -> Console:
    """A terminal as wide as it is; a pipe as wide as a table may want."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def show(figures: Figures) -> None:
    """The table of all seeds."""
    console = console_of()
    console.print(
        f"{figures.seeds:,} seeds, {figures.lives:,} lives, {figures.crashes:,} crashes; "
        f"{figures.asked:,} bids asked for in {figures.attempts:,} attempts, "
        f"{figures.refused:,} refused; {figures.seconds:.0f} s"
    )
    table = Table(box=box.SIMPLE, padding=(0, 1))
    table.add_column("platform", no_wrap=True)
    titles = ("sent", "applied", "amount", "most used", "micros over", "twice", "leaked")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for name, one in figures.platforms.items():
        bad = one.overshoot_micros or one.sent_twice or one.leaked
        table.add_row(
            name,
            f"{one.sent:,}",
            f"{one.applied:,}",
            f"${one.applied_micros // USD:,}",
            f"{one.largest_share:.2%}",
            f"{one.overshoot_micros:,}",
            f"{one.sent_twice:,}",
            f"{one.leaked:,}",
            style="red" if bad else "",
        )
    console.print(table)
    show_broken(console, figures.broken.items())
    held = figures.seeds - len(figures.broken)
    style = "red" if figures.broken else "green"
    console.print(f"{held:,} of {figures.seeds:,} seeds kept every promise", style=style)


def show_broken(console: Console, broken: Iterable[tuple[int, list[str]]]) -> None:
    """The seeds that failed, and how to have each again."""
    for seed, texts in sorted(broken):
        console.print(f"seed {seed} broke {len(texts)}; again: make simulate SEED={seed}")
        for text in texts[:3]:
            console.print(f"    {text}", markup=False, soft_wrap=True)
