"""What interoperability is tried on: sandboxes, and servers with TLS that can start again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.clients.authority import Files

from smartconnectors_server.cli.config_file import render_document
from smartconnectors_server.cli.demo.control import Control

READY_WITHIN_S = 60.0
ENDS_WITHIN_S = 60.0
_OURS = ("GOOGLE_ADS", "META_", "TRADEDESK_")


class Failed(Exception):
    """What was to be shown could not be; the message says why."""


@dataclass(frozen=True, slots=True)
class Sandboxes:
    """Every platform's sandbox, as one process."""

    control: Control
    endpoints: Mapping[str, str]
    """Variable -> what a server is to be told."""


@contextlib.asynccontextmanager
async def sandboxes(folder: Path) -> AsyncIterator[Sandboxes]:
    """Starts them. Raises Failed."""
    process = Daemon(_ours("sandbox"), folder / "sandbox.log")
    ready = json.loads(await process.start())
    try:
        endpoints = {one["variable"]: one["endpoint"] for one in ready["platforms"].values()}
        yield Sandboxes(Control(ready["control"]), endpoints)
    finally:
        await process.stop()


class Daemon:
    """A process that stays."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """`log`: where its standard error goes, of each of its lives."""
        self._command = command
        self._log = log
        mine = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        self._variables = {**mine, **(variables or {})}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *, says_ready: bool = True) -> bytes:
        """Its first line of output; without one to wait for, nothing. Raises Failed."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if says_ready else log,
                stderr=log,
                env=self._variables,
            )
        if not says_ready:
            return b""
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN_S):
                line = await self._process.stdout.readline()
        if not line:
            await self.stop()
            raise Failed(f"{self._command[0]} did not start:\n{self.last_words()}")
        return line

    @property
    def running(self) -> bool:
        """False before it is started, and when it has ended, by itself too."""
        return self._process is not None and self._process.returncode is None

    def ask_to_stop(self) -> None:
        """Does not wait for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def stop(self) -> int:
        """Asks it to end and waits; returns its exit code. One that does not end is killed, which
        the exit code says.
        """
        process = self._process
        assert process is not None
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)
            except TimeoutError:
                process.kill()
                await process.communicate()
        assert process.returncode is not None
        return process.returncode

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


class Server(Daemon):
    """`smart-connectors serve` with TLS, on a state directory of its own and at ports that stay.

    Attributes:
        grpc: where it listens.
        http: where it says whether it is ready.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        tls: Files,
        where: Sandboxes,
        settings: Mapping[str, Any],
    ) -> None:
        """`settings`: as a settings file has them, beside `server` and `http`."""
        grpc_port, http_port = free_ports(2)
        self.grpc = f"127.0.0.1:{grpc_port}"
        self.http = f"127.0.0.1:{http_port}"
        config = folder / f"{name}.toml"
        document = {
            "server": {
                "grpc_port": grpc_port,
                "state_dir": str(folder / name),
                "log_format": "json",
                "tls": {"cert_file": str(tls.certificate), "key_file": str(tls.key)},
            },
            "http": {"port": http_port},
            **settings,
        }
        config.write_text(render_document(document))
        super().__init__(
            _ours("serve", "--config", str(config)), folder / f"{name}.log", where.endpoints
        )


async def new_token(role: str, folder: Path) -> str:
    """Made as an operator makes one, in `tokens.toml`. Raises Failed."""
    file = ("--file", str(folder / "tokens.toml"))
    command = _ours("token", "create", f"{role}-er", "--role", role, *file, "--json")
    process = Daemon(command, folder / "token.log")
    made = json.loads(await process.start())
    await process.stop()
    return str(made["token"])


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _ours(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "smartconnectors_server", *arguments]
