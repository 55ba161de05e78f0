"""Whether the files that a server has open are still those that the next start will find."""

from __future__ import annotations

from pathlib import Path

from smartconnectors_server.ledger.refusals import TakenOver


class SameFiles:
    """Remembers which directory and which files were opened."""

    def __init__(self, directory: Path, database: Path) -> None:
        """Raises OSError."""
        self._log = database.with_name(f"{database.name}-wal")
        self._opened = {path: _identity(path) for path in (directory, database)}

    def check(self) -> None:
        """Raises TakenOver when one of them was removed, or another is in its place."""
        if self._log not in self._opened and (log := _identity(self._log)) is not None:
            self._opened[self._log] = log  # SQLite makes it with its first look at the file
        for path, identity in self._opened.items():
            if _identity(path) != identity:
                raise TakenOver(
                    f"{path} was removed or replaced while this server has it open. What is "
                    "written now would be lost at the next start: stop this server, put back what "
                    "was there, run `audit verify`, and start it again"
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a file; None: there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
