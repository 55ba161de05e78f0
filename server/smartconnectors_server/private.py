"""Files that tell of money, of customers or of keys: for the user that runs the server.

In a directory that its group may write to, the group may write to the files as well: containers run
the server under any user id of group 0, and under another one after the next start.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_OWNERS = 0o700
_OWNERS_AND_GROUPS = 0o770
_OWNER = 0o600
_OWNER_AND_GROUP = 0o660


def make_private_directory(path: Path) -> None:
    """Makes the directory, for its owner only, when there is none. One that exists stays as it is.
    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=_OWNERS, exist_ok=True)


def make_private_directory_inside(path: Path) -> None:
    """The same for a directory inside a state directory, with the rights that its group has there.
    Raises OSError.
    """
    if not path.is_dir():
        make_private_directory(path)
        path.chmod(_OWNERS_AND_GROUPS if _group_writes(path.parent) else _OWNERS)


def create_private(path: Path, flags: int) -> int:
    """Opens a file, and makes it when there is none. Returns its descriptor. Raises OSError."""
    descriptor = os.open(path, flags | os.O_CREAT, _OWNER)
    try:
        keep_private(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def keep_private(path: Path) -> None:
    """Gives a file in a state directory the rights that it should have, whatever the umask is and
    whoever copied it there; not one of another user, which only that user can. Raises OSError.
    """
    with suppress(PermissionError):
        path.chmod(_OWNER_AND_GROUP if _group_writes(path.parent) else _OWNER)


def owner_only(path: str, flags: int) -> int:
    """An opener for `open`: a file that it makes is for its owner only."""
    return os.open(path, flags, _OWNER)


def _group_writes(directory: Path) -> bool:
    return bool(directory.stat().st_mode & stat.S_IWGRP)
