"""How far a sink is: the number of the last line that it needs no more, in a file of its own."""

from __future__ import annotations

import os
from pathlib import Path

from smartconnectors_server.private import create_private, make_private_directory_inside


class Cursor:
    """One sink's. The file is replaced as a whole, so a crash leaves the old number or the new."""

    def __init__(self, directory: Path, sink: str) -> None:
        self._path = directory / f"{sink}.cursor"

    def read(self) -> int | None:
        """The number; None: the sink is new. What cannot be understood counts as the beginning, so
        that nothing is left out. Raises OSError.
        """
        try:
            text = self._path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else 0

    def write(self, sequence: int) -> None:
        """Remembers it, durably. Raises OSError."""
        make_private_directory_inside(self._path.parent)
        beside = self._path.with_suffix(".new")
        with os.fdopen(create_private(beside, os.O_WRONLY | os.O_TRUNC), "w") as file:
            file.write(f"{sequence}\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
