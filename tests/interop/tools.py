"""Tries standard tools, as they come, on a server with TLS and tokens.

    python -m tests.interop.tools [grpcurl grpc_health_probe ghz buf] [--json]

They know the service by its reflection alone. What they bought is counted at the sandbox's
journal. Prints a table; exits with 1 when a tool does not see what is expected, with 3 when Go is
not installed. The first three are built from `tests/interop/go`, which pins them, into
`build/interop/`; buf is one of our development dependencies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tests.conformance.clients.authority import write_certificate
from tests.interop.accounting import account
from tests.interop.processes import Failed, Server, new_token, sandboxes
from tests.interop.trying import LIMIT, PLATFORM, TOOLS, Seen, Try

from smartconnectors_server.cli.demo.sent import WIRE_DECIMALS, command_line_of
from smartconnectors_server.cli.output import print_table

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "interop"
MODULE = Path(__file__).parent / "go"
BUILT_WITHIN_S = 600
NOT_BUILT = 3
JOURNAL = "journal"
FROM_GO = ("grpcurl", "grpc_health_probe", "ghz")


def build() -> None:
    """Builds what is not built yet, or of other versions. Raises Failed."""
    command = ["go", "build", "-ldflags=-s -w", "-o", f"{BUILT}/", "tool"]
    try:
        made = subprocess.run(
            command, cwd=MODULE, capture_output=True, text=True, timeout=BUILT_WITHIN_S, check=False
        )
    except FileNotFoundError:
        raise Failed("go is not installed") from None
    if made.returncode != 0:
        raise Failed(f"{' '.join(command)}\n{made.stdout}{made.stderr}")


async def try_tools(names: Sequence[str], folder: Path) -> list[Seen]:
    """What each of them saw. Raises Failed."""
    certificates = write_certificate(folder)
    token = await new_token("bid", folder)
    settings = {
        "access": {"tokens_file": str(folder / "tokens.toml")},
        "platforms": {
            PLATFORM: {
                "rate_limit": {"calls": 100_000},
                "budget": {"limit": LIMIT},
                # A busy machine is not a sick platform.
                "circuit_breaker": {"slow_call_ms": 60_000},
            }
        },
    }
    async with AsyncExitStack() as stack:
        where = await stack.enter_async_context(sandboxes(folder))
        server = Server("tools", folder, certificates, where, settings)
        await server.start()
        stack.push_async_callback(server.stop)
        trial = Try(server.grpc, certificates.authority, token, BUILT, folder)
        seen = [one for name in names for one in await TOOLS[name](trial)]
        journal = await where.control.journal(PLATFORM)
        wire = command_line_of(PLATFORM)
        values = [
            (campaign, round(value, WIRE_DECIMALS))
            for entry in journal
            if entry["changes"] and entry["applied"]
            for campaign, value in wire.wire_values(entry["facts"])
        ]
        found = account(trial.told, [trial.sent.get(value, "") for value in values])
        what = f"{len(trial.told)} bids, each of them once"
        seen.append(Seen(JOURNAL, what, found.holds, "\n".join(found.words())))
        if "grpc_health_probe" in names:
            server.ask_to_stop()
            seen += await TOOLS["draining"](trial)
    return seen


def main() -> int:
    """Tries the tools that were named, or all; returns the exit code."""
    known = [name for name in TOOLS if name != "draining"]
    parser = argparse.ArgumentParser(prog="python -m tests.interop.tools")
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=", ".join(known))
    parser.add_argument("--json", action="store_true", help="results for machines")
    chosen = parser.parse_args()
    names = chosen.tools or known
    if unknown := set(names) - set(known):
        parser.error(f"no tool is called {', '.join(sorted(unknown))}")
    try:
        if set(names) & set(FROM_GO):
            build()
        with tempfile.TemporaryDirectory(prefix="tools-") as folder:
            seen = asyncio.run(try_tools(names, Path(folder)))
    except Failed as error:
        sys.stderr.write(f"{error}\n")
        return NOT_BUILT if str(error).endswith("not installed") else 1
    if chosen.json:
        told = [{"tool": one.tool, "what": one.what, "ok": one.ok} for one in seen]
        sys.stdout.write(json.dumps({"ok": all(one.ok for one in seen), "seen": told}) + "\n")
    else:
        rows = [(one.tool, one.what, "ok" if one.ok else "DIFFERS") for one in seen]
        print_table(("tool", "what", ""), rows, empty="No tool was tried.")
        for one in seen:
            if not one.ok:
                sys.stdout.write(f"\n{one.tool}, {one.what}:\n{one.said}\n")
    return int(not all(one.ok for one in seen))


if __name__ == "__main__":
    raise SystemExit(main())
