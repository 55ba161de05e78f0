"""The mark: how many lines were committed, and which was the last."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartconnectors_server.ledger import Damaged
from smartconnectors_server.ledger.mark import FILE_NAME, Mark, marked

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


@pytest.mark.parametrize("content", [b"5", b"%020d " % 5, b"%020d abc" % 5, b"%020d x" % 5, b"?"])
def test_anything_else_is_damage(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(Damaged, match=f"{FILE_NAME} should hold the number"):
        marked(tmp_path)
