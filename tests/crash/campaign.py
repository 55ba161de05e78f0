"""Many runs, side by side."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.crash.run import Result, run

from smartconnectors_server.platforms import PLATFORMS

LANES = 2
TRIES = 8
"""How many different days a point is looked for before it counts as out of reach."""
ANOTHER_DAY = 1_000_000
"""Added to a seed whose day never came to the point."""
RUNS_A_LINE = 10
Addressed = Mapping[str, tuple[Any, str]]
Attempt = Callable[[int, str, Addressed, Path], Awaitable[Result | None]]
"""Runs one seed at one point; None: it says nothing about that point."""


def schedule(runs: int, points: Sequence[str], seed: int) -> list[tuple[int, str]]:
    """(seed, point) of every run: each point as often as any other, in a mixed order."""
    order = [(seed + number, points[number % len(points)]) for number in range(runs)]
    random.Random(seed).shuffle(order)
    return order


@contextlib.asynccontextmanager
async def started_sandboxes() -> AsyncIterator[Addressed]:
    """Every platform's sandbox and its endpoint, by the platform's name."""
    async with contextlib.AsyncExitStack() as running:
        addressed = {}
        for name, platform in PLATFORMS.items():
            sandbox = platform.sandbox()
            addressed[name] = (sandbox, await sandbox.start())
            running.push_async_callback(sandbox.close)
        yield addressed


async def run_until_reached(
    seed: int, point: str, sandboxes: Addressed, directory: Path
) -> Result | None:
    """The first run, from this seed on, whose server dies at the point; None: none of TRIES does.

    Raises what `run` raises, with a note that says how to run it again.
    """
    for again in itertools.islice(itertools.count(seed, ANOTHER_DAY), TRIES):
        try:
            result = await run(again, point, sandboxes, directory)
        except Exception as error:
            error.add_note(command(again, point))
            raise
        if result.reached:
            return result
    return None


def command(seed: int, point: str) -> str:
    """Runs one of them again."""
    return f"python -m tests.crash --runs 1 --seed {seed} {point}"


def _notes(error: Exception, otherwise: str) -> list[str]:
    return list(getattr(error, "__notes__", ())) or [otherwise]


class Campaign:
    """All runs of a schedule, in a few lanes that each have sandboxes of their own."""

    def __init__(
        self,
        plan: Sequence[tuple[int, str]],
        directory: Path,
        attempt: Attempt = run_until_reached,
        command: Callable[[int, str], str] = command,
    ) -> None:
        """`command`: what a person types to repeat one run."""
        self._attempt = attempt
        self._command = command
        self._plan = iter(plan)
        self._count = len(plan)
        self._directory = directory
        self._started_s = time.monotonic()
        self.results: list[Result] = []
        self.unreached: Counter[str] = Counter()
        self.failed = 0
        """Runs that came to no end."""

    async def run(self) -> None:
        """Runs everything."""
        await asyncio.gather(*(self._lane(number) for number in range(LANES)))

    async def _lane(self, number: int) -> None:
        async with started_sandboxes() as sandboxes:
            for seed, point in self._plan:
                try:
                    directory = self._directory / str(number)
                    result = await self._attempt(seed, point, sandboxes, directory)
                except Exception as error:  # noqa: BLE001 - one run that fails does not end the rest
                    self.failed += 1
                    self._say([f"{' '.join(_notes(error, self._command(seed, point)))}: {error!r}"])
                else:
                    self._take(point, result)
                self._tell()

    def _take(self, point: str, result: Result | None) -> None:
        if result is None:
            self.unreached[point] += 1
            self._say([f"{point} was not reached"])
            return
        self.results.append(result)
        again, found = self._command(result.seed, result.point), result.findings
        self._say([f"{again}: {one}" for one in (*found.lost, *found.doubled, *found.overshot)])

    @staticmethod
    def _say(lines: Sequence[str]) -> None:
        sys.stderr.writelines(f"\n{line}" for line in lines)

    def _tell(self) -> None:
        done = len(self.results) + self.failed + self.unreached.total()
        wrong = sum(result.wrong for result in self.results) + self.failed
        passed_s = time.monotonic() - self._started_s
        line = f"{done} of {self._count} runs, {wrong} wrong, {passed_s:.0f} s"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line}")
        elif done % RUNS_A_LINE == 0 or done == self._count:
            sys.stderr.write(f"\n{line}")
        sys.stderr.flush()
