"""Disks that tests may fill, freeze and break: mounted for one test, or skipped with the reason."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MEGABYTE = 1024 * 1024


class MountedDisk:
    """A small file system of a test's own; `how` it is mounted, as `mount` is told."""

    def __init__(self, path: Path, *how: str) -> None:
        self.path = path
        self._how = how

    def mount(self) -> None:
        """Mounts it; the test is skipped where that may not be."""
        if shutil.which("mount") is None:
            pytest.skip("there is no mount here")
        command = ["mount", *self._how, str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a test disk may not be mounted here: {done.stderr.strip()}")

    def mount_anew(self) -> None:
        """Once nobody has a file of it open: unmounts it, and mounts it again."""
        _run("umount", str(self.path))
        self.mount()

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """No block is free inside the block."""
        filler = self.path / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        assert shutil.disk_usage(self.path).free == 0
        yield
        filler.unlink()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing on it is open for writing, and nothing can be written inside the block."""
        _run("mount", "-o", "remount,ro", str(self.path))
        yield
        _run("mount", "-o", "remount,rw", str(self.path))

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Whoever writes inside the block waits until its end."""
        _run("fsfreeze", "--freeze", str(self.path))
        try:
            yield
        finally:
            _run("fsfreeze", "--unfreeze", str(self.path))

    def turn_read_only(self) -> None:
        """As the kernel does after an error of the disk, also under open files; for good."""
        _run("mount", "-o", "remount,abort", str(self.path))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@contextlib.contextmanager
def tmpfs(path: Path, kilobytes: int) -> Iterator[MountedDisk]:
    """A file system in memory."""
    with _mounted(MountedDisk(path, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs")) as disk:
        yield disk


@contextlib.contextmanager
def ext4(path: Path, image: Path) -> Iterator[MountedDisk]:
    """A file system on a block device, which is a file; the test is skipped where there are no
    tools for it.
    """
    for tool in ("mkfs.ext4", "fsfreeze"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} here")
    with image.open("wb") as file:
        file.truncate(16 * MEGABYTE)
    _run("mkfs.ext4", "-q", str(image))
    with _mounted(MountedDisk(path, "-o", "loop,noatime", str(image))) as disk:
        yield disk


@contextlib.contextmanager
def _mounted(disk: MountedDisk) -> Iterator[MountedDisk]:
    disk.path.mkdir()
    disk.mount()
    try:
        yield disk
    finally:
        # Lazily: a process that a failed test left behind must not keep the others from ending.
        _run("umount", "--lazy", str(disk.path))


@contextlib.contextmanager
def unwritable(file: Path) -> Iterator[None]:
    """The file cannot be written inside the block, whoever has it open; the test is skipped where
    files have no such attribute.
    """
    if shutil.which("chattr") is None:
        pytest.skip("there is no chattr here")
    done = subprocess.run(["chattr", "+i", str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a file may not be made immutable here: {done.stderr.strip()}")
    try:
        yield
    finally:
        _run("chattr", "-i", str(file))


@contextlib.contextmanager
def no_longer_file(pid: int, file: Path) -> Iterator[None]:
    """The process cannot make any file longer than this one is, inside the block."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (file.stat().st_size, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
