"""What the ledger's file says, read from outside while a server lives: what would be left if it
died now.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from smartconnectors_server.ledger.store import FILE_NAME

STATE = "SELECT state FROM holds WHERE platform = ? AND request_id = ?"


class Record:
    """One world's file, read-only."""

    def __init__(self, state_dir: Path) -> None:
        self._uri = f"{(state_dir / FILE_NAME).absolute().as_uri()}?mode=ro"
        self._file: sqlite3.Connection | None = None

    def states(self, platform: str, request_id: str) -> set[str]:
        """The states that the request's holds have on disk."""
        if self._file is None:
            self._file = sqlite3.connect(self._uri, uri=True)
        with contextlib.closing(self._file.execute(STATE, (platform, request_id))) as rows:
            return {state for (state,) in rows}

    def close(self) -> None:
        """Lets go of the file, until the next look."""
        if self._file is not None:
            self._file.close()
            self._file = None
