"""What earlier runs found out, so that a run tries only what has changed since."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.mutation.trials import OURS, ROOT


@dataclass(frozen=True)
class Baseline:
    """What the tests of a stage do when nothing is changed.

    Attributes:
        digest: of every file of ours that they import, the tried modules among them.
        files: those files, relative to the repository.
        others: the modules that they import and that are not ours, in the order of import: asyncio
            is not itself when its inner part is imported before it.
        durations_s: how long each test takes, by its id.
    """

    digest: str
    files: tuple[str, ...]
    others: tuple[str, ...]
    durations_s: dict[str, float]


@dataclass
class Tried:
    """One mutant and one stage.

    Attributes:
        digest: of the baseline with which it was tried.
        failed: the test that noticed; "": none did.
        seconds: how long it took.
    """

    digest: str
    failed: str
    seconds: float


@dataclass
class Memory:
    """All of it.

    Attributes:
        baselines: for each stage, by the names of its tests.
        tried: for each module, each mutant's id and each stage.
    """

    baselines: dict[str, Baseline] = field(default_factory=dict)
    tried: dict[str, dict[str, dict[str, Tried]]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Memory:
        """From a file; empty, when there is none or it was written by another version of this."""
        try:
            kept = json.loads(path.read_text())["memory"]
            return cls(
                {
                    stage: Baseline(
                        **{**b, "files": tuple(b["files"]), "others": tuple(b["others"])}
                    )
                    for stage, b in kept["baselines"].items()
                },
                {
                    module: {
                        name: {stage: Tried(**t) for stage, t in stages.items()}
                        for name, stages in mutants.items()
                    }
                    for module, mutants in kept["tried"].items()
                },
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return cls()

    def as_json(self) -> object:
        """What `read` understands."""
        return dataclasses.asdict(self)

    def baseline(self, stage: Sequence[str]) -> Baseline | None:
        """The baseline of these tests, if no file that matters to it has changed."""
        known = self.baselines.get(" ".join(stage))
        return known if known is not None and digest(known.files) == known.digest else None

    def forget_all_but(self, module: str, mutants: Sequence[str]) -> None:
        """Drops what is known of a module's mutants that are not there any more."""
        known = self.tried.get(module, {})
        self.tried[module] = {name: known[name] for name in mutants if name in known}

    def of(self, module: str, mutant: str) -> dict[str, Tried]:
        """What is known of one mutant, by stage; to be added to."""
        return self.tried.setdefault(module, {}).setdefault(mutant, {})


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def baseline_of(
    modules: Mapping[str, str], durations_s: dict[str, float], root: Path = ROOT
) -> Baseline:
    """A baseline from the modules, with their files, that a trial without a change imported."""
    ours = {name: file for name, file in modules.items() if name.partition(".")[0] in OURS}
    here = Path(__file__).parent
    paths = {Path(file) for file in ours.values() if file}
    files = sorted(str(path.relative_to(root)) for path in paths if path.parent != here)
    others = tuple(name for name in modules if name not in ours)
    return Baseline(digest(files, root), tuple(files), others, durations_s)


def digest(files: Sequence[str], root: Path = ROOT) -> str:
    """Of names and contents; a file that is gone changes it too."""
    told = hashlib.sha256()
    for file in files:
        path = root / file
        content = path.read_bytes() if path.exists() else b"gone"
        told.update(f"{file} {len(content)} ".encode() + content)
    return told.hexdigest()
