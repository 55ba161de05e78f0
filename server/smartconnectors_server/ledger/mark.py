"""The high-water mark: a file beside the database that says how many audit lines were committed.

SQLite opens a file whose committed end is gone without a word; the mark is how that is noticed. A
second one outside of the directory is how it is noticed that the whole directory is an old copy.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from smartconnectors_server.ledger.refusals import Damaged, StateDirectoryLocked

FILE_NAME = "ledger.mark"
_TEXT = re.compile(rb"(\d{20})(?: ([0-9a-f]{64}))?")

log = logging.getLogger(__name__)


def marked(directory: Path) -> tuple[int, str]:
    """Number and hash of the last committed line; 0 and "" when nothing says so. Raises Damaged."""
    return read_mark(directory / FILE_NAME)


def read_mark(path: Path) -> tuple[int, str]:
    """As `marked`, of a file that may have another name. Raises Damaged, OSError."""
    # A power cut may leave it empty or zeroed: it is not synced on its own.
    raw = path.read_bytes().strip(b"\0") if path.exists() else b""
    if not raw:
        return 0, ""
    found = _TEXT.fullmatch(raw)
    if found is None:
        raise Damaged(
            f"{path} should hold the number of the last committed audit line, but is unreadable. "
            "Restore it, or accept that missing lines go unnoticed by removing it."
        )
    return int(found[1]), (found[2] or b"").decode()


def check_mark(path: Path, last: int, hash_of: Callable[[int], str], file: Path) -> None:
    """Refuses a ledger in `file` that is behind the mark outside of its directory, or another than
    the one that was marked. `last`: its last audit line. Raises Damaged, OSError.
    """
    number, marked_hash = read_mark(path)
    if not number:
        if last:
            log.warning("the mark in %s is new and begins with audit line %d", path, last)
        return
    accept = (
        f"remove {path}. What was committed in the missing lines counts in no budget then, and "
        "their request ids are new ones; so let no "
        "caller bid until the longest window has passed since that time"
    )
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if last < number:
        raise Damaged(
            f"{file} is an old copy: it ends at audit line {last}, but {number} were committed by "
            f"{written}, as the mark in {path} says; {number - last} are missing. Put the newest "
            f"copy there. To go on without them, {accept}."
        )
    if marked_hash and hash_of(number) != marked_hash:
        raise Damaged(
            f"{file} is not the ledger whose audit line {number} was committed by {written}, as "
            f"the mark in {path} says: it is another one, or went on by itself from an old copy. "
            f"Put that one there, or give this one a mark of its own (ledger.mark_file). To go on "
            f"with this one, {accept}."
        )


class Mark:
    """Writes the mark."""

    def __init__(self, directory: Path, outside: Path | None = None) -> None:
        """Opens the file, or makes one. `outside`: the one that is not in the directory; it is
        locked, so that no server on a copy of the directory goes by it too. Raises OSError,
        StateDirectoryLocked.
        """
        self.path = outside or directory / FILE_NAME
        with self._named():
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        if outside is not None:
            self._lock(directory)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Says which file an error is about: who reads of it may think of the database."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror} ({self.path})") from None

    def _lock(self, directory: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StateDirectoryLocked(
                f"{self.path} is the mark of another server that runs, perhaps on a copy of "
                f"{directory}. Stop that one, or give this one a mark of its own "
                "(ledger.mark_file)."
            ) from None
        except OSError:
            log.warning("%s cannot be locked: no second server on it would be noticed", self.path)

    def write(self, sequence: int, head: str) -> None:
        """Says that the line and all before it are committed. Raises OSError."""
        with self._named():
            os.pwrite(self._descriptor, f"{sequence:020d} {head}".encode(), 0)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)
