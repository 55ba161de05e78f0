"""A server as a process among echoes, callers of it, and everything that any of them ever said."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from tests.crash.server import toml
from tests.secrets.echo import Echo
from tests.secrets.planted import Planted, files_below, planted

from smartconnectors_server.call import MethodSpec
from smartconnectors_server.cli import run
from smartconnectors_server.platforms import PLATFORMS

_ROOT = Path(__file__).parents[2]
_PACKAGES = (str(_ROOT / "server"), str(_ROOT / "clients/python"), str(_ROOT))
_LAUNCHER = str(Path(__file__).parent / "launcher.py")
_PATIENCE_S = 40.0
_ENOUGH_BYTES = 1_000
_COLLECTORS_KEY = "the collector's key"
CUSTOMER = "qzCustomerPlanted"
EXPLAINED = {"qzReasonPlanted": "qzBecausePlanted"}
ACCOUNTS: Mapping[str, Mapping[str, Any]] = {
    "google_ads": {"customer_id": "1000000001", "client_id": "client"},
    "meta": {"ad_account_id": "act_1"},
    "trade_desk": {"partner_id": "partner", "login": "somebody"},
}
"""What the real platforms need beside secrets."""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector that keeps what it is sent, and in the end repeats its callers' headers."""

    def __init__(self) -> None:
        self.heard = bytearray()

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.heard += request.SerializeToString()
        if len(self.heard) > _ENOUGH_BYTES:
            said = " ".join(str(value) for _, value in context.invocation_metadata())
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, said)
        return trace_service_pb2.ExportTraceServiceResponse()


class Caller:
    """Whoever bids."""

    def __init__(self, address: str, said: Heard) -> None:
        self._channel = grpc.aio.insecure_channel(address, (("grpc.enable_http_proxy", 0),))
        self._said = said

    async def call(self, platform: str, method: str, **common: Any) -> None:
        """One call; its answer or its error, trailers included, is heard."""
        spec = MethodSpec.of(PLATFORMS[platform].service.methods_by_name[method])
        request: Any = spec.request_class()
        fields = request.DESCRIPTOR.fields_by_name
        json_format.ParseDict({"bid" if "bid" in fields else "update": common}, request)
        ask = self._channel.unary_unary(
            spec.path,
            request_serializer=spec.request_class.SerializeToString,
            response_deserializer=spec.response_class.FromString,
        )
        try:
            answer = await ask(request, timeout=20, metadata=(("authorization", "Bearer x"),))
            self._said.hear("answers", str(answer).encode())
        except grpc.aio.AioRpcError as error:
            self._said.hear("errors", f"{error}{error.trailing_metadata()}".encode())

    async def bid(
        self, platform: str, request_id: str, campaign: str = "1001", **more: Any
    ) -> None:
        await self.call(
            platform,
            "PlaceBid",
            request_id=request_id,
            campaign_id=campaign,
            customer_id=CUSTOMER,
            audience_id=CUSTOMER,
            explanation=EXPLAINED,
            bid_micros=15_000_000,
            predicted_ltv_micros=30_000_000,
            **more,
        )

    async def close(self) -> None:
        await self._channel.close()


class Heard:
    """Everything that was said, by who said it."""

    def __init__(self) -> None:
        self.by: dict[str, bytearray] = {}

    def hear(self, who: str, what: bytes) -> None:
        self.by.setdefault(who, bytearray()).extend(what)


class Scene:
    """One test's world.

    Attributes:
        secrets: name -> value of everything that must not show.
        heard: everything that came out of servers and commands.
        echo: the platforms' real addresses.
    """

    def __init__(self, directory: Path, echo: Echo, collector: Collector, otlp: str) -> None:
        self.directory = directory
        self.echo = echo
        self.heard = Heard()
        self._collector, self._otlp = collector, otlp
        self.planted: tuple[Planted, ...] = planted()
        self.secrets = {one.name: one.shows for one in self.planted}
        self.secrets[_COLLECTORS_KEY] = secrets.token_hex(16)
        self.secrets["the site key"] = secrets.token_hex(32)
        self._processes: list[asyncio.subprocess.Process] = []
        self._callers: list[Caller] = []

    def config(self, name: str, document: Mapping[str, Any]) -> Path:
        """A settings file."""
        path = self.directory / f"{name}.toml"
        path.write_text(toml(document))
        return path

    def document(self, **platform: Any) -> dict[str, Any]:
        """Settings with every secret in them and an account at each real platform; `platform` goes
        into the settings of each.
        """
        document: dict[str, Any] = {
            "server": {
                "state_dir": str(self.directory / "state"),
                "grpc_port": 0,
                "drain_pause_s": 0,
            },
            "http": {"port": 0},
            # Every commit counts as slow, so that there is an alert to deliver.
            "alerts": {"ledger_slow_ms": 1},
            "telemetry": {"otlp_endpoint": self._otlp},
            "platforms": {
                name: {
                    "mode": "live",
                    "options": dict(options),
                    # Every call is to be tried, however many fail.
                    "circuit_breaker": {"failure_threshold": 1000},
                    **platform,
                }
                for name, options in ACCOUNTS.items()
            },
        }
        key_file = self.directory / "given.key"
        key_file.write_text(self.secrets["the site key"])
        document["privacy"] = {"site_key_file": str(key_file)}
        for one in self.planted:
            section = document
            for key in one.keys[:-1]:
                section = section.setdefault(key, {})
            section[one.keys[-1]] = one.value
        return document

    async def start(self, *arguments: str) -> tuple[asyncio.subprocess.Process, Any]:
        """A process that stays, and what its first line says."""
        process = await self._spawn(arguments)
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), _PATIENCE_S)
        self.heard.hear("stdout", line)
        assert line.startswith(b'{"event": "ready"'), self._log().read_text()
        return process, json.loads(line)

    def caller(self, address: str) -> Caller:
        self._callers.append(Caller(address, self.heard))
        return self._callers[-1]

    async def run(self, *arguments: str) -> int:
        """A command that ends; its exit code. In this process: another takes a second to begin."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = await asyncio.to_thread(run, arguments)
        self.heard.hear("commands", out.getvalue().encode())
        return code

    async def run_apart(self, *arguments: str) -> int:
        """The same in a process of its own."""
        process = await self._spawn(arguments)
        assert process.stdout is not None
        self.heard.hear("stdout", await asyncio.wait_for(process.stdout.read(), _PATIENCE_S))
        return await asyncio.wait_for(process.wait(), _PATIENCE_S)

    async def stop(self, process: asyncio.subprocess.Process) -> None:
        """SIGTERM, and the rest of what it says."""
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        self.heard.hear("stdout", await asyncio.wait_for(process.stdout.read(), _PATIENCE_S))
        assert await process.wait() == 0, self._log().read_text()

    def everything(self) -> dict[str, bytes]:
        """Who -> what they said; of files, their paths."""
        said = {who: bytes(what) for who, what in self.heard.by.items()}
        said["collector"] = bytes(self._collector.heard)
        said["stderr"] = self._log().read_bytes()
        for name in ("state", "exports"):
            said.update(files_below(self.directory / name))
        return said

    async def close(self) -> None:
        for caller in self._callers:
            await caller.close()
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _log(self) -> Path:
        return self.directory / "stderr.log"

    async def _spawn(self, arguments: tuple[str, ...]) -> asyncio.subprocess.Process:
        ours = ("GOOGLE_ADS", "META_", "TRADEDESK_", "OTEL_")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        clean["PYTHONPATH"] = os.pathsep.join(_PACKAGES)
        with self._log().open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, _LAUNCHER, str(self.echo.https_port), *arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self.directory,
                env={
                    **clean,
                    **self.echo.environment(),
                    "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={self.secrets[_COLLECTORS_KEY]}",
                },
            )
        self._processes.append(process)
        return process


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    google, trade_desk = f"ya29.{secrets.token_hex(16)}", f"ttd.{secrets.token_hex(16)}"
    echo = Echo(tmp_path, google, trade_desk)
    await echo.start()
    collector, server = Collector(), grpc.aio.server()
    register: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    register(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    scene = Scene(tmp_path, echo, collector, f"127.0.0.1:{port}")
    scene.secrets |= {"Google's access token": google, "The Trade Desk's token": trade_desk}
    yield scene
    await scene.close()
    await server.stop(None)
    await echo.close()
