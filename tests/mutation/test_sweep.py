"""The search for mutants itself: what it calls killed, survived and out of date."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.mutation.explained import read_explained
from tests.mutation.memory import Baseline, Memory, Tried, baseline_of
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


def sample() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.mutation.sweep", "--sample"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_twenty_mutants_are_killed_and_the_tests_pass_when_nothing_is_changed() -> None:
    done = sample()
    if "fails with nothing changed" in done.stdout:
        done = sample()  # a busy machine can do that; a mutant that survives is final
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 mutants, 20 killed, 0 explained, 0 survivors" in done.stdout


def test_what_was_found_out_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    memory = Memory({"t.py": Baseline("d", ("a.py",), ("os",), {"t.py::test": 0.1})})
    memory.of(MODULE, "a")["t.py"] = Tried("d", "t.py::test", 0.2)
    file = tmp_path / "mutants.json"
    file.write_text(json.dumps({"memory": memory.as_json()}))
    assert Memory.read(file) == memory


def test_a_baseline_is_out_of_date_when_a_file_of_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("1")
    modules = {"tests.module": str(file)}
    before = baseline_of(modules, {}, root=tmp_path)
    assert baseline_of(modules, {}, root=tmp_path) == before
    file.write_text("2")
    assert baseline_of(modules, {}, root=tmp_path) != before
