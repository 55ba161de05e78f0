"""Tries the first steps of every client's README, as they stand there, in an empty folder.

    python -m tests.interop.readmes [python go typescript java]

Each README has its commands in its first `console` block (with `$CHECKOUT` for this repository) and
one file of code, named just before it. Both are taken from the README, so that they cannot drift;
only the server's port is put in. Exits with 1 when a language does not print a placed bid, or needs
more than ten lines of code for it, imports counted and blank lines not.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("python", "go", "typescript", "java")
EXPECTED = "placed 75.00 USD"
ADDRESS = "127.0.0.1:50051"
MOST_LINES = 10
LONGEST_LINE = 120
READY_WITHIN_S = 60
TRIED_WITHIN_S = 400
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CONSOLE = re.compile(r"```console\n(?P<lines>.*?)```", re.DOTALL)
FILE = re.compile(r"^`(?P<name>[\w.]+)`:\n\n```\w+\n(?P<code>.*?)```", re.DOTALL | re.MULTILINE)


def start_server(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A server in sandbox mode, and where it listens. Raises SystemExit when it does not start."""
    command = [sys.executable, "-m", "smartconnectors_server", "serve", "--grpc-port=0"]
    packages = os.pathsep.join([str(ROOT / "server"), str(ROOT / "clients" / "python")])
    server = subprocess.Popen(
        [*command, "--log-format=json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": packages},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    readable, _, _ = select.select([server.stdout], [], [], READY_WITHIN_S)
    line = server.stdout.readline() if readable else ""
    if not line:
        server.kill()
        raise SystemExit(f"the server was not ready within {READY_WITHIN_S} s")
    return server, str(json.loads(line)["grpc"])


def try_readme(language: str, address: str, folder: Path) -> str:
    """What goes wrong, or nothing."""
    text = (ROOT / "clients" / language / "README.md").read_text()
    console, file = CONSOLE.search(text), FILE.search(text)
    if console is None or file is None:
        return "the README has no console block, or no file of code with its name before it"
    lines = [line for line in file["code"].splitlines() if line.strip()]
    if len(lines) > MOST_LINES:
        return f"{len(lines)} lines of code; at most {MOST_LINES}"
    if longest := [line for line in lines if len(line) > LONGEST_LINE]:
        return f"a line of code is longer than {LONGEST_LINE} characters: {longest[0]}"
    (folder / file["name"]).write_text(file["code"].replace(ADDRESS, address))
    steps = [line.removeprefix("$ ") for line in console["lines"].splitlines()]
    environment = {**os.environ, "CHECKOUT": str(ROOT)}
    environment.pop("PYTHONPATH", None)  # what is installed counts, not what lies here
    tried = subprocess.run(
        ["bash", "-ec", "\n".join(steps)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TRIED_WITHIN_S,
        check=False,
    )
    said = COLOURS.sub("", tried.stdout).splitlines()
    if tried.returncode != 0 or EXPECTED not in said:
        return f"exit code {tried.returncode}\n{tried.stdout}{tried.stderr}"
    return ""


def main() -> int:
    """Tries the languages that were named, or all; returns the exit code."""
    failed = []
    for language in sys.argv[1:] or LANGUAGES:
        with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as empty:
            server, address = start_server(Path(state))
            try:
                wrong = try_readme(language, address, Path(empty))
            finally:
                server.terminate()
                server.wait()
        said = f"not placed: {wrong}" if wrong else EXPECTED
        sys.stdout.write(f"{language:<12}{said}\n")
        sys.stdout.flush()
        if wrong:
            failed.append(language)
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
