"""Takes each guard of the money path away and looks which seed notices, and what it says.

The guards are those of the mutation table, and some of the way that many bids share a call. One
that by its nature cannot be seen from here is on `UNSEEN`, with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from tests.mutation.run import PACKAGE, ROOT, mutated
from tests.mutation.table import Mutant
from tests.mutation.table_store import TABLE
from tests.simulation.figures import console_of
from tests.simulation.unseen import OWN, UNSEEN

SEEDS = 50
TIMEOUT_S = 900

GUARDS = tuple(mutant for mutant in (*TABLE, *OWN) if mutant.name not in UNSEEN)
"""Those that have to be noticed within SEEDS seeds."""


@dataclass(frozen=True)
class Verdict:
    """What became of the seeds without one guard."""

    guard: str
    file: str
    seed: int | None
    """The first that failed; None: none did."""
    said: str

    @property
    def noticed(self) -> bool:
        """Whether any seed failed."""
        return self.seed is not None


def without(mutant: Mutant, seeds: int = SEEDS) -> Verdict:
    """Runs seeds from 0 on without the guard, until one fails. Raises RuntimeError when they cannot
    be run at all.
    """
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / PACKAGE
        shutil.copytree(ROOT / "server" / PACKAGE, copy)
        (copy / mutant.file).write_text(mutated(mutant))
        path = os.pathsep.join([directory, str(ROOT / "clients" / "python")])
        command = [sys.executable, "-m", "tests.simulation", "--seeds", str(seeds), "--stop"]
        try:
            done = subprocess.run(
                [*command, "--json"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verdict(mutant.name, mutant.file, 0, "hung")
    try:
        broken = json.loads(done.stdout)["broken"]
    except (ValueError, KeyError):
        raise RuntimeError(f"{mutant.name}: {done.stderr[-2000:]}") from None
    for seed, texts in broken.items():
        return Verdict(mutant.name, mutant.file, int(seed), texts[0])
    return Verdict(mutant.name, mutant.file, None, "")


def try_guards(words: Sequence[str], *, workers: int, as_json: bool) -> int:
    """Tries those with a word in the name, or all; shows the table; returns the exit status."""
    chosen = [g for g in GUARDS if not words or any(word in g.name for word in words)]
    verdicts = []
    with ThreadPoolExecutor(workers) as pool:
        for verdict in pool.map(without, chosen):
            verdicts.append(verdict)
            found = f"seed {verdict.seed}" if verdict.noticed else "NOT NOTICED"
            sys.stderr.write(f"{len(verdicts)} of {len(chosen)}: {verdict.guard}: {found}\n")
    if as_json:
        sys.stdout.write(json.dumps([asdict(verdict) for verdict in verdicts]) + "\n")
    else:
        _show(verdicts, all_of_them=not words)
    return 0 if all(verdict.noticed for verdict in verdicts) else 1


def _show(verdicts: Sequence[Verdict], *, all_of_them: bool) -> None:
    console = console_of()
    table = Table("without the guard", "seed", "what it said", box=box.SIMPLE)
    for verdict in verdicts:
        kind, _, detail = verdict.said.partition(": ")
        said = f"{kind} ({detail[:60]})" if verdict.noticed else f"nothing in {SEEDS} seeds"
        seed = str(verdict.seed) if verdict.noticed else "none"
        table.add_row(verdict.guard, seed, said, style="" if verdict.noticed else "red")
    console.print(table)
    if all_of_them:
        apart = Table("not to be seen from here", "why", box=box.SIMPLE)
        for name, reason in UNSEEN.items():
            apart.add_row(name, reason)
        console.print(apart)
    noticed = sum(verdict.noticed for verdict in verdicts)
    console.print(f"{noticed} of {len(verdicts)} guards are noticed within {SEEDS} seeds")
