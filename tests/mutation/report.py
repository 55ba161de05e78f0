"""What a sweep says: while it runs, in the end, and what is wrong."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.mutation.explained import Explained
from tests.mutation.memory import Tried

_EVERY = 100


@dataclass(frozen=True)
class Line:
    """What became of one mutant.

    Attributes:
        killed_by: the first test that noticed; "": none.
        explained: why none can; "": nothing is said about it.
    """

    module: str
    mutant: str
    line: int
    operator: str
    killed_by: str
    explained: str
    seconds: float

    def as_json(self) -> dict[str, object]:
        """For a file."""
        return {**dataclasses.asdict(self), "seconds": round(self.seconds, 2)}


def say(line: str) -> None:
    """Shows one line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Progress:
    """How far a module has come, on stderr: one line that changes, or one per hundred trials."""

    def __init__(self, module: str, count: int) -> None:
        self._module = module
        self._count = count
        self._tried = self._killed = 0
        self._is_terminal = sys.stderr.isatty()

    def tell(self, *tried: Tried) -> None:
        """More trials have ended."""
        for one in tried:
            self._tried += 1
            self._killed += bool(one.failed)
            if self._is_terminal:
                self._write("\r")
            elif self._tried % _EVERY == 0:
                self._write("")

    def end(self) -> None:
        """There are no more."""
        if self._is_terminal:
            sys.stderr.write("\r\x1b[K")

    def _write(self, start: str) -> None:
        end = "" if start else "\n"
        killed = f"{self._killed} of {self._count} killed"
        sys.stderr.write(f"{start}{self._module}: {killed} in {self._tried} trials{end}")
        sys.stderr.flush()


def complaints(lines: Sequence[Line], explained: Explained, modules: Collection[str]) -> list[str]:
    """What is wrong: survivors without an explanation, and explanations that are out of date."""
    wrong = [
        f"survived: {line.module}:{line.line} {line.operator}\n    {line.mutant}"
        for line in lines
        if not line.killed_by and not line.explained
    ]
    wrong += [
        f"explained, but killed by {line.killed_by}\n    {line.module}: {line.mutant}"
        for line in lines
        if line.killed_by and line.explained
    ]
    there = {(line.module, line.mutant) for line in lines}
    wrong += [
        f"explained, but not there any more: {module}\n    {mutant}"
        for module, mutant in explained
        if module in modules and (module, mutant) not in there
    ]
    return wrong


def table(lines: Sequence[Line], wrong: Sequence[str]) -> None:
    """Prints what is wrong, a line for each module, one for each test file, and the sum."""
    is_terminal = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for complaint in wrong:
        say(f"\x1b[31m{complaint}\x1b[0m" if is_terminal else complaint)
    say(f"{'module':<27}{'mutants':>8}{'killed':>8}{'explained':>11}{'survived':>10}{'seconds':>9}")
    for module in dict.fromkeys(line.module for line in lines):
        say(_sums(module, [line for line in lines if line.module == module]))
    killers = Counter(line.killed_by.partition("::")[0] for line in lines if line.killed_by)
    say(f"\n{'killed first by':<60}{'mutants':>8}")
    for file, count in killers.most_common():
        say(f"{file:<60}{count:>8}")
    total = _counts(lines)
    say(
        f"\n{total[0]} mutants, {total[1]} killed, {total[2]} explained, "
        f"{total[3]} {'survivor' if total[3] == 1 else 'survivors'}"
    )


def _counts(lines: Sequence[Line]) -> tuple[int, int, int, int]:
    """All of them, killed, explained, survived."""
    killed = sum(bool(line.killed_by) for line in lines)
    explained = sum(bool(line.explained) and not line.killed_by for line in lines)
    return len(lines), killed, explained, len(lines) - killed - explained


def _sums(module: str, lines: Sequence[Line]) -> str:
    count, killed, explained, survived = _counts(lines)
    seconds = sum(line.seconds for line in lines)
    return f"{module:<27}{count:>8}{killed:>8}{explained:>11}{survived:>10}{seconds:>9.0f}"
