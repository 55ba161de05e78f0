"""What the runs came to, for a person and for a program."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from tests.crash.run import Result

COLUMNS = ("runs", "kills", "bids", "applied", "in doubt", "lost", "doubled", "overshot")
_RED, _GREEN, _BOLD, _PLAIN = "\033[31m", "\033[32m", "\033[1m", "\033[0m"


def row(results: Iterable[Result]) -> dict[str, int]:
    """The sums of some runs, by column."""
    listed = list(results)
    return {
        "runs": len(listed),
        "kills": sum(r.kills for r in listed),
        "bids": sum(r.bids for r in listed),
        "applied": sum(r.applied for r in listed),
        "in doubt": sum(r.in_doubt for r in listed),
        "lost": sum(len(r.findings.lost) for r in listed),
        "doubled": sum(len(r.findings.doubled) for r in listed),
        "overshot": sum(len(r.findings.overshot) for r in listed),
    }


def rows(results: Sequence[Result], points: Iterable[str]) -> dict[str, dict[str, int]]:
    """Point -> its sums; and `all`."""
    table = {point: row(r for r in results if r.point == point) for point in points}
    return {**table, "all": row(results)}


def print_table(table: dict[str, dict[str, int]], out: TextIO, heading: str = "killed at") -> None:
    """The table: coloured on a terminal, plain elsewhere. `heading` is that of the points."""
    colour = out.isatty() and not os.environ.get("NO_COLOR")
    width = max(map(len, (*table, heading)))
    head = f"{heading:{width}}  " + "  ".join(f"{name:>8}" for name in COLUMNS)
    out.write(f"{_BOLD}{head}{_PLAIN}\n" if colour else f"{head}\n")
    for name, sums in table.items():
        line = f"{name:{width}}  " + "  ".join(f"{sums[column]:8}" for column in COLUMNS)
        bad = sums["lost"] or sums["doubled"] or sums["overshot"] or not sums["runs"]
        if colour and (bad or name == "all"):
            line = f"{_RED if bad else _GREEN}{line}{_PLAIN}"
        out.write(f"{line}\n")


def as_json(seed: int, table: dict[str, dict[str, int]], wrong: Sequence[Result]) -> str:
    """The same as one line of JSON, with every run that broke a promise."""
    document: dict[str, Any] = {
        "seed": seed,
        "points": table,
        "wrong": [dataclasses.asdict(result) for result in wrong],
    }
    return json.dumps(document)
