"""Files that are read again when they have changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from smartconnectors_server.startup import StartupError

Content = TypeVar("Content")
_Stamp = tuple[int, int, int]

log = logging.getLogger(__name__)


class Unusable(Exception):
    """What a file says cannot be used. The message never repeats what it says."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key
        self.why = why


class Watched(Generic[Content]):
    """What some files say together. May be asked from any thread.

    Attributes:
        value: what they said when they could last be used.
        problem: why they cannot be used now; None: they can.
    """

    def __init__(
        self, files: Mapping[str, Path], read: Callable[[Mapping[str, bytes]], Content]
    ) -> None:
        """Reads them.

        Args:
            files: settings key -> file.
            read: makes of their contents what they say. Raises Unusable.

        Raises:
            StartupError: naming the key, the file and what is wrong with it.
        """
        self._files = files
        self._read = read
        self._lock = threading.Lock()
        self._stamps = self._seen()
        self.problem: Unusable | None = None
        try:
            self.value = self._contents()
        except Unusable as error:
            raise StartupError(self._says(error)) from None

    def look(self) -> bool:
        """Reads the files if one has changed since the last look; true when they say something new.

        Files that cannot be used change nothing but `problem` and the log: what was in force stays
        so, and they are read again at each look.
        """
        with self._lock:
            stamps, before = self._seen(), self.problem
            if stamps == self._stamps and before is None:
                return False
            try:
                self.value = self._contents()
            except Unusable as error:
                # What they say must not be in a traceback either.
                if stamps != self._stamps or before is None or error.why != before.why:
                    log.error("%s. What was read before stays in force.", self._says(error))  # noqa: TRY400
                self._stamps, self.problem = stamps, error
                return False
            self._stamps, self.problem = stamps, None
        log.info("read again: %s", ", ".join(str(path) for path in self._files.values()))
        return True

    def _says(self, error: Unusable) -> str:
        return f"{error.key}: {self._files[error.key]} {error.why}"

    def _contents(self) -> Content:
        contents = {}
        for key, path in self._files.items():
            try:
                contents[key] = path.read_bytes()
            except OSError as error:
                raise Unusable(key, f"cannot be read: {error.strerror}") from None
        return self._read(contents)

    def _seen(self) -> list[_Stamp | None]:
        return [_stamp(path) for path in self._files.values()]


def _stamp(path: Path) -> _Stamp | None:
    """Changes when the file does, replaced ones included; None: it cannot be looked at."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino
