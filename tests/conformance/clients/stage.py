"""What the scenario is played on: sandboxes, and servers on fresh state, as a user starts them."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.clients.authority import write_certificate
from tests.conformance.clients.languages import Language, environment

from smartconnectors.money import to_micros
from smartconnectors_server.cli.config_file import render_document
from smartconnectors_server.cli.demo.control import Control
from smartconnectors_server.cli.demo.processes import Process
from smartconnectors_server.cli.demo.sent import command_line_of

SCENARIO = Path(__file__).with_name("scenario.toml")
_PLAYED_WITHIN_S = 120
_WIRE_DECIMALS = 6


def read_scenario() -> dict[str, Any]:
    """The scenario, with what its steps leave out."""
    scenario = tomllib.loads(SCENARIO.read_text())
    for step in scenario["steps"]:
        step.setdefault("on", "plain")
        step.setdefault("platform", "google_ads")
    return scenario


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it.

    Attributes:
        lines: by step, in order.
        bought: what each platform applied, by its sandbox's journal: request ids, sorted. A change
            that no bid of the scenario explains is `nobody's`.
        failure: why the runner did not come to its end; empty when it did.
    """

    lines: Mapping[str, list[str]]
    bought: Mapping[str, list[str]]
    failure: str


async def play(scenario: dict[str, Any], language: Language, folder: Path) -> Played:
    """Plays it in one language, on servers of its own. Raises ProcessFailed."""
    async with _servers(scenario, folder) as (control, connections):
        file = folder / "scenario.json"
        file.write_text(json.dumps({"connections": connections, "steps": scenario["steps"]}))
        printed, said = folder / "printed", folder / "said"
        # To files, so that what a runner printed is there when it has to be stopped.
        with printed.open("wb") as out, said.open("wb") as log:
            runner = await asyncio.create_subprocess_exec(
                *language.command(file), stdout=out, stderr=log, env=environment()
            )
        failure = ""
        try:
            async with asyncio.timeout(_PLAYED_WITHIN_S):
                await runner.wait()
            if runner.returncode != 0:
                failure = f"exit code {runner.returncode}\n{said.read_text(errors='replace')}"
        except TimeoutError:
            runner.kill()
            await runner.wait()
            failure = f"not at its end after {_PLAYED_WITHIN_S} s"
        lines: dict[str, list[str]] = {}
        for line in printed.read_text().splitlines():
            step, _, text = line.partition(": ")
            lines.setdefault(step, []).append(text)
        applied = {
            name: bought(scenario, name, await control.journal(name)) for name in scenario["bought"]
        }
    return Played(lines, applied, failure)


@asynccontextmanager
async def _servers(
    scenario: dict[str, Any], folder: Path
) -> AsyncIterator[tuple[Control, dict[str, Any]]]:
    """Starts everything, and yields the sandboxes' control and the connections' addresses."""
    tls = write_certificate(folder)
    tokens = {role: await _token(role, folder) for role in ("bid", "read")}
    guarded = {
        "server": {"tls": {"cert_file": str(tls.certificate), "key_file": str(tls.key)}},
        "access": {"tokens_file": str(folder / "tokens.toml")},
    }
    async with AsyncExitStack() as stack:
        sandboxes = await stack.enter_async_context(
            Process(("sandbox",), log=folder / "sandbox.log")
        )
        control = Control(sandboxes.ready["control"])
        endpoints = {
            one["variable"]: one["endpoint"] for one in sandboxes.ready["platforms"].values()
        }
        for platform, fault in scenario["faults"].items():
            await control.add_fault(platform, fault)
        servers = {}
        for name, settings in scenario["servers"].items():
            config = folder / f"{name}.toml"
            document = {**(guarded if name == "guarded" else {}), **settings}
            config.write_text(render_document({"http": {"enabled": False}, **document}))
            where = ("--grpc-port", "0", "--state-dir", str(folder / name))
            server = Process(
                ("serve", *where, "--config", str(config), "--log-format", "json"),
                log=folder / f"{name}.log",
                variables=endpoints,
            )
            servers[name] = (await stack.enter_async_context(server)).ready["grpc"]
        yield (
            control,
            {
                name: {
                    "target": servers[how["server"]],
                    "tls": how["server"] == "guarded",
                    "ca_file": str(tls.authority) if how.get("ca") else "",
                    "token": tokens[how["token"]] if "token" in how else "",
                    "retries": how.get("retries", True),
                }
                for name, how in scenario["connections"].items()
            },
        )


async def _token(role: str, folder: Path) -> str:
    """Made as an operator makes one."""
    file = ("--file", str(folder / "tokens.toml"))
    process = Process(
        ("token", "create", f"{role}-er", "--role", role, *file, "--json"),
        log=folder / f"token-{role}.log",
    )
    async with process:
        return str(process.ready["token"])


def bought(
    scenario: dict[str, Any], platform: str, journal: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The journal, joined with the bids of the scenario by what they put on the wire.

    Raises ValueError: two bids of the scenario look the same there.
    """
    wire = command_line_of(platform)
    sent: dict[tuple[str, float], str] = {}
    for step in scenario["steps"]:
        if step["platform"] != platform:
            continue
        bids = step.get("bids") or [step["bid"]] if step["call"] != "budget" else []
        for request_id, campaign, amount, ltv in bids:
            value = wire.wire_value(to_micros(amount), to_micros(ltv))
            on_wire = (campaign, round(value, _WIRE_DECIMALS))
            if sent.setdefault(on_wire, request_id) != request_id:
                raise ValueError(f"{request_id} looks like {sent[on_wire]} on the wire")
    found: Counter[str] = Counter()
    for entry in journal:
        if entry["changes"] and entry["applied"]:
            values = list(wire.wire_values(entry["facts"]))
            found.update(
                sent.get((campaign, round(value, _WIRE_DECIMALS)), "nobody's")
                for campaign, value in values
            )
            found["nobody's"] += not values
    return sorted(found.elements())
