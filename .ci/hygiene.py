"""Fails when something is in the repository that must not be; prints where, and why.

    python .ci/hygiene.py

Looks at what git tracks or would add (everything that is not ignored), and needs only the standard
library.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
LARGEST_FILE_BYTES = 1_000_000
LONGEST_MODULE_LINES = 600
PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!]+$")
LOCKED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.+!]+)(?: ;[^\\]*)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
LOCKS = ("build", "server", "dev")
REQUIREMENT_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
# Shapes of secrets that grant something; the texts around them do not matter.
SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a Google client secret": re.compile(r"\bGOCSPX-[0-9A-Za-z_-]{28}\b"),
    "a Google access token": re.compile(r"\bya29\.[0-9A-Za-z_-]{40,}"),
    "a Google refresh token": re.compile(r"\b1//0[0-9A-Za-z_-]{40,}"),
    "a Meta access token": re.compile(r"\bEAA[0-9A-Za-z]{60,}\b"),
    "an AWS key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[0-9A-Za-z]{36}\b"),
}
MERGE_MARKER = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)


def repository_files() -> list[Path]:
    """Every file that is tracked or could be added, relative to the root. Raises SystemExit when
    git cannot say.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        raise SystemExit(f"git cannot list this repository: {listed.stderr.strip()}")
    names = sorted(filter(None, listed.stdout.split("\0")))
    return [Path(name) for name in names if (ROOT / name).is_file()]


def complaints_of_file(name: Path) -> Iterator[str]:
    """What is wrong with one file."""
    content = (ROOT / name).read_bytes()
    if len(content) > LARGEST_FILE_BYTES:
        yield f"{name}: {len(content)} bytes; at most {LARGEST_FILE_BYTES}"
        return
    text = content.decode("utf-8", errors="replace")
    for what, pattern in SECRETS.items():
        if found := pattern.search(text):
            yield f"{name}:{line_of(text, found.start())}: looks like {what}"
    if found := MERGE_MARKER.search(text):
        yield f"{name}:{line_of(text, found.start())}: a merge conflict marker"
    lines = text.count("\n")
    if name.suffix == ".py" and not GENERATED.search(name.name) and lines > LONGEST_MODULE_LINES:
        yield f"{name}: {lines} lines; split it by concept, at most {LONGEST_MODULE_LINES}"


def line_of(text: str, position: int) -> int:
    """The line number, from 1, of a position in the text."""
    return text.count("\n", 0, position) + 1


def complaints_of_constraints() -> Iterator[str]:
    """Constraints are exact pins without addresses, and pin all that pyproject.toml asks for."""
    pinned = set()
    for number, line in enumerate((ROOT / "constraints.txt").read_text().splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        if not PIN.match(line):
            yield f"constraints.txt:{number}: {line!r} is not an exact pin (name==version)"
        pinned.add(normalised(line.split("==")[0]))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in asked:
        found = REQUIREMENT_NAME.match(requirement)
        if found is None or normalised(found.group()) not in pinned:
            yield f"constraints.txt: {requirement!r} is not pinned; run `make lock`"


def complaints_of_locks() -> Iterator[str]:
    """Each lock has exact pins with hashes and nothing else, at the versions of constraints.txt,
    and all that is asked for: what runs is in server.txt, everything in dev.txt.
    """
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if PIN.match(line)
    )
    versions = {normalised(name): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runs, tests = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    builds = project["build-system"]["requires"]
    asked = {"build": builds, "server": runs, "dev": [*builds, *runs, *tests["dev"]]}
    for lock in LOCKS:
        path = f"requirements/{lock}.txt"
        locked: dict[str, str] = {}
        hashes: dict[str, int] = {}
        name = ""
        for number, line in enumerate((ROOT / path).read_text().splitlines(), start=1):
            if found := LOCKED.match(line):
                name = normalised(found.group(1))
                locked[name], hashes[name] = found.group(2), 0
            elif HASH.match(line) and name:
                hashes[name] += 1
            elif line and not line.startswith("#"):
                yield f"{path}:{number}: {line!r} is neither an exact pin nor a hash"
        for name, version in locked.items():
            if not hashes[name]:
                yield f"{path}: {name} has no hash; run `make hashes`"
            if versions.get(name, version) != version:
                yield f"{path}: {name} is not {versions[name]}, as pinned; run `make hashes`"
        for requirement in asked[lock]:
            found = REQUIREMENT_NAME.match(requirement)
            if found is None or normalised(found.group()) not in locked:
                yield f"{path}: {requirement!r} is not locked; run `make lock`"


def normalised(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Prints every complaint; returns the exit code."""
    files = repository_files()
    complaints = [
        *complaints_of_constraints(),
        *complaints_of_locks(),
        *(complaint for name in files for complaint in complaints_of_file(name)),
    ]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if complaints:
        return 1
    print(f"nothing that must not be here ({len(files)} files)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
