"""Kills real servers at every failpoint, again and again, and compares what is left.

    python -m tests.crash                                     200 runs over all failpoints
    python -m tests.crash --runs 400 --seed 7 --json
    python -m tests.crash settle dispatch                     points whose names begin so
    python -m tests.crash --runs 1 --seed 12 settle_in_memory    one run again

Exit status 1 when something was lost, doubled or overshot, when a run came to no end, or when a
failpoint was never reached.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.crash.campaign import Campaign, schedule
from tests.crash.mixes import POINTS
from tests.crash.report import as_json, print_table, rows


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("points", nargs="*", help="beginnings of failpoints' names; none: all")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="absent: a random one")
    parser.add_argument("--json", action="store_true", help="one line of JSON on standard output")
    return parser.parse_args(words)


def _say(lines: Sequence[str]) -> None:
    sys.stderr.writelines(f"{line}\n" for line in lines)


def main(words: Sequence[str]) -> int:
    """Runs, prints the table, returns the exit status."""
    asked = _arguments(words)
    begins = tuple(asked.points)
    points = [point for point in POINTS if not begins or point.startswith(begins)]
    if not points:
        _say([f"no failpoint begins so; there are: {', '.join(POINTS)}"])
        return 2
    points = points[: max(1, asked.runs)]
    seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    _say([f"seed {seed}: {asked.runs} runs over {len(points)} failpoints"])
    with tempfile.TemporaryDirectory(prefix="crash-") as directory:
        campaign = Campaign(schedule(asked.runs, points, seed), Path(directory))
        asyncio.run(campaign.run())
    _say([""])
    table = rows(campaign.results, points)
    wrong = [result for result in campaign.results if result.wrong]
    if asked.json:
        sys.stdout.write(as_json(seed, table, wrong) + "\n")
    else:
        print_table(table, sys.stdout)
    return 1 if wrong or campaign.failed or campaign.unreached else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
