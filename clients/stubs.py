"""Generates the stubs that Go and TypeScript commit, with plugins from package registries only.

    python clients/stubs.py            write them; a language whose tools are missing is left out
    python clients/stubs.py --check    fail when what is committed is not what would be written

Needs buf (a development dependency), and for each language what its own developers have: go; node,
after `npm ci` in clients/typescript. Python's stubs are clients/generate.py's, and Java's are made
by Maven when it builds, as its users expect.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import google.rpc

ROOT = Path(__file__).resolve().parent.parent
BUF = Path(sysconfig.get_path("scripts")) / "buf"
# What errors are made of; Go and Java have libraries of it, TypeScript has not.
STATUS_PROTOS = ("status.proto", "error_details.proto")


@dataclass(frozen=True, slots=True)
class Language:
    """A language whose stubs are committed."""

    name: str
    command: str
    """Without it there are no stubs."""
    template: str
    """What buf runs, in clients/."""
    out: Path
    """Below the root."""
    suffix: str
    """How the names of generated files end."""
    plugin: Path | None = None
    """What its package manager has to have installed."""
    with_status: bool = False
    """Whether google.rpc.Status is generated too."""

    def missing(self) -> str:
        """What has to be installed first, for a person; empty when nothing."""
        if shutil.which(self.command) is None:
            return f"{self.command} is not installed"
        if self.plugin is not None and not (ROOT / self.plugin).exists():
            return "`npm ci` was not run in clients/typescript"
        return ""

    def generated(self, root: Path) -> set[Path]:
        """The generated files below `root`, relative to it."""
        found = (root / self.out).rglob(f"*{self.suffix}")
        return {path.relative_to(root) for path in found if "node_modules" not in path.parts}


LANGUAGES = (
    Language("Go", "go", "buf.gen.go.yaml", Path("clients/go"), ".pb.go"),
    Language(
        "TypeScript",
        "node",
        "buf.gen.ts.yaml",
        Path("clients/typescript/src/gen"),
        "_pb.ts",
        plugin=Path("clients/typescript/node_modules/@bufbuild/protoc-gen-es"),
        with_status=True,
    ),
)


def run_buf(template: Path, out: Path, *arguments: str) -> None:
    """Runs buf and raises SystemExit when it fails; its own message is printed."""
    command = [str(BUF), "generate", "--template", str(template), "--output", str(out), *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise SystemExit("buf failed; its message is above")


def generate(language: Language, out: Path) -> None:
    """Writes a language's stubs below `out`, laid out as in the repository."""
    template = ROOT / "clients" / language.template
    run_buf(template, out)
    if not language.with_status:
        return
    with tempfile.TemporaryDirectory() as scratch:
        protos = Path(scratch) / "google" / "rpc"
        protos.mkdir(parents=True)
        for name in STATUS_PROTOS:
            shutil.copy(Path(next(iter(google.rpc.__path__))) / name, protos)
        run_buf(template, out, scratch)


def stale_files(language: Language) -> list[str]:
    """The files that are not what would be written, and those that would not be written."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(language, fresh)
        return [
            str(name)
            for name in sorted(language.generated(fresh) | language.generated(ROOT))
            if not (fresh / name).exists()
            or not (ROOT / name).exists()
            or not filecmp.cmp(fresh / name, ROOT / name, shallow=False)
        ]


def write(language: Language) -> None:
    """Replaces a language's stubs."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(language, fresh)  # all of it, before anything that is there goes
        for name in language.generated(ROOT) - language.generated(fresh):
            (ROOT / name).unlink()
        shutil.copytree(fresh, ROOT, dirs_exist_ok=True)


def check() -> int:
    """Compares what is committed with what would be written; returns the exit code."""
    code = 0
    for language in LANGUAGES:
        if missing := language.missing():
            print(f"{language.name}: not compared, because {missing}")
            code = 1
        elif stale := stale_files(language):
            said = f"{language.name} is not what protos/ says; run `make generate`:"
            print(said, *stale, sep="\n  ")
            code = 1
        else:
            count = len(language.generated(ROOT))
            print(f"{language.name} matches protos/ ({count} files)")
    return code


def main() -> int:
    """Writes the stubs, or checks them."""
    if sys.argv[1:] == ["--check"]:
        return check()
    for language in LANGUAGES:
        if missing := language.missing():
            print(f"{language.name} was not written, because {missing}; CI will compare it")
        else:
            write(language)
            print(f"{language.name} is written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
