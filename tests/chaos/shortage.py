"""Takes files, memory or threads from a process, from outside, and gives them back."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = resource.getpagesize()
_PIDS = Path("/sys/fs/cgroup/pids")


@contextlib.contextmanager
def few_files(process_id: int, spare: int) -> Iterator[None]:
    """Inside the block the process can open `spare` more files than it has open now."""
    open_now = sum(1 for _ in Path(f"/proc/{process_id}/fd").iterdir())
    with _limited(process_id, resource.RLIMIT_NOFILE, open_now + spare):
        yield


@contextlib.contextmanager
def little_memory(process_id: int, spare_bytes: int) -> Iterator[None]:
    """Inside the block the process can map `spare_bytes` more than it has mapped now."""
    try:
        mapped = int(Path(f"/proc/{process_id}/statm").read_text().split()[0]) * PAGE_BYTES
    except FileNotFoundError:  # it has ended
        yield
        return
    with _limited(process_id, resource.RLIMIT_AS, mapped + spare_bytes):
        yield


@contextlib.contextmanager
def _limited(process_id: int, kind: int, most: int) -> Iterator[None]:
    with contextlib.suppress(ProcessLookupError):
        before = resource.prlimit(process_id, kind)
        resource.prlimit(process_id, kind, (most, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process_id, kind, before)


class FewThreads:
    """A control group whose processes can have no more than so many threads together."""

    def __init__(self, name: str) -> None:
        """Raises OSError where control groups cannot be made; see `threads_can_be_limited`."""
        self._path = _PIDS / name
        self._path.mkdir(exist_ok=True)

    def add(self, process_id: int) -> None:
        """Puts a process into the group."""
        (self._path / "cgroup.procs").write_text(str(process_id))

    @property
    def wrapper(self) -> tuple[str, ...]:
        """The beginning of a command whose process is in the group from its start."""
        return ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._path / "cgroup.procs"))

    def limit(self, spare: int | None) -> None:
        """From now on `spare` more threads than now; None: as many as it likes."""
        now = int((self._path / "pids.current").read_text())
        (self._path / "pids.max").write_text("max" if spare is None else str(now + spare))

    def close(self) -> None:
        """Removes the group. Its processes must have ended."""
        with contextlib.suppress(OSError):
            self._path.rmdir()


def threads_can_be_limited() -> bool:
    """Whether this process may make control groups for threads."""
    return (_PIDS / "cgroup.procs").exists() and os.access(_PIDS, os.W_OK)
