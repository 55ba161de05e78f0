"""One server per state directory: a lock that the kernel gives back when the process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from smartconnectors_server.ledger.refusals import (
    StateDirectoryLocked,
)

FILE_NAME = "ledger.lock"


class DirectoryLock:
    """An exclusive lock on a directory."""

    def __init__(self, directory: Path) -> None:
        """Takes the lock. Raises StateDirectoryLocked, naming the process that has it."""
        path = directory / FILE_NAME
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise StateDirectoryLocked(
                f"{directory} is in use by another server ({holder or 'unknown process'}). "
                "Stop that one, or give this one another --state-dir."
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()}".encode(), 0)

    def release(self) -> None:
        """Gives the lock back."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
