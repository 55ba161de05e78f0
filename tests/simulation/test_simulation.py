"""The whole chain in simulated worlds: no budget is overshot, whatever goes wrong.

`make simulate SEED=n` replays one; `make simulate SEEDS=1000` and `make guards` are the long
proofs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest
from tests.mutation.run import ROOT, mutated
from tests.mutation.table import Mutant
from tests.mutation.table_store import TABLE
from tests.simulation.figures import figures_of
from tests.simulation.guards import GUARDS, without
from tests.simulation.many import run_in_memory
from tests.simulation.unseen import OWN, UNSEEN

from smartconnectors_server.platforms import PLATFORMS

SEEDS = range(30)
QUICK = (
    "settling does not enter the window",
    "what is given back goes on counting",
    "an error after the dispatch counts as unsent",
)
TRACED = re.compile(r"^\d+\.\d{6} ")


@pytest.mark.parametrize("seed", SEEDS)
def test_no_budget_is_overshot_whatever_goes_wrong(seed: int) -> None:
    broken = [str(b) for b in run_in_memory(seed).all_broken()]
    assert broken == [], f"again: make simulate SEED={seed}"


def trace_of(seed: int, hash_seed: int) -> list[str]:
    """What happened, by the command and in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if TRACED.match(line)]


def test_a_seed_gives_the_same_run_again() -> None:
    first = trace_of(1, 1)
    assert first == trace_of(1, 2)
    assert len(first) > 100


def test_the_simulation_meets_what_it_is_for() -> None:
    """A world in which nothing happened would prove nothing."""
    told: Counter[str] = Counter()
    crashes = lives = 0
    applied: Counter[str] = Counter()
    share: dict[str, float] = {}
    for seed in range(100, 112):
        world = run_in_memory(seed)
        figures = figures_of(world)
        lives, crashes = lives + figures.lives, crashes + figures.crashes
        for name, one in figures.platforms.items():
            applied[name] += one.applied
            share[name] = max(share.get(name, 0.0), one.largest_share)
        for asked in world.asked.values():
            told.update(asked.told)
    assert told.keys() >= {"PLACED", "DEFERRED", "BUDGET_EXCEEDED", "OUTCOME_UNKNOWN", "gave up"}
    assert told.keys() >= {"BUDGET_PAUSED", "RATE_LIMITED", "TARGET_IN_DOUBT", "SUPERSEDED"}
    assert applied.keys() == share.keys() == {*PLATFORMS, "total"}
    assert min(applied.values()) > 50
    assert min(share.values()) > 0.99
    assert lives > 20
    assert crashes > 5


@pytest.mark.parametrize("name", QUICK)
def test_the_simulation_notices_when_a_guard_is_missing(name: str) -> None:
    (mutant,) = (guard for guard in GUARDS if guard.name == name)
    assert without(mutant).noticed


def test_what_cannot_be_seen_is_a_guard_of_the_table() -> None:
    names = {mutant.name for mutant in (*TABLE, *OWN)}
    assert names >= UNSEEN.keys()
    assert len(names) == len(TABLE) + len(OWN)


@pytest.mark.parametrize("mutant", OWN, ids=lambda mutant: mutant.name)
def test_the_guard_is_where_the_table_says(mutant: Mutant) -> None:
    compile(mutated(mutant), mutant.file, "exec")
