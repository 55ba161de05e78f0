"""Puts real servers through hardships other than a crash, and compares what is left.

    python -m tests.chaos                          52 runs over all hardships
    python -m tests.chaos --runs 130 --seed 7 --json
    python -m tests.chaos stopped few-files        hardships whose names begin so
    python -m tests.chaos --runs 1 --seed 12 starved    one run again

Exit status 1 when something was lost, doubled or overshot, or when a run came to no end.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.hardships import HARDSHIPS, possible_here
from tests.chaos.run import run
from tests.crash.campaign import Campaign, schedule
from tests.crash.report import as_json, print_table, rows


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("hardships", nargs="*", help="beginnings of hardships' names; none: all")
    parser.add_argument("--runs", type=int, default=52)
    parser.add_argument("--seed", type=int, default=None, help="absent: a random one")
    parser.add_argument("--json", action="store_true", help="one line of JSON on standard output")
    return parser.parse_args(words)


def _command(seed: int, hardship: str) -> str:
    return f"python -m tests.chaos --runs 1 --seed {seed} {hardship}"


def main(words: Sequence[str]) -> int:
    """Runs, prints the table, returns the exit status."""
    asked = _arguments(words)
    begins = tuple(asked.hardships)
    names = [name for name in HARDSHIPS if not begins or name.startswith(begins)]
    if not names:
        sys.stderr.write(f"no hardship begins so; there are: {', '.join(HARDSHIPS)}\n")
        return 2
    for name in [name for name in names if not possible_here(name)]:
        sys.stderr.write(f"{name}: skipped, this machine allows no control group for threads\n")
        names.remove(name)
    names = names[: max(1, asked.runs)]
    seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    sys.stderr.write(f"seed {seed}: {asked.runs} runs over {len(names)} hardships\n")
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        plan = schedule(asked.runs, names, seed)
        campaign = Campaign(plan, Path(directory), attempt=run, command=_command)
        asyncio.run(campaign.run())
    sys.stderr.write("\n")
    table = rows(campaign.results, names)
    wrong = [result for result in campaign.results if result.wrong]
    if asked.json:
        sys.stdout.write(as_json(seed, table, wrong) + "\n")
    else:
        print_table(table, sys.stdout, heading="hardship")
    return 1 if wrong or campaign.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
