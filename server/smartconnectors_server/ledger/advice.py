"""What to do about a disk, a file or a clock: said beside the error, or in the log."""

from __future__ import annotations

import errno
import logging
import sqlite3
from pathlib import Path

from smartconnectors_server.clock import BOOT_ID_FILE
from smartconnectors_server.ledger.refusals import Damaged, Unavailable
from smartconnectors_server.threads import NoThread
from smartconnectors_server.zones import UnknownZone

UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What reading a file raises in which a byte was changed: no JSON, no number, no known name."""

_FREE_SPACE = "free some space there; nothing that was committed is lost"
_WRITABLE = "make the directory and the files in it writable for this user"
_DAMAGED = (
    "restore the file from a backup, or move it and its -wal file away to begin with an empty "
    "ledger, in which nothing counts that was committed before"
)
_CHECK_DISK = "see what the system's log says of the disk"

_BY_SQLITE = {
    sqlite3.SQLITE_FULL: _FREE_SPACE,
    sqlite3.SQLITE_READONLY: _WRITABLE,
    sqlite3.SQLITE_PERM: _WRITABLE,
    sqlite3.SQLITE_CANTOPEN: _WRITABLE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_IOERR: _CHECK_DISK,
    sqlite3.SQLITE_BUSY: "another program holds the file and has to let go of it",
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

CLOCK_DIFFERENCE_WORTH_A_WORD_S = 60.0

log = logging.getLogger(__name__)


def say_how_far_the_wall_clock_is(behind_s: float) -> None:
    """Warns when ledger time is far behind the wall clock, or ahead of it."""
    if abs(behind_s) > CLOCK_DIFFERENCE_WORTH_A_WORD_S:
        log.warning(
            "ledger time is %.0f s %s the wall clock; windows, calendar days too, go by ledger "
            "time, which takes the wall clock's time when the server is started after a day "
            "without bids and calls, or after twice the longest window if that is longer",
            abs(behind_s),
            "behind" if behind_s > 0 else "ahead of",
        )


def say_that_boots_cannot_be_told_apart() -> None:
    """Warns that no boot id can be read."""
    log.warning(
        "no boot id can be read (%s): whether the machine was started again between two starts of "
        "the server cannot be told, so a wall clock that was set forward while the machine was off "
        "or starting empties windows early by as much",
        BOOT_ID_FILE,
    )


def with_advice(error: Exception) -> str:
    """The error's message and, when that is known, what to do. Ends without a full stop."""
    message, advice = str(error), ""
    if isinstance(error, OSError):
        message = error.strerror or message
        advice = _BY_ERRNO.get(error.errno or 0, "")
    elif isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        advice = _BY_SQLITE.get(code, "")
    return f"{message}: {advice}" if advice else message


def refusal_to_open(directory: Path, error: BaseException) -> Unavailable | Damaged | None:
    """What an error means for a ledger that was to be opened; None: nothing else than it says."""
    if isinstance(error, sqlite3.Error | OSError):
        return Unavailable(f"{directory}: {with_advice(error)}")
    if isinstance(error, Unavailable | NoThread):
        return Unavailable(f"{directory}: {error}")
    if isinstance(error, UnknownZone):
        return Unavailable(f"a calendar limit cannot be kept: {error}.")
    if isinstance(error, UNREADABLE):
        return Damaged(
            f"{directory}: the ledger's file holds something that cannot be read "
            f"({type(error).__name__}). Restore it from a backup."
        )
    return None
