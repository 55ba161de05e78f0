"""The lock on a state directory: one server at a time, and a second one is told which it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.server.ledger.test_store import open_files

from smartconnectors_server.ledger import StateDirectoryLocked
from smartconnectors_server.ledger.lock import DirectoryLock

US = f"process {os.getpid()}"


def refusal(directory: Path) -> str:
    """What a second server is told; of its attempt nothing stays open."""
    before = open_files(directory)
    with pytest.raises(StateDirectoryLocked) as raised:
        DirectoryLock(directory)
    assert open_files(directory) == before, f"{raised.value!r} leaves nothing open"
    return str(raised.value)


def test_a_second_server_is_told_who_has_the_directory_until_it_is_released(
    tmp_path: Path,
) -> None:
    lock = DirectoryLock(tmp_path)
    for _ in range(2):
        assert f"{tmp_path} is in use by another server ({US})." in refusal(tmp_path)
    assert (tmp_path / "ledger.lock").read_text() == US
    lock.release()
    assert open_files(tmp_path) == []
    assert (tmp_path / "ledger.lock").read_bytes() == b"", "nobody has it"
    DirectoryLock(tmp_path).release()


def test_what_a_server_that_died_left_there_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "ledger.lock").write_text("process 12345678901234567890")
    lock = DirectoryLock(tmp_path)
    assert (tmp_path / "ledger.lock").read_text() == US
    lock.release()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "(unknown process)"), (b"\xffx\n", "(\N{REPLACEMENT CHARACTER}x)")],
)
def test_who_has_it_is_unknown_where_nothing_readable_says_so(
    content: bytes, said: str, tmp_path: Path
) -> None:
    lock = DirectoryLock(tmp_path)
    (tmp_path / "ledger.lock").write_bytes(content)
    assert said in refusal(tmp_path)
    lock.release()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    DirectoryLock(tmp_path).release()
    assert (tmp_path / "ledger.lock").stat().st_mode & 0o777 == 0o600
