"""What to do about a disk: said beside the error that a ledger could not be opened for."""

from __future__ import annotations

import errno
import sqlite3

_FREE_SPACE = "Free some space there, then start again; nothing that was committed is lost."
_WRITABLE = "Make the directory and the files in it writable for this user, then start again."
_DAMAGED = (
    "Restore the file from a backup, or move it and its -wal file away to begin with an empty "
    "ledger, in which nothing counts that was committed before."
)
_CHECK_DISK = "Check the disk and what the system's log says of it, then start again."

_BY_SQLITE = {
    sqlite3.SQLITE_FULL: _FREE_SPACE,
    sqlite3.SQLITE_READONLY: _WRITABLE,
    sqlite3.SQLITE_PERM: _WRITABLE,
    sqlite3.SQLITE_CANTOPEN: _WRITABLE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_IOERR: _CHECK_DISK,
    sqlite3.SQLITE_BUSY: "Another program holds the file; end it, then start again.",
}
_BY_ERRNO = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EROFS: _WRITABLE,
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EIO: _CHECK_DISK,
}
_PRIMARY = 0xFF
"""SQLite's error codes carry a detail above their lowest byte."""


def with_advice(error: sqlite3.Error | OSError) -> str:
    """The error's message, and what to do when that is known."""
    if isinstance(error, OSError):
        known = _BY_ERRNO.get(error.errno or 0, "")
        return f"{error.strerror or error}. {known}".strip()
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    return f"{error}. {_BY_SQLITE.get(code, '')}".strip()
