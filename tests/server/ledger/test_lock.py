"""The lock on a state directory: one server at a time, and a second one is told which it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.server.ledger.test_store import open_files

from smartconnectors_server.ledger import StateDirectoryLocked
from smartconnectors_server.ledger.lock import DirectoryLock

US = f"process {os.getpid()}"


NO_LIST = Path("/proc/no such list")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def refusal(directory: Path, locks: Path = NO_LIST) -> str:
    """What a second server is told; of its attempt nothing stays open."""
    before = open_descriptors()
    with pytest.raises(StateDirectoryLocked) as raised:
        DirectoryLock(directory, locks=locks)
    assert open_descriptors() == before, f"{raised.value!r} leaves nothing open"
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


def test_a_lock_file_that_is_removed_lets_no_second_server_in(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    (tmp_path / "ledger.lock").unlink()
    assert "(unknown process)" in refusal(tmp_path)
    (tmp_path / "ledger.lock").write_text("")
    assert "(unknown process)" in refusal(tmp_path)
    lock.release()
    DirectoryLock(tmp_path).release()


def test_who_has_it_is_read_from_the_kernels_list_when_the_file_is_gone(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    (tmp_path / "ledger.lock").unlink()
    found = tmp_path.stat()
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    listed = tmp_path / "locks"
    listed.write_text(
        f"1: POSIX  ADVISORY  WRITE 11 {place} 0 EOF\n"
        "2: FLOCK  ADVISORY  WRITE 12 00:01:2 0 EOF\n"
        f"3: FLOCK  ADVISORY  WRITE 13 {place} 0 EOF\n"
    )
    assert "(process 13)" in refusal(tmp_path, listed)
    lock.release()


def test_a_directory_under_another_name_is_the_same_directory(tmp_path: Path) -> None:
    directory, other = tmp_path / "state", tmp_path / "other"
    directory.mkdir()
    other.symlink_to(directory)
    lock = DirectoryLock(directory)
    assert f"{other} is in use by another server ({US})" in refusal(other)
    directory.rename(tmp_path / "moved")
    assert US in refusal(tmp_path / "moved"), "the lock goes with the directory"
    lock.release()


def test_a_directory_that_is_not_there_is_no_lock_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger.lock").mkdir()
    before = open_descriptors()
    for name in ("none", "file", "state"):
        with pytest.raises(OSError, match=r"No such file|Not a directory|Is a directory"):
            DirectoryLock(tmp_path / name)
    assert open_descriptors() == before


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    DirectoryLock(tmp_path).release()
    assert (tmp_path / "ledger.lock").stat().st_mode & 0o777 == 0o600
