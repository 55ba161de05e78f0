"""How each language's runner is built and started."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
GO = ROOT / "clients" / "go"
TYPESCRIPT = ROOT / "clients" / "typescript"
JAVA = ROOT / "clients" / "java"
_BUILT_WITHIN_S = 400


class NotBuilt(Exception):
    """A runner could not be built; the message has what the tool said."""


@dataclass(frozen=True, slots=True)
class Language:
    """One client.

    Attributes:
        build: what makes the runner, in `folder`; empty: nothing has to be made.
        folder: where it is made.
        run: what starts it; the scenario's file is added. `%CLASSPATH%` in it stands for what
            `classpath` says.
        classpath: a file that the build writes, of a language that has one.
    """

    build: tuple[str, ...]
    folder: Path
    run: tuple[str, ...]
    classpath: Path | None = None

    def make(self) -> None:
        """Builds the runner, or looks whether what was built is still of the same sources.

        Raises NotBuilt.
        """
        if not self.build:
            return
        try:
            made = subprocess.run(
                self.build,
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=_BUILT_WITHIN_S,
                check=False,
            )
        except FileNotFoundError:
            raise NotBuilt(f"{self.build[0]} is not installed") from None
        if made.returncode != 0:
            raise NotBuilt(f"{' '.join(self.build)}\n{made.stdout}{made.stderr}")

    def command(self, scenario: Path) -> list[str]:
        """What plays the scenario."""
        classpath = self.classpath.read_text() if self.classpath else ""
        return [*(word.replace("%CLASSPATH%", classpath) for word in self.run), str(scenario)]


def environment() -> dict[str, str]:
    """A runner's: of our Python packages it finds the client, and nothing of the server."""
    packages = os.pathsep.join([str(ROOT), str(ROOT / "clients" / "python")])
    return {**os.environ, "PYTHONPATH": packages}


_PYTHON = "tests.conformance.clients.python"
_GO_RUNNER = GO / "build" / "scenario"
_CLASSPATH = JAVA / "target" / "test-classpath"
_JAVA_CLASSES = os.pathsep.join(
    [str(JAVA / "target" / "test-classes"), str(JAVA / "target" / "classes"), "%CLASSPATH%"]
)

LANGUAGES = {
    "python": Language((), ROOT, (sys.executable, "-m", f"{_PYTHON}.asynchronous")),
    "python-sync": Language((), ROOT, (sys.executable, "-m", f"{_PYTHON}.waiting")),
    "go": Language(
        ("go", "build", "-o", str(_GO_RUNNER), "./internal/scenario"), GO, (str(_GO_RUNNER),)
    ),
    "typescript": Language(
        ("npm", "run", "--silent", "build:test"),
        TYPESCRIPT,
        ("node", str(TYPESCRIPT / "build" / "test" / "scenario.js")),
    ),
    "java": Language(
        (
            *("mvn", "--batch-mode", "--quiet", "test-compile", "dependency:build-classpath"),
            f"-Dmdep.outputFile={_CLASSPATH}",
        ),
        JAVA,
        (
            *("java", "-XX:TieredStopAtLevel=1", "-classpath", _JAVA_CLASSES),
            "io.github.smartconnectors.ScenarioRunner",
        ),
        _CLASSPATH,
    ),
}
