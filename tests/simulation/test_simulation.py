"""The whole chain in a simulated world: no budget is overshot, whatever goes wrong.

A failure says its seed; SIMULATION_SEED=n replays that one alone.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.simulation.run import simulate

REPLAYED = os.environ.get("SIMULATION_SEED")
SEEDS = [int(REPLAYED)] if REPLAYED else range(30)
SOAK_SEEDS = range(30, 2030)
AT_ONCE = 50
MEMORY = Path("/dev/shm")


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """In memory where there is any: what a disk does is simulated, and its real syncs take long."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_budget_is_overshot_whatever_goes_wrong(seed: int, state_dir: Path) -> None:
    simulate(seed, state_dir)


def test_a_seed_gives_the_same_run_again(state_dir: Path) -> None:
    first, second = simulate(3, state_dir / "first"), simulate(3, state_dir / "second")
    assert first.trace == second.trace
    assert first.platform.journal == second.platform.journal


@pytest.mark.soak
@pytest.mark.parametrize("first", SOAK_SEEDS[::AT_ONCE])
def test_no_budget_is_overshot_in_thousands_of_worlds(first: int, state_dir: Path) -> None:
    for seed in range(first, first + AT_ONCE):
        simulate(seed, state_dir / str(seed))


def test_the_simulation_meets_what_it_is_for(state_dir: Path) -> None:
    """A world in which nothing happened would prove nothing."""
    told: Counter[str] = Counter()
    lives = applied = 0
    for seed in range(100, 108):
        run = simulate(seed, state_dir / str(seed))
        told.update(outcome for outcomes in run.told.values() for outcome in outcomes)
        lives += run.lives
        applied += len(run.platform.journal)
    assert told.keys() >= {"PLACED", "DEFERRED", "BUDGET_EXCEEDED", "OUTCOME_UNKNOWN", "gave up"}
    assert applied > 60
    assert lives > 9
