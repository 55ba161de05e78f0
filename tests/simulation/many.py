"""Many seeds, at most two at a time."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.simulation.figures import Figures, figures_of
from tests.simulation.run import simulate
from tests.simulation.state import World

MEMORY = Path("/dev/shm")
"""What a disk does is simulated, and its real syncs take long."""
SAY_EVERY = 50


def run_in_memory(seed: int) -> World:
    """One seed, its files in memory where there is any."""
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as directory:
        return simulate(seed, Path(directory))


def quietly(seed: int) -> Figures:
    """One seed without the server's own log."""
    logging.disable(logging.CRITICAL)
    return figures_of(run_in_memory(seed))


def one_after_another(seeds: range, *, stop: bool) -> Iterator[Figures]:
    """In this process; `stop`: not beyond the first that fails."""
    for seed in seeds:
        figures = quietly(seed)
        yield figures
        if stop and figures.broken:
            return


def side_by_side(seeds: range, workers: int) -> Iterator[Figures]:
    """In processes of their own, as they are done."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for done in as_completed([pool.submit(quietly, seed) for seed in seeds]):
            yield done.result()


def run_all(results: Iterator[Figures], count: int, say: Callable[[str], None]) -> Figures:
    """All of them together; a line now and then, and one for each seed that fails."""
    began_s = time.monotonic()
    total = Figures()
    for result in results:
        total.add(result)
        total.seconds = time.monotonic() - began_s
        left_s = total.seconds / total.seeds * (count - total.seeds)
        for seed, texts in result.broken.items():
            say(f"seed {seed}: {texts[0]}\n")
        if sys.stderr.isatty():
            say(f"\r{total.seeds} of {count}, {len(total.broken)} failed, {left_s:.0f} s left  ")
        elif total.seeds % SAY_EVERY == 0:
            say(f"{total.seeds} of {count}, {len(total.broken)} failed, {left_s:.0f} s left\n")
    if sys.stderr.isatty():
        say("\n")
    return total
