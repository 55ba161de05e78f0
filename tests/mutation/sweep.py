"""Makes every small mistake in the modules that guard the money, and sees which test notices it.

python -m tests.mutation.sweep                all modules; only what has changed since the last run
python -m tests.mutation.sweep window book    those with one of these words in their names
python -m tests.mutation.sweep --sample       twenty mutants, for every day
python -m tests.mutation.sweep --show TEXT    the mutants with this text in their names, as a diff

The results are in build/mutants.json: for each mutant, the test that kills it. Exit status 0: each
is killed or explained in explained.toml; 1: one is not, or an explanation is out of date; 2: the
tests fail with nothing changed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.mutation import trials
from tests.mutation.explained import Explained, read_explained
from tests.mutation.memory import Baseline, Memory, Tried, baseline_of
from tests.mutation.modules import MODULES, SAMPLE
from tests.mutation.operators import Mutation, mutated, mutations_of
from tests.mutation.report import Line, Progress, complaints, say, table
from tests.mutation.trials import PACKAGE, ROOT, Crashed, Outcome, Trial

RESULTS = ROOT / "build" / "mutants.json"


class BaselineFails(Exception):
    """The tests fail with nothing changed, so they prove nothing. The message names one."""


def source_of(module: str) -> str:
    """The text of a module."""
    return (ROOT / "server" / PACKAGE / module).read_text()


class Sweep:
    """One run over some mutants of some modules."""

    def __init__(self, memory: Memory, explained: Explained, scratch: Path, workers: int) -> None:
        self._memory = memory
        self._explained = explained
        self._scratch = scratch
        self._workers = workers

    def prepare(self, modules: Sequence[str]) -> None:
        """Runs the tests of every stage with nothing changed, once to get to know them and once
        exactly as mutants are tried. Raises BaselineFails, Crashed.
        """
        stages = sorted({stage for module in modules for stage in MODULES[module]})
        new = [stage for stage in stages if self._memory.baseline(stage) is None]
        for trial, outcome in self._run_unchanged(new, {}):
            known = baseline_of(outcome.modules, outcome.durations_s)
            self._memory.baselines[trial.name] = known
        for stage in stages:
            trials.import_beforehand(self._memory.baselines[" ".join(stage)].others)
        for _ in self._run_unchanged(new, self._memory.baselines):
            pass

    def _run_unchanged(
        self, stages: Sequence[Sequence[str]], known: Mapping[str, Baseline]
    ) -> Iterator[tuple[Trial, Outcome]]:
        names = [" ".join(stage) for stage in stages]
        unchanged = [
            Trial(name, "", None, stage, known[name].durations_s if name in known else {})
            for name, stage in zip(names, stages, strict=True)
        ]
        for trial, outcome in trials.run(unchanged, self._workers, self._scratch):
            if outcome.failed:
                self._memory.baselines.pop(trial.name, None)
                raise BaselineFails(outcome.failed)
            yield trial, outcome

    def run(self, module: str, mutations: Sequence[Mutation]) -> list[Line]:
        """Tries the mutants of one module; one line for each. Raises Crashed."""
        self._memory.forget_all_but(module, [mutation.id for mutation in mutations])
        alive = list(mutations)
        progress = Progress(module, len(alive))
        for stage in MODULES[module]:
            for mutation in alive:
                progress.tell(*self._known(module, mutation, stage))
            new = [m for m in alive if not self._known(module, m, stage)]
            for trial, outcome in trials.run(
                self._trials(module, new, stage), self._workers, self._scratch
            ):
                name = " ".join(stage)
                tried = Tried(self._memory.baselines[name].digest, outcome.failed, outcome.seconds)
                self._memory.of(module, trial.name)[name] = tried
                progress.tell(tried)
            alive = [m for m in alive if not self._known(module, m, stage)[0].failed]
            write_results([], self._memory)
        progress.end()
        return [self._line(module, mutation) for mutation in mutations]

    def _known(self, module: str, mutation: Mutation, stage: Sequence[str]) -> list[Tried]:
        """What is known and still true of a mutant and a stage: one, or none."""
        name = " ".join(stage)
        tried = self._memory.of(module, mutation.id).get(name)
        is_true = tried is not None and tried.digest == self._memory.baselines[name].digest
        return [tried] if tried is not None and is_true else []

    def _trials(
        self, module: str, mutations: Sequence[Mutation], stage: Sequence[str]
    ) -> Iterator[Trial]:
        source = source_of(module)
        durations_s = self._memory.baselines[" ".join(stage)].durations_s
        for mutation in mutations:
            tree = mutated(source, mutation)
            yield Trial(mutation.id, module, tree, stage, durations_s)

    def _line(self, module: str, mutation: Mutation) -> Line:
        known = [
            tried for stage in MODULES[module] for tried in self._known(module, mutation, stage)
        ]
        return Line(
            module=module,
            mutant=mutation.id,
            line=mutation.line,
            operator=mutation.operator,
            killed_by=next((tried.failed for tried in known if tried.failed), ""),
            explained=self._explained.get((module, mutation.id), ""),
            seconds=sum(tried.seconds for tried in known),
        )


def write_results(lines: Sequence[Line], memory: Memory) -> None:
    """The map from mutant to killing test, for people and for the next run. What is there of other
    modules stays.
    """
    tried = {line.module for line in lines}
    kept = json.loads(RESULTS.read_text())["mutants"] if RESULTS.exists() else []
    mutants = [known for known in kept if known["module"] not in tried]
    mutants += [line.as_json() for line in lines]
    RESULTS.parent.mkdir(exist_ok=True)
    text = json.dumps({"mutants": mutants, "memory": memory.as_json()}, indent=1)
    RESULTS.write_text(text + "\n")


def show(text: str, modules: Sequence[str]) -> int:
    """Prints what the mutants with `text` in their names change."""
    for module in modules:
        source = source_of(module)
        before = ast.unparse(ast.parse(source)).splitlines()
        for mutation in mutations_of(source):
            if text in mutation.id:
                after = ast.unparse(mutated(source, mutation)).splitlines()
                say(f"{module}:{mutation.line} {mutation.operator}\n{mutation.id}")
                for line in list(difflib.unified_diff(before, after, n=2, lineterm=""))[2:]:
                    say(f"    {line}")
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description="Which test notices which mistake")
    parser.add_argument("words", nargs="*", help="parts of the names of modules; none: all")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found out")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time; 2")
    parser.add_argument("--sample", action="store_true", help="twenty mutants only")
    parser.add_argument("--show", metavar="TEXT", help="print the mutants with TEXT in their names")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Tries the chosen mutants, prints the table, returns the exit status."""
    asked = _parsed(arguments)
    known = SAMPLE if asked.sample else MODULES
    chosen = [m for m in known if not asked.words or any(word in m for word in asked.words)]
    if not chosen:
        say(f"no module has {' or '.join(asked.words)} in its name; there are: {' '.join(known)}")
        return 2
    if asked.show is not None:
        return show(asked.show, chosen)
    explained = read_explained()
    memory = Memory() if asked.fresh or asked.sample else Memory.read(RESULTS)
    lines: list[Line] = []
    # This checkout, wherever the installed package comes from.
    sys.path[:0] = [str(ROOT / "server"), str(ROOT / "clients" / "python")]
    # Whoever stops it keeps what was found out so far.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory() as directory:
        sweep = Sweep(memory, explained, Path(directory), asked.workers)
        try:
            sweep.prepare(chosen)
            for module in chosen:
                mutations = mutations_of(source_of(module))
                if asked.sample:
                    mutations = [m for m in mutations if m.id in SAMPLE[module]]
                lines += sweep.run(module, mutations)
        except BaselineFails as error:
            say(f"{error} fails with nothing changed; mend that first")
            return 2
        except Crashed as error:
            say(str(error))
            return 2
        finally:
            if not asked.sample:
                write_results(lines, memory)
    wrong = complaints(lines, {} if asked.sample else explained, chosen)
    if asked.sample:
        missing = sum(map(len, SAMPLE.values())) - len(lines)
        wrong += [f"{missing} of the sample are no longer there"] if missing else []
    table(lines, wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
