"""An import of Google's library that fails half-way does not spoil the next attempt."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartconnectors_server.platforms.google_ads.library import whole_or_not_at_all

PACKAGE = "half_imported"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package whose second module uses the first one by attribute, as `requests` is used."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import first\nfrom . import second\n")
    (folder / "first.py").write_text("VALUE = 1\n")
    (folder / "second.py").write_text('raise OSError(24, "Too many open files")\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def load() -> int:
    with whole_or_not_at_all((PACKAGE,)):
        return int(importlib.import_module(PACKAGE).first.VALUE)


def test_an_import_that_failed_half_way_succeeds_when_its_cause_is_gone(package: Path) -> None:
    with pytest.raises(OSError, match="Too many open files"):
        load()
    (package / "second.py").write_text("FINE = True\n")
    importlib.invalidate_caches()
    assert load() == 1


def test_a_failed_import_leaves_none_of_its_modules_behind(package: Path) -> None:
    with pytest.raises(OSError, match="Too many open files"):
        load()
    assert [name for name in sys.modules if name.startswith(PACKAGE)] == []


def test_modules_that_were_there_before_a_failed_import_stay(package: Path) -> None:
    (package / "__init__.py").write_text("")
    first = importlib.import_module(f"{PACKAGE}.first")
    with pytest.raises(OSError, match="Too many open files"), whole_or_not_at_all((PACKAGE,)):
        importlib.import_module(f"{PACKAGE}.second")
    assert sys.modules[f"{PACKAGE}.first"] is first
