"""Takes each guard away, one at a time, and sees whether the tests that should notice do.

python -m tests.mutation.run              all of them; exit status 1 when one survives
python -m tests.mutation.run quota limit  those with one of these words in their names
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutation.table import Mutant
from tests.mutation.table_store import TABLE

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "smartconnectors_server"
TESTS_FAILED = 1
"""pytest's exit status when it ran and a test failed; anything else says nothing about a guard."""
TIMEOUT_S = 300
WORKERS = 2


def mutated(mutant: Mutant) -> str:
    """The mutant's file with the guard taken away. Raises ValueError when it is not there once."""
    source = (ROOT / "server" / PACKAGE / mutant.file).read_text()
    found = source.count(mutant.text)
    if found != 1:
        raise ValueError(f"{mutant.name}: its text is {found} times in {mutant.file}, not once")
    return source.replace(mutant.text, mutant.replacement)


def outcome(mutant: Mutant, killer: str) -> tuple[int, str]:
    """pytest's exit status for one test on a copy of the package without the guard, and its words.
    A test that hangs has noticed, too.
    """
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / PACKAGE
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "server" / PACKAGE, copy, ignore=ignored)
        (copy / mutant.file).write_text(mutated(mutant))
        path = os.pathsep.join([directory, str(ROOT / "clients" / "python")])
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", killer]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path, "TEST_PROFILE": "ci"},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return TESTS_FAILED, "it hung"
    return done.returncode, done.stdout[-2000:] + done.stderr[-2000:]


def survivors_of(mutant: Mutant) -> list[str]:
    """Those of the mutant's killers that notice nothing, with what they said."""
    results = [(killer, *outcome(mutant, killer)) for killer in mutant.killers]
    return [f"{killer}\n{words}" for killer, status, words in results if status != TESTS_FAILED]


def say(line: str) -> None:
    """Shows one line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(words: list[str]) -> int:
    """Tries the chosen mutants, prints the table, returns the exit status."""
    chosen = [m for m in TABLE if not words or any(word in m.name for word in words)]
    survived = 0
    with ThreadPoolExecutor(WORKERS) as workers:
        for mutant, silent in zip(chosen, workers.map(survivors_of, chosen), strict=True):
            survived += bool(silent)
            verdict = "SURVIVED" if silent else "noticed"
            say(f"{verdict:9} {mutant.file:30} {mutant.name}")
            for killer in silent:
                say(f"          not by {killer}")
    say(f"{len(chosen) - survived} of {len(chosen)} guards are proven")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
