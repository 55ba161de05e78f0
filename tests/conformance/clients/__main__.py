"""Plays the scenario with the client of every language, against real servers.

    python -m tests.conformance.clients [python python-sync go typescript java] [--json]

Each language has servers of its own on fresh state. Prints a table of steps and languages, and
where a line differs from the scenario's, both. Exits with 1 when one does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.conformance.clients.languages import LANGUAGES, NotBuilt
from tests.conformance.clients.stage import Played, play, read_scenario

from smartconnectors_server.cli.demo.processes import ProcessFailed
from smartconnectors_server.cli.output import print_table

BOUGHT = "bought, by the journals"


def tell(line: str) -> None:
    """Says how far it is, where results do not go."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def expected_lines(scenario: dict[str, Any]) -> dict[str, list[str]]:
    """What each step prints, and what was bought at its end."""
    bought = [f"{name}: {', '.join(ids)}" for name, ids in scenario["bought"].items()]
    return {**{step["name"]: step["prints"] for step in scenario["steps"]}, BOUGHT: bought}


def seen_lines(played: Played) -> dict[str, list[str]]:
    """The same, as it came."""
    bought = [f"{name}: {', '.join(ids)}" for name, ids in played.bought.items()]
    return {**played.lines, BOUGHT: bought}


def play_in(name: str, scenario: dict[str, Any]) -> Played:
    """Builds a language's runner and plays."""
    language = LANGUAGES[name]
    try:
        language.make()
        with tempfile.TemporaryDirectory(prefix="scenario-") as folder:
            return asyncio.run(play(scenario, language, Path(folder)))
    except (NotBuilt, ProcessFailed) as error:
        return Played({}, {}, str(error))


def differences(
    expected: dict[str, list[str]], results: dict[str, Played]
) -> list[tuple[str, str, list[str], list[str]]]:
    """(language, step, expected lines, seen lines) of each step that differs, and of each step that
    the scenario does not have.
    """
    found = []
    for language, played in results.items():
        seen = seen_lines(played)
        found += [
            (language, step, expected.get(step, []), seen.get(step, []))
            for step in {**expected, **seen}
            if expected.get(step) != seen.get(step)
        ]
    return found


def main() -> int:
    """Plays the languages that were named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.clients")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=", ".join(LANGUAGES))
    parser.add_argument("--json", action="store_true", help="results for machines")
    arguments = parser.parse_args()
    names = arguments.languages or list(LANGUAGES)
    if unknown := set(names) - set(LANGUAGES):
        parser.error(f"no client is called {', '.join(sorted(unknown))}")
    scenario = read_scenario()
    expected = expected_lines(scenario)
    results, seconds = {}, {}
    for number, name in enumerate(names, start=1):
        started = time.monotonic()
        results[name] = play_in(name, scenario)
        seconds[name] = round(time.monotonic() - started, 1)
        tell(f"{number}/{len(names)} {name}: {seconds[name]} s")
    differing = differences(expected, results)
    failed = {name: played.failure for name, played in results.items() if played.failure}
    if arguments.json:
        told = [
            {"language": language, "step": step, "expected": wanted, "seen": seen}
            for language, step, wanted, seen in differing
        ]
        ok = not (differing or failed)
        document = {"ok": ok, "seconds": seconds, "differing": told, "failed": failed}
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        wrong = {(language, step) for language, step, _, _ in differing}
        rows = [
            [step, *("DIFFERS" if (name, step) in wrong else "ok" for name in names)]
            for step in expected
        ]
        print_table(("step", *names), rows, empty="The scenario has no steps.")
        for language, step, wanted, seen in differing:
            sys.stdout.write(f"\n{language}, {step}:\n")
            sys.stdout.writelines(f"  - {line}\n" for line in wanted)
            sys.stdout.writelines(f"  + {line}\n" for line in seen)
        sys.stdout.writelines(f"\n{name}: {why}\n" for name, why in failed.items())
    return 1 if differing or failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
