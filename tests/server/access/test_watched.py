"""Files that change: what can be used is taken up, what cannot changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from smartconnectors_server.access.watched import Unusable, Watched
from smartconnectors_server.startup import StartupError


def number(contents: Mapping[str, bytes]) -> int:
    """What the files say: a number."""
    try:
        return int(contents["a.key"])
    except ValueError:
        raise Unusable("a.key", "is no number") from None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One that says 1."""
    path = tmp_path / "number"
    path.write_text("1")
    return path


@pytest.fixture
def watched(file: Path) -> Watched[int]:
    return Watched({"a.key": file}, number)


def test_a_file_that_stays_is_not_read_again(watched: Watched[int]) -> None:
    assert not watched.look()
    assert watched.value == 1


def test_a_file_that_changes_is_taken_up(watched: Watched[int], file: Path) -> None:
    file.write_text("22")
    assert watched.look()
    assert watched.value == 22


def test_a_file_that_is_replaced_by_one_of_the_same_size_is_taken_up(
    watched: Watched[int], file: Path
) -> None:
    other = file.with_name("other")
    other.write_text("2")
    other.replace(file)
    assert watched.look()
    assert watched.value == 2


def test_a_broken_file_keeps_the_old_one_in_force_with_one_loud_line(
    watched: Watched[int], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text("hunter2")
    assert not watched.look()
    assert not watched.look()
    assert watched.value == 1
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == [
        f"a.key: {file} is no number. What was read before stays in force."
    ]


def test_a_file_that_is_gone_keeps_the_old_one_in_force_until_it_is_back(
    watched: Watched[int], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.unlink()
    assert not watched.look()
    assert watched.value == 1
    assert "cannot be read" in caplog.text
    file.write_text("333")
    assert watched.look()
    assert watched.value == 333


@pytest.mark.parametrize(("content", "why"), [("hunter2", "is no number"), (None, "cannot be")])
def test_a_file_that_cannot_be_used_at_first_refuses_the_start_by_its_key(
    file: Path, content: str | None, why: str
) -> None:
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(StartupError, match=rf"^a\.key: {file} {why}") as caught:
        Watched({"a.key": file}, number)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_can_be_read_again_is_taken_up_though_it_did_not_change(
    watched: Watched[int], file: Path
) -> None:
    hidden = file.with_name("hidden")
    file.rename(hidden)
    file.mkdir()
    assert not watched.look()
    assert watched.problem is not None
    assert "cannot be read" in watched.problem.why
    file.rmdir()
    hidden.rename(file)
    assert watched.look()
    assert watched.problem is None
