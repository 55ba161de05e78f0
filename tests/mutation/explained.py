"""The mutants that no test can kill, each with the reason why it is as good as the original."""

from __future__ import annotations

import tomllib
from pathlib import Path

Explained = dict[tuple[str, str], str]
"""(module, mutant) -> reason."""

FILE = Path(__file__).with_name("explained.toml")


def read_explained(path: Path = FILE) -> Explained:
    """Reads the table. Raises ValueError for a mutant that is in it twice."""
    found: Explained = {}
    for module, groups in tomllib.loads(path.read_text()).items():
        for group in groups:
            for mutant in group["mutants"]:
                if (module, mutant) in found:
                    raise ValueError(f"{path.name} explains {mutant} of {module} twice")
                found[module, mutant] = group["why"]
    return found
