"""Plays every scenario: one process for the sandboxes, one server on fresh state for each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grpc import aio

from smartconnectors.client import Client, ServiceError
from smartconnectors_server.cli.config_file import render_document
from smartconnectors_server.cli.demo import figures, first_day, google_ads, kill_switch, together
from smartconnectors_server.cli.demo.control import Control
from smartconnectors_server.cli.demo.processes import Process, ProcessFailed
from smartconnectors_server.cli.demo.sent import SentTable
from smartconnectors_server.cli.demo.stage import Row, Scenario, Stage

SCENARIOS: tuple[Scenario, ...] = (
    *figures.SCENARIOS,
    *google_ads.SCENARIOS,
    *together.SCENARIOS,
    *kill_switch.SCENARIOS,
    *first_day.SCENARIOS,
)
"""Every scenario, in the order of the table."""


async def play_all(scenarios: tuple[Scenario, ...], tell: Callable[[str], None]) -> list[Row]:
    """Plays them and returns the table. `tell` gets a line for each scenario as it ends.

    Raises:
        ProcessFailed: the sandboxes did not start.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="smart-connectors-demo-") as name:
        scratch = Path(name)
        async with Process(("sandbox",), log=scratch / "sandbox.log") as sandboxes:
            control = Control(sandboxes.ready["control"])
            variables = {
                one["variable"]: one["endpoint"] for one in sandboxes.ready["platforms"].values()
            }
            for number, scenario in enumerate(scenarios, start=1):
                await control.reset()
                folder = scratch / scenario.name
                folder.mkdir()
                played = await _play(scenario, folder, control, variables)
                rows += played
                verdict = "as expected" if all(row.ok for row in played) else "DIFFERS"
                tell(f"{number}/{len(scenarios)} {scenario.title} {verdict}")
    return rows


async def _play(
    scenario: Scenario, folder: Path, control: Control, variables: dict[str, str]
) -> list[Row]:
    rows: list[Row] = []
    sent = SentTable()
    for number, act in enumerate(scenario.acts, start=1):
        config = folder / f"settings-{number}.toml"
        config.write_text(render_document(act.settings), encoding="utf-8")
        where = ("--grpc-port", "0", "--state-dir", str(folder / "state"))
        adopt = (each for name in act.adopt for each in ("--adopt", name))
        server = Process(
            ("serve", *where, *adopt, "--config", str(config), "--log-format", "json"),
            log=folder / f"server-{number}.log",
            variables=variables,
        )
        try:
            async with server, Client(server.ready["grpc"]) as client:
                await act.play(Stage(scenario, client, control, sent, rows))
        except (ServiceError, aio.AioRpcError, OSError, ProcessFailed) as error:
            what = error.details() if isinstance(error, aio.AioRpcError) else str(error)
            last_words = "" if isinstance(error, ProcessFailed) else f"\n{server.last_words()}"
            observed = f"no: {what}{last_words}"
            rows.append(Row(scenario.name, "plays to its end", "yes", observed, ok=False))
            break
    return rows


def settings_text(scenario: Scenario) -> str:
    """`platforms.google_ads.budget.limit = "1000.00", ...`, or `the defaults`."""
    acts = [", ".join(_flat("", act.settings)) or "the defaults" for act in scenario.acts]
    return "; then ".join(acts)


def _flat(path: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [
            line
            for key, item in value.items()
            for line in _flat(f"{path}.{key}" if path else key, item)
        ]
    return [f"{path} = {json.dumps(value)}"]
