"""The high-water mark: a file beside the database that says how many audit lines were committed.

SQLite opens a file whose committed end is gone without a word; the mark is how that is noticed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from smartconnectors_server.ledger.refusals import Damaged

FILE_NAME = "ledger.mark"
_TEXT = re.compile(rb"(\d{20})(?: ([0-9a-f]{64}))?")


def marked(directory: Path) -> tuple[int, str]:
    """Number and hash of the last committed line; 0 and "" when nothing says so. Raises Damaged."""
    path = directory / FILE_NAME
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


class Mark:
    """Writes the mark."""

    def __init__(self, directory: Path) -> None:
        """Opens the file, or makes one. Raises OSError."""
        self.path = directory / FILE_NAME
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)

    def write(self, sequence: int, head: str) -> None:
        """Says that the line and all before it are committed. Raises OSError."""
        os.pwrite(self._descriptor, f"{sequence:020d} {head}".encode(), 0)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)
