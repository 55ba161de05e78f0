"""Runs simulated worlds, or shows that the simulation notices each guard that is taken away.

python -m tests.simulation --seeds 1000 [--first 0]   many; exit status 1 when a promise is broken
python -m tests.simulation --seed 42                  one, with all that happened in it
python -m tests.simulation --guards [WORD ...]        seeds 0 to 49 without each guard in turn
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time

from tests.simulation.figures import Figures, figures_of, show
from tests.simulation.many import one_after_another, run_all, run_in_memory, side_by_side

MOST_WORKERS = 2


def _replay(seed: int, *, as_json: bool) -> Figures:
    logging.disable(logging.CRITICAL)
    began_s = time.monotonic()
    world = run_in_memory(seed)
    figures = figures_of(world)
    figures.seconds = time.monotonic() - began_s
    if not as_json:
        sys.stdout.write("".join(f"{line}\n" for line in world.trace))
    return figures


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="Whole worlds, each from one number."
    )
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many (100)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first of them (0)")
    parser.add_argument("--seed", type=int, metavar="N", help="this one alone, with its trace")
    parser.add_argument("--workers", type=int, default=min(MOST_WORKERS, os.cpu_count() or 1))
    parser.add_argument("--stop", action="store_true", help="at the first seed that fails")
    parser.add_argument("--json", action="store_true", help="the figures as one line of JSON")
    parser.add_argument(
        "--guards", nargs="*", metavar="WORD", help="take away the guards with a WORD in the name"
    )
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Does what is asked; returns the exit status."""
    chosen = _arguments(words)
    if chosen.guards is not None:
        from tests.simulation.guards import try_guards

        return try_guards(chosen.guards, workers=chosen.workers, as_json=chosen.json)
    if chosen.seed is not None:
        figures = _replay(chosen.seed, as_json=chosen.json)
    else:
        seeds = range(chosen.first, chosen.first + chosen.seeds)
        if chosen.stop or chosen.workers == 1:
            results = one_after_another(seeds, stop=chosen.stop)
        else:
            results = side_by_side(seeds, chosen.workers)
        figures = run_all(results, len(seeds), _say)
    if chosen.json:
        sys.stdout.write(json.dumps(figures.document()) + "\n")
    else:
        show(figures)
    return 1 if figures.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
