"""`smart-connectors serve` as a process that may be dead before it is ready, and callers' channels
to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message_factory import GetMessageClass

from smartconnectors.budgets.v1 import budget_service_pb2_grpc as budgets_grpc
from smartconnectors_server.platforms import PLATFORMS

ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL
READY_WITHIN_S = 60.0
_OURS = ("GOOGLE_ADS", "META_", "TRADEDESK_")
_CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    # A port may come again: what is known of a server that died must not be held against the next.
    ("grpc.use_local_subchannel_pool", 1),
)


def toml(table: Mapping[str, Any], path: str = "") -> str:
    """A TOML document."""
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    lines = [f"[{path}]"] if path and plain else []
    lines += [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines.append(toml(value, f"{path}.{key}" if path else key))
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return json.dumps(value)


class ServerProcess:
    """One life of a server."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.channel: Any = None
        self.budgets: Any = None
        self._places: dict[tuple[str, str], Any] = {}

    @classmethod
    async def start(
        cls,
        directory: Path,
        document: Mapping[str, Any],
        failpoint: str = "",
        wrapper: Sequence[str] = (),
        code: Path = ROOT / "server",
    ) -> ServerProcess:
        """Starts it; `failpoint` is where it dies. `wrapper` is the beginning of a command that
        runs the server in its own place, `code` the directory of its package. The server's log is
        `serve.log` in the directory.
        """
        config = directory / "serve.toml"
        server = {**document["server"], "failpoint": failpoint}
        config.write_text(toml({**document, "server": server, "http": {"port": 0}}))
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        environment["PYTHONPATH"] = os.pathsep.join([str(code), str(ROOT / "clients/python")])
        with (directory / "serve.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *wrapper,
                sys.executable,
                *("-m", "smartconnectors_server", "serve", "--config", str(config)),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        return cls(process)

    async def ready(self) -> bool:
        """True once it takes calls; False when it ended before."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), READY_WITHIN_S)
        if not line.startswith(b'{"event": "ready"'):
            await self.process.wait()
            return False
        self.channel = grpc.aio.insecure_channel(json.loads(line)["grpc"], _CHANNEL_OPTIONS)
        self.budgets = budgets_grpc.BudgetServiceStub(self.channel)
        for name, platform in PLATFORMS.items():
            for method in ("PlaceBid", "PlaceBids"):
                descriptor = platform.service.methods_by_name[method]
                self._places[name, method] = self.channel.unary_unary(
                    f"/{platform.service.full_name}/{method}",
                    request_serializer=GetMessageClass(descriptor.input_type).SerializeToString,
                    response_deserializer=GetMessageClass(descriptor.output_type).FromString,
                )
        return True

    async def place(self, platform: str, request: Any, timeout_s: float) -> Any:
        """PlaceBid. Raises AioRpcError."""
        return await self._places[platform, "PlaceBid"](request, timeout=timeout_s)

    async def place_many(self, platform: str, requests: list[Any], timeout_s: float) -> Any:
        """PlaceBids. Raises AioRpcError."""
        descriptor = PLATFORMS[platform].service.methods_by_name["PlaceBids"]
        request: Any = GetMessageClass(descriptor.input_type)(bids=requests)
        return await self._places[platform, "PlaceBids"](request, timeout=timeout_s)

    def kill(self) -> None:
        """SIGKILL, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def ended(self, within_s: float) -> bool:
        """Waits for its end; False when it lives on."""
        try:
            await asyncio.wait_for(self.process.wait(), within_s)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Kills what is left of it and closes the channel."""
        self.kill()
        await self.process.wait()
        if self.channel is not None:
            await self.channel.close()
