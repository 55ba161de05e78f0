"""Fuzzes for some minutes: python -m tests.fuzz.run --minutes 5 [--target answers]

Shows how many examples were tried and what was new. What fails is made as small as it gets, kept
in .hypothesis (the next run and `pytest tests/fuzz` begin with it) and printed with the blob that
replays it. An example that never ends stops the run with where it hangs; it is in
.hypothesis/last-example. Exit status: 0 nothing failed, 1 something did, 2 no such target.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from tests.fuzz.targets import TARGETS, Target

EXAMPLES_A_ROUND = 200
DATABASE = ".hypothesis/fuzz"
LAST = Path(".hypothesis/last-example")
LONGEST_S = 60.0
EVERY_S = 5.0


@dataclass
class Tally:
    """What one target has come to."""

    name: str
    began_s: float = field(default_factory=time.monotonic)
    shown_s: float = 0.0
    examples: int = 0
    findings: dict[str, str] = field(default_factory=dict)

    def show(self, *, last: bool = False) -> None:
        """One line on a terminal, written anew; elsewhere a line now and then."""
        now_s = time.monotonic()
        if not last and now_s - self.shown_s < EVERY_S:
            return
        self.shown_s = now_s
        passed_s = now_s - self.began_s
        line = (
            f"{self.name:14} {self.examples:8,} examples {passed_s:6.0f} s "
            f"{len(self.findings)} finding{'' if len(self.findings) == 1 else 's'}"
        )
        start, end = ("\r", "\n" if last else "") if sys.stderr.isatty() else ("", "\n")
        sys.stderr.write(f"{start}{line}{end}")
        sys.stderr.flush()


def fuzz(name: str, target: Target, seconds: float, first_seed: int) -> Tally:
    """Tries examples until the time is over, round after round, each from a seed of its own."""
    tally = Tally(name)
    until_s = tally.began_s + seconds
    number = first_seed
    LAST.parent.mkdir(exist_ok=True)
    with target.opened() as broken_by:
        while time.monotonic() < until_s:
            _round(tally, target, broken_by, number, until_s)
            number += 1
    tally.show(last=True)
    return tally


def _round(
    tally: Tally, target: Target, broken_by: Callable[[Any], None], number: int, until_s: float
) -> None:
    @seed(number)
    @settings(
        max_examples=EXAMPLES_A_ROUND,
        deadline=None,
        print_blob=True,
        database=DirectoryBasedExampleDatabase(DATABASE),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=target.cases)
    def look(case: object) -> None:
        # An example that failed is looked at to its end, so that it can be made small.
        if time.monotonic() > until_s and not tally.findings:
            return
        tally.examples += 1
        tally.show()
        # One that never ends kills the run, and is then found in this file.
        LAST.write_text(repr(case), encoding="utf-8", errors="backslashreplace")
        faulthandler.dump_traceback_later(LONGEST_S, exit=True)
        broken_by(case)
        faulthandler.cancel_dump_traceback_later()

    try:
        look()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        words = "".join(traceback.format_exception(error, limit=-3))
        notes = "\n".join(getattr(error, "__notes__", ()))
        faulthandler.cancel_dump_traceback_later()
        tally.findings.setdefault(_kind(error), f"seed {number}\n{words}{notes}")


def _kind(error: BaseException) -> str:
    """Where it came from: the same place again is no new finding."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.filename}:{frame.lineno}"


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description="Fuzzes for some minutes.")
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together")
    parser.add_argument("--target", default="", help=f"one of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seed", type=int, default=1, help="the first of the seeds that are used")
    chosen = parser.parse_args(arguments)
    if chosen.target and chosen.target not in TARGETS:
        sys.stderr.write(f"there is no target {chosen.target}; there are: {', '.join(TARGETS)}\n")
        return 2
    names = [chosen.target] if chosen.target else list(TARGETS)
    seconds = chosen.minutes * 60 / len(names)
    tallies = [fuzz(name, TARGETS[name], seconds, chosen.seed) for name in names]
    for tally in tallies:
        for kind, words in tally.findings.items():
            sys.stdout.write(f"\n{tally.name}: {kind}\n{words}\n")
            sys.stdout.write(
                f"replay: python -m tests.fuzz.run --target {tally.name} (begins with what is kept "
                f"in {DATABASE})\n"
            )
    found = sum(len(tally.findings) for tally in tallies)
    sys.stdout.write(f"{sum(tally.examples for tally in tallies):,} examples, {found} findings\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
