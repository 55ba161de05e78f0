"""What a message about the disk tells its reader to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from smartconnectors_server.ledger.advice import with_advice


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "writable for this user"),
        (errno.EACCES, "writable for this user"),
        (errno.EIO, "system's log"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(code: int, advice: str) -> None:
    said = with_advice(OSError(code, os.strerror(code), "/some/file"))
    assert said.startswith(f"{os.strerror(code)}: ")
    assert advice in said


def test_an_error_of_the_database_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no database" * 1000)
    connection = sqlite3.connect(tmp_path / "file")
    with pytest.raises(sqlite3.DatabaseError) as caught:
        connection.execute("SELECT * FROM sqlite_schema")
    connection.close()
    assert with_advice(caught.value).startswith("file is not a database: restore the file from")


@pytest.mark.parametrize(
    "error", [sqlite3.OperationalError("no such table"), KeyError("x"), OSError(errno.EPIPE, "x")]
)
def test_what_is_not_known_is_said_as_it_is(error: Exception) -> None:
    assert ": " not in with_advice(error)
