"""One server per state directory: a lock that the kernel gives back when the process dies.

The lock is on the directory itself, so that no file in it can be removed to get around the lock. A
file in it says who has it, for people only.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from smartconnectors_server.ledger.refusals import StateDirectoryLocked
from smartconnectors_server.private import create_private

FILE_NAME = "ledger.lock"
_LOCKS = Path("/proc/locks")
_PID_COLUMN = 4


class DirectoryLock:
    """An exclusive lock on a directory."""

    def __init__(self, directory: Path, *, locks: Path = _LOCKS) -> None:
        """Takes the lock. Raises StateDirectoryLocked, naming the process that has it; OSError
        when the file system has no locks. `locks`: where the kernel lists all locks.
        """
        path = directory / FILE_NAME
        self._locked = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._says_who = create_private(path, os.O_RDWR)
        except BlockingIOError:
            holder = _written(path) or _listed(os.fstat(self._locked), locks)
            os.close(self._locked)
            raise StateDirectoryLocked(
                f"{directory} is in use by another server ({holder or 'unknown process'}). "
                "Stop that one, or give this one another --state-dir."
            ) from None
        except BaseException:
            os.close(self._locked)
            raise
        os.ftruncate(self._says_who, 0)
        os.pwrite(self._says_who, f"process {os.getpid()}".encode(), 0)

    def release(self) -> None:
        """Gives the lock back."""
        os.ftruncate(self._says_who, 0)
        os.close(self._says_who)
        os.close(self._locked)


def _written(path: Path) -> str:
    """Who has the lock, as that process wrote it; empty when nothing says so."""
    try:
        with path.open("rb") as file:
            return file.read(200).decode(errors="replace").strip()
    except OSError:
        return ""


def _listed(directory: os.stat_result, locks: Path) -> str:
    """Who has the lock, as Linux lists it; empty when it does not."""
    device = directory.st_dev
    inode = f"{os.major(device):02x}:{os.minor(device):02x}:{directory.st_ino}"
    try:
        lines = locks.read_text(encoding="ascii").splitlines()
    except OSError:
        return ""
    for fields in (line.split() for line in lines):
        if "FLOCK" in fields and inode in fields:
            return f"process {fields[_PID_COLUMN]}"
    return ""
