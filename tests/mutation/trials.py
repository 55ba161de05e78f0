"""Runs tests on a module that is not quite the one in the repository, in a process of its own.

The parent has imported everything except the server and its tests, once, and forks for each trial;
the child imports the server with the changed module in its place. So a trial costs what its tests
cost, not what starting Python and importing gRPC cost.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import selectors
import shutil
import signal
import sys
import time
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "smartconnectors_server"
OURS = (PACKAGE, "tests")
MOST_S = 300.0
"""How long a trial may take as a whole: a backstop for one that never comes as far as its tests."""


@dataclass(frozen=True)
class Trial:
    """Tests to run on one module.

    Attributes:
        name: for the caller.
        module: the file inside the package; "" changes nothing.
        tree: what is executed instead of it.
        tests: what pytest is given.
        durations_s: how long each test takes when nothing is changed, by its id. The quickest are
            run first. One that takes ten times as long, and five seconds more, hangs.
    """

    name: str
    module: str
    tree: ast.Module | None
    tests: Sequence[str]
    durations_s: Mapping[str, float] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        failed: the first test that failed, with why in a word (`failed`, `hung`, `not importable`);
            "": none did.
        seconds: how long it took.
        durations_s: how long each test took, by its id.
        modules: every module that was imported in the end, with its file or "".
    """

    failed: str
    seconds: float
    durations_s: dict[str, float] = field(default_factory=dict, repr=False)
    modules: dict[str, str] = field(default_factory=dict, repr=False)


class Crashed(Exception):
    """pytest itself could not run; its words are the message."""


def import_beforehand(names: Iterable[str]) -> None:
    """Imports what does not depend on the server, so that no child has to."""
    for name in names:
        if name.partition(".")[0] not in OURS and name not in sys.modules:
            with contextlib.suppress(Exception):  # then a child imports it, or fails to, itself
                importlib.import_module(name)
    gc.freeze()  # what is shared with the children is not gone through in each of them


def run(trials: Iterable[Trial], workers: int, scratch: Path) -> Iterator[tuple[Trial, Outcome]]:
    """Runs the trials, so many at a time, and yields each as it ends. `scratch` is an existing
    folder for what the tests write. Raises Crashed.
    """
    numbered = enumerate(trials)
    with selectors.DefaultSelector() as ends:
        try:
            while True:
                while len(ends.get_map()) < workers and (new := next(numbered, None)) is not None:
                    started = _Started(new[1], scratch / str(new[0]))
                    ends.register(started.results, selectors.EVENT_READ, started)
                if not ends.get_map():
                    return
                for key, _ in ends.select(timeout=1.0):
                    ends.unregister(key.fileobj)
                    yield key.data.trial, key.data.outcome()
                for key in list(ends.get_map().values()):
                    key.data.kill_if_late()
        finally:
            for key in list(ends.get_map().values()):
                key.data.kill()


class _Started:
    """A child and the pipe on which it says what became of its trial."""

    def __init__(self, trial: Trial, scratch: Path) -> None:
        self.trial = trial
        self._scratch = scratch
        self._started = time.monotonic()
        reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(reading)
            _be_the_child(trial, scratch, writing)
        os.close(writing)
        self.results: IO[str] = os.fdopen(reading)

    def kill_if_late(self) -> None:
        """A backstop: a test that hangs says so itself, unless it is the import that hangs."""
        if time.monotonic() - self._started > MOST_S:
            self.kill()

    def outcome(self) -> Outcome:
        """Waits for the end and cleans up. Raises Crashed."""
        with self.results:
            text = self.results.read()
        _, status = os.waitpid(self._pid, 0)
        self.kill()
        words = _said(self._scratch)
        shutil.rmtree(self._scratch, ignore_errors=True)
        seconds = time.monotonic() - self._started
        if text:
            said = json.loads(text)
            if said["failed"] or said["status"] == pytest.ExitCode.OK:
                return Outcome(said["failed"], seconds, said["durations_s"], said["modules"])
            raise Crashed(f"{self.trial.name}: pytest ended with {said['status']}\n{words}")
        if os.WIFSIGNALED(status):
            by = signal.Signals(os.WTERMSIG(status)).name
            return Outcome(f"{self.trial.tests[0]} ({by})", seconds)
        raise Crashed(f"{self.trial.name}: ended without a word\n{words}")

    def kill(self) -> None:
        """Ends the child, and whatever its tests started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)


def _said(scratch: Path) -> str:
    path = scratch / "output"
    return path.read_text(errors="replace")[-4000:] if path.exists() else ""


# In the child


def _be_the_child(trial: Trial, scratch: Path, writing: int) -> None:
    """Runs the trial and ends the process, whatever happens."""
    status = 70
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ["TEST_PROFILE"] = "mutants"
        scratch.mkdir()
        output = os.open(scratch / "output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if trial.tree is not None:
            code = compile(trial.tree, f"{PACKAGE}/{trial.module}", "exec")
            sys.meta_path.insert(0, _Instead(_module_name(trial.module), code))
        watch = _Watch(writing, trial.durations_s)
        quiet = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
        options = ["-x", "-q", "-p", "no:cacheprovider", "-W", quiet]
        options += [f"--basetemp={scratch / 'tmp'}", f"--rootdir={ROOT}"]
        watch.say(pytest.main([*options, *trial.tests], plugins=[watch]))
        status = 0
    finally:
        os._exit(status)


class _Watch:
    """A pytest plugin: runs what is quick first, remembers the first failure and ends a test that
    hangs.
    """

    def __init__(self, writing: int, expected_s: Mapping[str, float]) -> None:
        self._writing = writing
        self._expected_s = expected_s
        self._failed = ""
        self._durations_s: dict[str, float] = {}
        self._test = ""

    def say(self, status: int) -> None:
        """Tells the parent."""
        said = {
            "status": int(status),
            "failed": self._failed,
            "durations_s": self._durations_s,
            "modules": {
                name: getattr(module, "__file__", None) or ""
                for name, module in list(sys.modules.items())
            },
        }
        with os.fdopen(self._writing, "w") as results:
            json.dump(said, results)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: round(self._expected_s.get(item.nodeid, 0.0), 1))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._test = item.nodeid
        started = time.monotonic()
        signal.signal(signal.SIGALRM, self._hung)
        expected_s = self._expected_s.get(item.nodeid, MOST_S / 10)
        signal.setitimer(signal.ITIMER_REAL, 5.0 + 10.0 * expected_s)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._durations_s[item.nodeid] = time.monotonic() - started

    def _hung(self, number: int, frame: types.FrameType | None) -> None:
        self._failed = self._failed or f"{self._test} (hung)"
        self.say(pytest.ExitCode.TESTS_FAILED)
        os._exit(0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self._failed:
            self._failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self._failed:
            self._failed = f"{report.nodeid} (not importable)"


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module and executes something else in its place."""

    def __init__(self, name: str, code: types.CodeType) -> None:
        self._name = name
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=self)

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self._code, vars(module))


def _module_name(file: str) -> str:
    return f"{PACKAGE}.{file.removesuffix('.py').replace('/', '.')}"
