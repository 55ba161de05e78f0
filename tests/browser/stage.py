"""Real processes to look at: a server and each platform's sandbox, which can be killed and come
back where they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
from tests.server.access.stage import entry

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.budgets.v1 import budget_service_pb2_grpc as budgets_grpc
from smartconnectors.common.v1 import bid_pb2, budget_pb2
from smartconnectors.credentials import interceptors
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2_grpc as ads_grpc
from smartconnectors_server.platforms import PLATFORMS

ROOT = Path(__file__).resolve().parents[2]
USD = 1_000_000
READY_WITHIN_S = 60.0
OPERATOR, READER = "operates-the-page", "reads-the-page"
_OURS = ("GOOGLE_ADS", "META_", "TRADEDESK_")


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def eventually(
    look: Callable[[], Awaitable[Any]], until: Callable[[Any], bool], within_s: float = 120.0
) -> Any:
    """What is seen once `until` holds of it. Fails with the last thing seen."""
    deadline = time.monotonic() + within_s
    while True:
        seen = await look()
        if until(seen):
            return seen
        assert time.monotonic() < deadline, f"not within {within_s} s; last seen: {seen}"
        await asyncio.sleep(0.02)


def toml(table: Mapping[str, Any], path: str = "") -> str:
    """As a configuration file; strings, numbers and booleans are written as JSON writes them."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{path}]"] if path and plain else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines.append(toml(value, f"{path}.{key}" if path else key))
    return "\n".join(lines)


def bid(
    request_id: str, usd: float | None = 15, *, campaign: str = "1001", ltv_usd: float = 60
) -> ads_pb2.PlaceBidRequest:
    """A bid on Google Ads; `usd` None: the service prices it."""
    common = bid_pb2.BidRequest(
        request_id=request_id, campaign_id=campaign, predicted_ltv_micros=round(ltv_usd * USD)
    )
    if usd is not None:
        common.bid_micros = round(usd * USD)
    return ads_pb2.PlaceBidRequest(bid=common)


class Caller:
    """A connection to the server."""

    def __init__(self, address: str, token: str = "") -> None:
        shown = interceptors(token) if token else []
        options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
        self._channel = grpc.aio.insecure_channel(address, options, interceptors=shown)
        self._ads: Any = ads_grpc.GoogleAdsServiceStub(self._channel)
        self._budgets: Any = budgets_grpc.BudgetServiceStub(self._channel)

    async def place(self, request: ads_pb2.PlaceBidRequest) -> bid_pb2.BidResponse:
        """Raises AioRpcError."""
        answer = await self._ads.PlaceBid(request, timeout=60)
        result: bid_pb2.BidResponse = answer.result
        return result

    async def stats(self, budget_id: str = "google_ads") -> budget_pb2.BudgetStats:
        """A budget now."""
        request = budgets_pb2.GetBudgetStatsRequest(budget_id=budget_id)
        stats: budget_pb2.BudgetStats = (await self._budgets.GetBudgetStats(request)).stats
        return stats

    async def alerts(self) -> list[budgets_pb2.Alert]:
        """The newest, newest first."""
        request = budgets_pb2.ListAlertsRequest(newest_first=True)
        return list((await self._budgets.ListAlerts(request)).alerts)

    async def close(self) -> None:
        """Hangs up."""
        await self._channel.close()


@dataclass(slots=True)
class _Process:
    command: tuple[str, ...]
    log: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> dict[str, Any]:
        """The line of JSON that it prints when it is ready."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        packages = (ROOT / "server", ROOT / "clients" / "python", ROOT)
        environment["PYTHONPATH"] = os.pathsep.join(map(str, packages))
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self.command),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), READY_WITHIN_S)
        assert line, self.log.read_text()[-2000:]
        ready: dict[str, Any] = json.loads(line)
        return ready

    async def kill(self) -> None:
        """As `kill -9`."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            # To the end of what it printed, so that the pipe is closed too.
            await self.process.communicate()


class Stage:
    """A server, its sandboxes, and who calls.

    Attributes:
        page: the dashboard's address.
        log: what the server writes, a line of JSON each.
        caller: of the server, once it is started.
    """

    caller: Caller

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = {name: free_port() for name in ("grpc", "http", *PLATFORMS)}
        self._sandboxes = {
            name: _Process(
                ("tests.browser.one_sandbox", name, str(self._ports[name])),
                directory / f"{name}.log",
            )
            for name in PLATFORMS
        }
        self.page = f"http://127.0.0.1:{self._ports['http']}"
        self.log = directory / "serve.log"
        self._config = directory / "serve.toml"
        self._server = _Process(
            ("smartconnectors_server", "serve", "--config", str(self._config)), self.log
        )
        self._token = ""
        self._endpoints: dict[str, str] = {}
        self._controls: dict[str, str] = {}

    async def start(self, *, guarded: bool = False, **google: Any) -> None:
        """Everything. `guarded`: with tokens, `OPERATOR` and `READER`; `google`: settings of that
        platform.
        """
        await asyncio.gather(*(self.start_sandbox(name) for name in self._sandboxes))
        platforms = {
            name: {
                "endpoint": self._endpoints[name],
                "rate_limit": {"calls": 1000, "window_s": 60},
                "budget": {"limit": "1000"},
            }
            for name in self._sandboxes
        }
        platforms["google_ads"].update(google)
        settings: dict[str, Any] = {
            "server": {
                "state_dir": str(self._directory / "state"),
                "grpc_port": self._ports["grpc"],
                "drain_pause_s": 0,
                "log_format": "json",
            },
            "http": {"port": self._ports["http"]},
            "alerts": {"begins_after_s": 0, "ends_after_s": 0},
            "reconciler": {"interval_s": 0.2},
            "platforms": platforms,
        }
        if guarded:
            tokens = self._directory / "tokens.toml"
            tokens.write_text(
                entry(OPERATOR, "operate", "operator") + entry(READER, "read", "reader")
            )
            settings["access"] = {"tokens_file": str(tokens)}
            self._token = OPERATOR
        self._config.write_text(toml(settings))
        await self.start_server()

    async def start_server(self) -> None:
        """Again, where it was."""
        told = await self._server.start()
        self.caller = Caller(told["grpc"], self._token)

    async def kill_server(self) -> None:
        """Without a drain."""
        await self.caller.close()
        await self._server.kill()

    async def start_sandbox(self, platform: str) -> None:
        """Again, where it was."""
        ready = await self._sandboxes[platform].start()
        self._endpoints[platform], self._controls[platform] = ready["endpoint"], ready["control"]

    async def ask(self, platform: str, what: str, document: Any) -> None:
        """Tells a sandbox to play something; see `connector/control.py`."""
        url = f"{self._controls[platform]}/control/{platform}/{what}"
        async with aiohttp.ClientSession() as session, session.post(url, json=document) as told:
            assert told.status < 300, await told.text()

    async def kill_sandbox(self, platform: str) -> None:
        """Its socket is closed, and what it knew is gone."""
        await self._sandboxes[platform].kill()

    async def close(self) -> None:
        """Ends everything that is still there."""
        if hasattr(self, "caller"):
            await self.caller.close()
        for one in (self._server, *self._sandboxes.values()):
            await one.kill()
