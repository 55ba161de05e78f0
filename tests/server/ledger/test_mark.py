"""The mark: how many lines were committed, and which was the last."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartconnectors_server.ledger import Damaged, StateDirectoryLocked
from smartconnectors_server.ledger.mark import FILE_NAME, Mark, check_mark, marked

HEAD = "0123456789abcdef" * 4


def test_the_newest_line_is_read_back_with_its_hash(tmp_path: Path) -> None:
    assert FILE_NAME == "ledger.mark", "those who restore a backup know it by this name"
    mark = Mark(tmp_path)
    for number in (123_456, 7):
        mark.write(number, HEAD)
        assert marked(tmp_path) == (number, HEAD)
        assert mark.path.read_bytes() == b"%020d %s" % (number, HEAD.encode())
    mark.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        mark.write(8, HEAD)
    Mark(tmp_path).close()
    assert marked(tmp_path) == (7, HEAD), "who opens it changes nothing yet"


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    Mark(tmp_path).close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, b"", b"\0" * 85])
def test_where_nothing_is_said_nothing_was_committed(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / FILE_NAME).write_bytes(content)
    assert marked(tmp_path) == (0, "")


def test_a_number_may_stand_without_a_hash(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"%020d" % 5 + b"\0" * 65)
    assert marked(tmp_path) == (5, "")


OUTSIDE = "elsewhere.mark"


def test_an_error_of_the_mark_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No such file or directory \(.*/away/elsewhere\.mark\)"):
        Mark(tmp_path, tmp_path / "away" / OUTSIDE)
    mark = Mark(tmp_path, tmp_path / OUTSIDE)
    mark.close()
    with pytest.raises(OSError, match=r"Bad file descriptor \(.*/elsewhere\.mark\)"):
        mark.write(1, HEAD)


def test_a_mark_outside_of_the_directory_belongs_to_one_server_at_a_time(tmp_path: Path) -> None:
    first = Mark(tmp_path / "state", tmp_path / OUTSIDE)
    with pytest.raises(StateDirectoryLocked, match=r"another server that runs, .* copy of .*/copy"):
        Mark(tmp_path / "copy", tmp_path / OUTSIDE)
    first.close()
    Mark(tmp_path / "copy", tmp_path / OUTSIDE).close()


@pytest.mark.parametrize(
    ("last", "found", "refusal"),
    [
        (
            4,
            HEAD,
            "is an old copy: it ends at audit line 4, but 7 were committed by 20.*; 3 are",
        ),
        (7, "other", "is not the ledger whose audit line 7 was committed by 20"),
        (9, "other", "is not the ledger whose audit line 7 was committed by 20"),
        (7, HEAD, ""),
        (9, HEAD, ""),
    ],
)
def test_a_ledger_has_to_hold_the_line_that_was_marked_outside(
    last: int, found: str, refusal: str, tmp_path: Path
) -> None:
    mark = Mark(tmp_path, tmp_path / OUTSIDE)
    mark.write(7, HEAD)
    mark.close()
    hashes = {7: found} if last >= 7 else {}

    def check() -> None:
        check_mark(tmp_path / OUTSIDE, last, lambda number: hashes.get(number, ""), tmp_path / "f")

    if not refusal:
        check()
        return
    with pytest.raises(Damaged, match=refusal) as caught:
        check()
    assert f"remove {tmp_path / OUTSIDE}" in str(caught.value)
    assert "their request ids are new ones" in str(caught.value)


@pytest.mark.parametrize(("last", "said"), [(0, ""), (5, "is new and begins with audit line 5")])
def test_a_mark_that_says_nothing_yet_refuses_nothing(
    last: int, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / OUTSIDE).touch()
    check_mark(tmp_path / OUTSIDE, last, lambda _: "", tmp_path / "f")
    assert (said in caplog.text) if said else not caplog.text


def test_a_mark_outside_without_a_hash_says_only_how_many_lines_there_were(tmp_path: Path) -> None:
    (tmp_path / OUTSIDE).write_bytes(b"%020d" % 5)
    check_mark(tmp_path / OUTSIDE, 5, lambda _: HEAD, tmp_path / "f")
    with pytest.raises(Damaged, match="1 are missing"):
        check_mark(tmp_path / OUTSIDE, 4, lambda _: HEAD, tmp_path / "f")


@pytest.mark.parametrize("content", [b"5", b"%020d " % 5, b"%020d abc" % 5, b"%020d x" % 5, b"?"])
def test_anything_else_is_damage(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(Damaged, match=f"{FILE_NAME} should hold the number"):
        marked(tmp_path)
