"""A stage: the real sandboxes on sockets, servers in this process and as processes, real channels.

Everything here runs in one event loop, so that the sandboxes (slow to import) are made once.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from tests.end_to_end.refusals import Refusal, refusal_of, refused

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.budgets.v1 import budget_service_pb2_grpc as budgets_grpc
from smartconnectors.common.v1 import bid_pb2, budget_pb2
from smartconnectors.credentials import interceptors
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2_grpc as ads_grpc
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.clock import Clock
from smartconnectors_server.connector import Platform
from smartconnectors_server.connector.sandbox import Fault, FaultKind, JournalEntry
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.settings import Settings
from smartconnectors_server.telemetry import Telemetry

USD = 1_000_000
"""Micros of a dollar."""
MUTATE = "Mutate"
_ROOT = Path(__file__).parents[2]
_PACKAGES = (str(_ROOT / "server"), str(_ROOT / "clients/python"))
_CHANNEL_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))
PATIENCE_S = 120.0
"""After this a test gives up: far longer than anything takes on a slow, busy machine."""
PATIENT_BREAKER = {"slow_call_ms": 60_000}
"""No call is too slow, however busy this machine is. Tests about slowness set their own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        function = getattr(item, "function", None)
        if item.path.parent == Path(__file__).parent and inspect.iscoroutinefunction(function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


async def eventually(
    look: Callable[[], Any], until: Callable[[Any], bool], within_s: float = PATIENCE_S
) -> Any:
    """Looks until `until` holds of what is seen. Fails with the last thing seen."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        value: Any = await seen if inspect.isawaitable(seen) else seen
        if until(value):
            return value
        assert time.monotonic() < deadline, f"not within {within_s} s; last seen: {value}"
        await asyncio.sleep(0.02)


def bid(
    request_id: str,
    usd: float | None = 15,
    *,
    campaign: str = "1001",
    ltv_usd: float = 30,
    knob: Mapping[str, Any] | None = None,
    **fields: Any,
) -> ads_pb2.PlaceBidRequest:
    """A bid; `usd` None: the service prices it. ROAS = ltv_usd / usd; campaigns start at 4."""
    common = bid_pb2.BidRequest(
        request_id=request_id,
        campaign_id=campaign,
        predicted_ltv_micros=round(ltv_usd * USD),
        **fields,
    )
    if usd is not None:
        common.bid_micros = round(usd * USD)
    return ads_pb2.PlaceBidRequest(bid=common, **(knob or {}))


class Link:
    """A caller's connection to a server."""

    def __init__(self, address: str) -> None:
        self.use(address)

    def use(self, address: str, token: str = "") -> None:
        """Speaks to the server at this address from now on, and shows this token."""
        self.address = address
        shown = interceptors(token) if token else []
        self.channel = grpc.aio.insecure_channel(address, _CHANNEL_OPTIONS, interceptors=shown)
        self.ads: Any = ads_grpc.GoogleAdsServiceStub(self.channel)
        self.budgets: Any = budgets_grpc.BudgetServiceStub(self.channel)

    async def place(self, request: ads_pb2.PlaceBidRequest, timeout: float = PATIENCE_S) -> Any:
        return (await self.ads.PlaceBid(request, timeout=timeout)).result

    async def stats(self, budget_id: str = "google_ads") -> budget_pb2.BudgetStats:
        """The budget now."""
        request = budgets_pb2.GetBudgetStatsRequest(budget_id=budget_id)
        stats: budget_pb2.BudgetStats = (await self.budgets.GetBudgetStats(request)).stats
        return stats

    async def money(self) -> dict[str, int]:
        """What the budget counts, in micros; what is zero is left out."""
        stats = await self.stats()
        names = ("committed", "held", "deferred", "in_doubt")
        figures = {name: getattr(stats, f"{name}_micros") for name in names}
        return {name: micros for name, micros in figures.items() if micros}

    async def audited(self, request_id: str, *verbs: str) -> list[budgets_pb2.LedgerEntry]:
        """Waits until what the audit ledger says of a request ends so; it is written behind."""
        request = budgets_pb2.ListLedgerEntriesRequest(request_id=request_id)

        async def entries() -> list[budgets_pb2.LedgerEntry]:
            return list((await self.budgets.ListLedgerEntries(request)).entries)

        seen: list[budgets_pb2.LedgerEntry] = await eventually(
            entries,
            lambda lines: [line.verb for line in lines][len(lines) - len(verbs) :] == list(verbs),
        )
        return seen

    async def settled_to(self, **expected_micros: int) -> dict[str, int]:
        """Waits until the budget counts exactly this."""
        money: dict[str, int] = await eventually(self.money, lambda m: m == expected_micros)
        return money

    async def close(self) -> None:
        await self.channel.close()


class Server(Link):
    """A server in this process, and a connection to it."""

    def __init__(self, app: Application, address: str) -> None:
        super().__init__(address)
        self.app = app
        self.core = app.core
        self._stopped = False

    async def stop_server(self) -> None:
        """Drains and stops, once; the connection stays."""
        if not self._stopped:
            self._stopped = True
            await self.app.stop()

    async def stop(self) -> None:
        """Drains and stops, once, and closes the connection."""
        await self.close()
        await self.stop_server()


class Process(Link):
    """`smart-connectors serve` as a process, and a connection to it."""

    def __init__(self, process: asyncio.subprocess.Process, address: str, log: Path) -> None:
        super().__init__(address)
        self.process = process
        self.log = log

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, within_s: float = PATIENCE_S) -> int:
        """The exit code; negative: the signal that killed it."""
        return await asyncio.wait_for(self.process.wait(), within_s)

    async def kill(self) -> None:
        """As `kill -9`."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.ended()


def _toml(table: Mapping[str, Any], path: str = "") -> str:
    """A TOML document; strings, numbers and booleans are written as JSON writes them."""
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping) and v is not None}
    lines = [f"[{path}]"] if path and plain else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines.append(_toml(value, f"{path}.{key}" if path else key))
    return "\n".join(lines)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return merged


class Stage:
    """What a test plays on."""

    def __init__(self, sandboxes: Mapping[str, tuple[Any, str]], directory: Path) -> None:
        """`sandboxes`: platform -> its sandbox and endpoint."""
        self.sandboxes = {name: sandbox for name, (sandbox, _) in sandboxes.items()}
        self.endpoints = {name: endpoint for name, (_, endpoint) in sandboxes.items()}
        self.sandbox = self.sandboxes["google_ads"]
        self.endpoint = self.endpoints["google_ads"]
        self.directory = directory
        self._running: list[Server] = []
        self._processes: list[Process] = []

    # The platform's side

    async def fault(
        self,
        kind: FaultKind,
        *,
        times: int = 1,
        delay_ms: int = 0,
        method: str = MUTATE,
        platform: str = "google_ads",
    ) -> None:
        """Plays a fault, for changes on Google Ads unless said otherwise."""
        fault = Fault(kind, times=times, delay_ms=delay_ms, method=method)
        await self.sandboxes[platform].add_fault(fault)

    def mutates(self, request_id: str = "") -> list[JournalEntry]:
        """Every change that the platform applied; of one request, told by its marker."""
        applied = [e for e in self.sandbox.journal() if e.changes and e.applied]
        if not request_id:
            return applied
        return [
            entry
            for entry in applied
            if entry.facts.get("custom_parameters", {}).get("kikireq") == request_id
        ]

    # Our side

    def document(self, overrides: Mapping[str, Any], state: str) -> dict[str, Any]:
        """Settings for a server on this stage, as a configuration file has them.

        `overrides`: of Google Ads, but for `server`, `access`, `alerts`, `ledger`, `reconciler`,
        `total_budget`, and `each`, which has overrides for any platform by its name.
        """
        sections = ("server", "access", "alerts", "ledger", "reconciler", "total_budget")
        base = {
            "server": {
                "state_dir": str(self.directory / state),
                "grpc_port": 0,
                "drain_pause_s": 0,
                "log_format": "json",
            },
            "reconciler": {"interval_s": 0.1},
            "platforms": {
                name: {
                    "endpoint": endpoint,
                    "rate_limit": {"calls": 100_000},
                    "budget": {"limit": "1000"},
                    "circuit_breaker": PATIENT_BREAKER,
                }
                for name, endpoint in self.endpoints.items()
            },
        }
        ours = {key: value for key, value in overrides.items() if key in sections}
        theirs = {k: v for k, v in overrides.items() if k not in (*sections, "each")}
        document = _merged(base, {**ours, "platforms": {"google_ads": theirs}})
        return _merged(document, {"platforms": overrides.get("each", {})})

    def settings(self, overrides: Mapping[str, Any], state: str = "state") -> Settings:
        """The same, read."""
        return load_settings(None, {}, self.document(overrides, state))

    async def serve(
        self,
        *,
        state: str = "state",
        clock: Clock | None = None,
        platforms: Mapping[str, Platform] = PLATFORMS,
        telemetry: Telemetry | None = None,
        **overrides: Any,
    ) -> Server:
        """A server in this process."""
        settings = self.settings(overrides, state)
        app = Application(settings, clock=clock, platforms=platforms, telemetry=telemetry)
        server = Server(app, (await app.start()).grpc_address)
        self._running.append(server)
        await eventually(lambda: app.ready, bool)
        return server

    async def spawn(
        self, *arguments: str, state: str = "state", **overrides: Any
    ) -> asyncio.subprocess.Process:
        """`serve` as a process, whatever becomes of it. Its log is `serve.log`."""
        config = self.directory / "serve.toml"
        config.write_text(_toml({"http": {"port": 0}, **self.document(overrides, state)}))
        ours = ("GOOGLE_ADS", "META_", "TRADEDESK_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        environment["PYTHONPATH"] = os.pathsep.join(_PACKAGES)
        with (self.directory / "serve.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "smartconnectors_server", "serve", "--config", str(config), *arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
            )

    async def process(self, *arguments: str, state: str = "state", **overrides: Any) -> Process:
        """`serve` as a process, once it is ready."""
        process = await self.spawn(*arguments, state=state, **overrides)
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        log = self.directory / "serve.log"
        assert line.startswith(b'{"event": "ready"'), (line, log.read_text())
        running = Process(process, json.loads(line)["grpc"], log)
        self._processes.append(running)
        return running

    async def close(self) -> None:
        for process in self._processes:
            await process.close()
            await process.kill()
        for server in self._running:
            await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def platform_sandboxes() -> AsyncIterator[Mapping[str, tuple[Any, str]]]:
    """Every platform's sandbox and its endpoint, once for all tests."""
    sandboxes = {name: platform.sandbox() for name, platform in PLATFORMS.items()}
    yield {name: (sandbox, await sandbox.start()) for name, sandbox in sandboxes.items()}
    for sandbox in sandboxes.values():
        await sandbox.close()


@pytest_asyncio.fixture(loop_scope="session")
async def stage(
    platform_sandboxes: Mapping[str, tuple[Any, str]], tmp_path: Path
) -> AsyncIterator[Stage]:
    """A stage with fresh sandboxes; everything that was started on it ends with the test."""
    for sandbox, _ in platform_sandboxes.values():
        await sandbox.reset()
    stage = Stage(platform_sandboxes, tmp_path)
    yield stage
    for sandbox in stage.sandboxes.values():
        await sandbox.clear_faults()
    await stage.close()


@dataclass(frozen=True)
class Words:
    """What tests say, handed over as a fixture because test files do not import each other."""

    bid: Callable[..., ads_pb2.PlaceBidRequest] = bid
    refused: Callable[[Awaitable[Any]], Awaitable[Refusal]] = refused
    refusal_of: Callable[[Any], Refusal] = refusal_of
    eventually: Callable[..., Awaitable[Any]] = eventually


@pytest.fixture(scope="session")
def say() -> Words:
    """How to bid, how to read a refusal, how to wait."""
    return Words()
