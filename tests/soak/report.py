"""The figures for people: aligned columns, coloured on a terminal; and the same as JSON."""

from __future__ import annotations

import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Columns
from tests.soak.memory import MOST_GROWTH
from tests.soak.run import WINDOW_S, Outcome
from tests.soak.table import Told

from smartconnectors_server.ledger.book import REMEMBERED_CLOSED_HOLDS

PIPE_COLUMNS = 110
_TRACE_POINTS = 12
_ANSWERS = (
    ("BUDGET_EXCEEDED", "over the budget", "answers"),
    ("DEFERRED", "deferred", "answers, while a breaker was open"),
    ("OUTCOME_UNKNOWN", "in doubt", "answers, until it was looked up"),
    ("OVERLOADED", "overloaded", "answers, refused early in bursts"),
)


def document_of(outcome: Outcome) -> dict[str, Any]:
    """Everything that was measured."""
    memory, table, samples = outcome.memory, outcome.table, outcome.samples
    return {
        "complete": outcome.complete,
        "failures": outcome.failures,
        "examples": table.examples,
        "minutes": round(outcome.loaded_s / 60, 2),
        "warm_up_s": round(outcome.warm_s, 1),
        "bids_per_s": outcome.plan.bids_per_s,
        "seed": outcome.plan.seed,
        "rss_kib": {
            "after_warm_up": None if memory is None else memory.warm_kib,
            "at_the_end": None if memory is None else memory.end_kib,
            "growth": None if memory is None else round(memory.growth, 4),
            "trace": _trace(outcome),
        },
        "closed_holds_when_warm": outcome.closed_holds_when_warm,
        "closed_holds_remembered_in_memory": REMEMBERED_CLOSED_HOLDS,
        "most_files": max((s.files for s in samples), default=None),
        "most_threads": max((s.threads for s in samples), default=None),
        "ledger_bytes": max((s.ledger_bytes for s in samples), default=None),
        "bids": {
            **table.counts,
            "told_placed": table.told(Told.PLACED),
            "told_not_sent": table.told(Told.NOT_SENT),
            "told_nothing_final": table.told(Told.UNKNOWN) + table.told(None),
        },
        "wrong": dict(table.wrong),
        "open_holds": outcome.open_holds,
        "windows": {
            name: {"limit_micros": w.limit_micros, "most_micros": w.most_micros}
            for name, w in table.windows.items()
        },
        "answers": outcome.answers,
        "faults": outcome.faults,
        "half_open_connections_closed_by_the_server": outcome.half_open_closed,
        "changes_that_watchers_saw": outcome.notices,
        "calls_not_made_for_too_many_under_way": outcome.skipped,
    }


def _trace(outcome: Outcome) -> dict[str, int]:
    """Seconds -> KiB, now and then."""
    step = max(1, len(outcome.samples) // _TRACE_POINTS)
    return {str(round(s.at_s)): s.rss_kib for s in outcome.samples[::step]}


def show(outcome: Outcome) -> None:
    """Prints the table."""
    on_terminal = sys.stdout.isatty()
    console = Console(
        width=None if on_terminal else PIPE_COLUMNS, highlight=False, no_color=not on_terminal
    )
    shown = Columns(box=box.SIMPLE_HEAD if on_terminal else None, pad_edge=False)
    shown.add_column("what", style="bold")
    shown.add_column("figure", justify="right")
    shown.add_column("")
    for row in _rows(outcome):
        shown.add_row(*row)
    console.print(shown)
    console.print()
    for line in outcome.table.examples:
        console.print(line, style="red", soft_wrap=True)
    if not outcome.complete:
        console.print("stopped early: these are the figures so far", style="yellow")
    elif outcome.memory is None:
        console.print("too short to tell whether memory grows: 4 minutes at least", style="yellow")
    elif not outcome.caches_full:
        console.print(
            "the server's memory of closed holds was not full after the warm-up, so what follows "
            "is part growth by design: run longer",
            style="yellow",
        )
    for failure in outcome.failures:
        console.print(f"FAILED  {failure}", style="bold red")
    if outcome.complete and not outcome.failures:
        console.print("nothing lost, doubled or overshot; no hold left open", style="green")


def _rows(outcome: Outcome) -> list[tuple[str, str, str]]:
    table, memory = outcome.table, outcome.memory
    counts, wrong = table.counts, table.wrong
    rows = [
        ("load", f"{outcome.loaded_s / 60:.1f} min", f"warm-up {outcome.warm_s:.0f} s of it"),
        ("bids sent", f"{counts['sent']:,}", "request ids, each with a number of its own"),
        ("applied at the platforms", f"{counts['applied']:,}", "by their journals"),
        ("told placed", f"{table.told(Told.PLACED):,}", ""),
        ("told not sent", f"{table.told(Told.NOT_SENT):,}", "refused, superseded, given up"),
        (
            "not known yet",
            f"{table.told(Told.UNKNOWN) + table.told(None):,}",
            "under way, deferred or in doubt",
        ),
        ("assumed", f"{counts['assumed']:,}", "could not be found out; counted in full"),
        *(
            (what, f"{wrong[what]:,}", "")
            for what in ("lost", "doubled", "stray", "applied though refused", "overshot")
        ),
        *((name, f"{outcome.answers.get(key, 0):,}", words) for key, name, words in _ANSWERS),
        ("faults played", f"{sum(outcome.faults.values()):,}", "at the platforms"),
        (
            "half-open connections",
            f"{outcome.half_open_closed:,}",
            "closed by the server",
        ),
        (
            "open holds at the end",
            "-" if outcome.open_holds is None else f"{outcome.open_holds:,}",
            "",
        ),
    ]
    for name, window in table.windows.items():
        share = window.most_micros / window.limit_micros
        rows.append(
            (f"most in {WINDOW_S:.0f} s, {name}", f"{share:.2%}", "of the limit, by the journal")
        )
    if outcome.samples:
        last = outcome.samples[-1]
        files, threads = (max(getattr(s, n) for s in outcome.samples) for n in ("files", "threads"))
        rows.append(("files, threads", f"{files}, {threads}", "of the server, at most"))
        rows.append(("ledger", f"{last.ledger_bytes / 2**20:.1f} MiB", "on disk, grows by design"))
    if memory is not None:
        rows.append(("memory after warm-up", f"{memory.warm_kib / 1024:.1f} MiB", "RSS, median"))
        rows.append(("memory at the end", f"{memory.end_kib / 1024:.1f} MiB", "RSS, median"))
        rows.append(("growth", f"{memory.growth:+.2%}", f"at most {MOST_GROWTH:.0%}"))
    return rows
