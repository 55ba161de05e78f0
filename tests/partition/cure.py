"""The server's package without what protects it from a network partition."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.mutation.run import PACKAGE, ROOT, mutated
from tests.mutation.table_network import NETWORK


def code_without_cure(directory: Path) -> Path:
    """A directory with a copy of the package that lacks every guard of the network."""
    copy = directory / PACKAGE
    shutil.copytree(ROOT / "server" / PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for guard in NETWORK:
        mutated(guard)  # raises when the guard is not where the table says
        file = copy / guard.file
        file.write_text(file.read_text().replace(guard.text, guard.replacement))
    return directory
