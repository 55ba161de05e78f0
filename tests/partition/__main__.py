"""Cuts the network while a change is on its way, heals it, and counts at the platform's journal.

    python -m tests.partition                       20 runs, each with the cure and without
    python -m tests.partition --runs 40 --seed 7 --json
    python -m tests.partition --only cured          with the cure alone, or --only bare
    python -m tests.partition --runs 1 --seed 12    one run again

Exit status 1 when a server overspent, sent something twice, or a run came to no end; also when no
run overspends without the cure. Exit status 3 when network namespaces are not allowed here.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import random
import sys
import time
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from tests.partition import namespaces
from tests.partition.plan import Plan, Result, draw
from tests.partition.series import play_all

CURED, BARE = "cured", "bare"
LANES = 6


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.partition",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="of the first run; absent: random")
    parser.add_argument("--only", choices=(CURED, BARE), default=None)
    parser.add_argument("--lanes", type=int, default=LANES, help="runs at once")
    parser.add_argument("--json", action="store_true", help="one line of JSON on standard output")
    return parser.parse_args(words)


def plans_of(runs: int, first_seed: int, only: str | None) -> list[Plan]:
    """Each seed with the cure, then each without. The longest begin first."""
    kinds = [True] * (only != BARE) + [False] * (only != CURED)
    plans = [draw(first_seed + n, cured=cured) for cured in kinds for n in range(runs)]
    return sorted(plans, key=lambda plan: -plan.partition_s)


def main(words: Sequence[str]) -> int:
    """Plays, shows the table, returns the exit status."""
    asked = _arguments(words)
    if reason := namespaces.why_not():
        sys.stderr.write(f"{reason}\n")
        return 3
    seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    plans = plans_of(asked.runs, seed, asked.only)
    sys.stderr.write(f"seed {seed}: {len(plans)} runs, {asked.lanes} at once\n")
    results: list[Result] = []
    started_s = time.monotonic()

    def told(result: Result) -> None:
        results.append(result)
        passed_s = time.monotonic() - started_s
        line = f"{len(results)} of {len(plans)} runs, {passed_s:.0f} s: {_summary(result)}"
        sys.stderr.write(f"{line}\n")

    asyncio.run(play_all(plans, asked.lanes, told))
    results.sort(key=lambda result: (not result.plan.cured, result.plan.seed))
    if asked.json:
        document = {"seed": seed, "runs": [dataclasses.asdict(result) for result in results]}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        show(results)
    return status(results)


def status(results: Sequence[Result]) -> int:
    """The exit status."""
    bare = [result for result in results if not result.plan.cured]
    wrong = any(result.failed or (result.plan.cured and result.overspent) for result in results)
    return int(wrong or (bool(bare) and not any(result.overspent for result in bare)))


def _summary(result: Result) -> str:
    plan = result.plan
    end = result.failed or f"{result.over_micros:,} micros over, {result.twice} twice"
    return f"seed {plan.seed} {plan.platform} {CURED if plan.cured else BARE}: {end}"


def show(results: Sequence[Result]) -> None:
    """The table, in the order of the seeds, and the sums."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    for cured in (True, False):
        chosen = [result for result in results if result.plan.cured is cured]
        if not chosen:
            continue
        title = "with the cure" if cured else "without it"
        table = Table(title=title, box=box.SIMPLE, padding=(0, 1))
        words = ("seed", "platform", "timeout", "partition", "killed", "then")
        seconds = ("last sent", "released", "arrived")
        for word in (*words, *seconds, "micros over", "twice"):
            table.add_column(word, justify="left" if word in words[1:] else "right", no_wrap=True)
        for result in chosen:
            table.add_row(*_cells(result), style="red" if result.overspent else "")
        console.print(table)
        over, twice = sum(r.over_micros for r in chosen), sum(r.twice for r in chosen)
        count = sum(result.overspent for result in chosen)
        total = f"{count} of {len(chosen)} overspent, {over:,} micros, {twice} twice"
        console.print(f"{title}: {total}")


def _cells(result: Result) -> list[str]:
    plan = result.plan
    cells = [
        str(plan.seed),
        plan.platform,
        f"{plan.timeout_ms / 1000:g} s",
        f"{plan.partition_s:g} s",
        "no" if plan.killed_after_s is None else f"{plan.killed_after_s:g} s",
        "the same id" if plan.retries else "others",
    ]
    if result.failed:
        return [*cells, result.failed.splitlines()[-1]]
    times = (result.last_sent_s, result.released_s, result.arrived_s)
    cells += ["never" if one is None else f"{one:g} s" for one in times]
    return [*cells, f"{result.over_micros:,}", str(result.twice)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
