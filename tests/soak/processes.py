"""The two processes of a soak: every platform's sandbox, and the server between it and the load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from smartconnectors_server.ledger.store import FILE_NAME

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60.0
ENDS_WITHIN_S = 60.0
_PACKAGES = (str(ROOT / "server"), str(ROOT / "clients/python"))
_OURS = ("GOOGLE_ADS", "META_", "TRADEDESK_")


class SoakError(Exception):
    """The figures would not mean anything; the message says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """What the load is aimed at."""

    server_id: int
    address: str
    """host:port of the server's gRPC."""
    control: str
    """Base address of the sandboxes' control port."""
    state_dir: Path
    server: asyncio.subprocess.Process

    def closed_holds(self) -> int:
        """How many holds the ledger on disk has closed."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.state_dir / FILE_NAME}?mode=ro", uri=True)
        ) as ledger:
            states = "('held', 'deferred', 'in_doubt')"
            query = f"SELECT count(*) FROM holds WHERE state NOT IN {states}"
            return int(ledger.execute(query).fetchone()[0])


@contextlib.asynccontextmanager
async def _process(*arguments: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`smart-connectors ...`, ended at the end, killed when it does not."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    environment["PYTHONPATH"] = os.pathsep.join(_PACKAGES)
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "smartconnectors_server", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=environment,
            # Ctrl-C is for the soak, which then ends its processes.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), ENDS_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _first_line(process: asyncio.subprocess.Process, what: str) -> dict[str, Any]:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), READY_WITHIN_S)
    if not line:
        raise SoakError(f"the {what} did not start; run with --keep and read its log")
    document: dict[str, Any] = json.loads(line)
    return document


def _toml(table: Mapping[str, Any], path: str = "") -> str:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{path}]"] if path and plain else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines.append(_toml(value, f"{path}.{key}" if path else key))
    return "\n".join(lines)


@contextlib.asynccontextmanager
async def running(scratch: Path, settings: Mapping[str, Any]) -> AsyncIterator[Running]:
    """Starts both. `settings`: as a configuration file has them, without endpoints.

    Raises SoakError, TimeoutError.
    """
    state_dir, config = scratch / "state", scratch / "serve.toml"
    sandbox_log, server_log = scratch / "sandbox.log", scratch / "serve.log"
    async with contextlib.AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(_process("sandbox", log=sandbox_log))
        ready = await _first_line(sandbox, "sandbox")
        document = {**settings, "platforms": dict(settings["platforms"])}
        for name, place in ready["platforms"].items():
            document["platforms"][name] = {
                "endpoint": place["endpoint"],
                **document["platforms"][name],
            }
        document["server"] = {
            **document["server"],
            "grpc_port": 0,
            "state_dir": str(state_dir),
            "log_format": "json",
        }
        document["http"] = {"port": 0}
        config.write_text(_toml(document))
        server = await stack.enter_async_context(
            _process("serve", "--config", str(config), log=server_log)
        )
        address = (await _first_line(server, "server"))["grpc"]
        yield Running(server.pid, address, ready["control"], state_dir, server)


class Control:
    """The sandboxes' control port."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def _ask(self, method: str, path: str, document: Any = None) -> Any:
        url = f"{self._base}/control/{path}"
        async with self._session.request(method, url, json=document) as response:
            answer = await response.json()
            if response.status >= 400:
                raise SoakError(f"{method} {url}: {answer}")
            return answer

    async def take_journal(self, platform: str) -> Sequence[Mapping[str, Any]]:
        """What was written since the last time; the sandbox forgets it."""
        entries: Sequence[Mapping[str, Any]] = await self._ask("DELETE", f"{platform}/journal")
        return entries

    async def add_fault(self, platform: str, **fault: Any) -> None:
        """See `connector/control.py`."""
        await self._ask("POST", f"{platform}/faults", fault)

    async def clear_faults(self, platform: str) -> None:
        """Plays none from now on."""
        await self._ask("DELETE", f"{platform}/faults")
