"""The search for mutants itself: what it calls killed, survived and out of date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.mutation.explained import read_explained
from tests.mutation.modules import MODULES
from tests.mutation.operators import mutations_of
from tests.mutation.report import Line, complaints
from tests.mutation.sweep import source_of
from tests.mutation.trials import ROOT

MODULE = "budget/resolution.py"


def line(mutant: str, *, killed_by: str = "", explained: str = "") -> Line:
    return Line(MODULE, mutant, 1, "boundary", killed_by, explained, 0.1)


def test_a_mutant_that_nothing_kills_and_nobody_explains_is_a_survivor() -> None:
    lines = [line("a", killed_by="t.py::test"), line("b", explained="why"), line("c")]
    assert complaints(lines, {(MODULE, "b"): "why"}, [MODULE]) == [
        f"survived: {MODULE}:1 boundary\n    c"
    ]


def test_an_explained_mutant_that_is_killed_after_all_is_reported() -> None:
    lines = [line("a", killed_by="t.py::test", explained="why")]
    (complaint,) = complaints(lines, {(MODULE, "a"): "why"}, [MODULE])
    assert complaint.startswith("explained, but killed by t.py::test")


def test_an_explained_mutant_that_is_gone_is_reported_where_its_module_was_tried() -> None:
    explained = {(MODULE, "gone"): "why", ("window.py", "not tried"): "why"}
    (complaint,) = complaints([line("a", killed_by="t.py::test")], explained, [MODULE])
    assert complaint.startswith("explained, but not there any more")


def test_a_mutant_is_explained_once(tmp_path: Path) -> None:
    table = tmp_path / "explained.toml"
    table.write_text('[["window.py"]]\nwhy = "x"\nmutants = ["a", "a"]\n')
    with pytest.raises(ValueError, match="twice"):
        read_explained(table)


def test_whatever_is_explained_is_there() -> None:
    there = {(module, m.id) for module in MODULES for m in mutations_of(source_of(module))}
    assert set(read_explained()) <= there


def test_twenty_mutants_are_killed_and_the_tests_pass_when_nothing_is_changed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation.sweep", "--sample"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 mutants, 20 killed, 0 explained, 0 survivors" in done.stdout
