"""The demo is a test as well: every row of it is what the specification says."""

from __future__ import annotations

import json
import subprocess
import sys

from smartconnectors_server.platforms import PLATFORMS


def test_every_scenario_of_the_specification_ends_as_it_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smartconnectors_server", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    differing = [row for row in document["rows"] if not row["ok"]]
    assert differing == []
    assert done.returncode == 0
    assert document["ok"] is True

    played = {row["scenario"] for row in document["rows"]}
    assert played == {scenario["name"] for scenario in document["scenarios"]}
    figures = {f"{platform}-figures" for platform in PLATFORMS}
    further = {"crowd", "quota", "breaker", "together", "one-down", "kill-switch", "first-day"}
    assert figures | further <= played
