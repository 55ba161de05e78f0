"""A sandbox reaches nothing real, whatever else is configured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
from tests.security.bidding import USD, bidding
from tests.server.platforms.trade_desk.conftest import OpenGate

from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.checks import check_start
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector import Context, Mode
from smartconnectors_server.errors import ConnectorError, PlatformUnavailable
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.platforms.trade_desk.connection import Connection
from smartconnectors_server.platforms.trade_desk.options import TradeDeskOptions
from smartconnectors_server.platforms.trade_desk.reports import Reports
from smartconnectors_server.platforms.trade_desk.sandbox import TradeDeskSandbox
from smartconnectors_server.startup import StartupError

EXCHANGE = "http://127.0.0.1:9/bids"
REAL = {
    "google_ads": ["googleads.googleapis.com:443", "https://googleads.googleapis.com"],
    "meta": ["https://graph.facebook.com", "graph.facebook.com", "https://GRAPH.facebook.com./"],
    "trade_desk": ["https://api.thetradedesk.com/v3", "api.thetradedesk.com:443"],
}


def settings_of(directory: Path, name: str, **chosen: Any) -> Any:
    document = {
        "server": {"state_dir": str(directory / "state"), "grpc_port": 0},
        "platforms": {
            **{other: {"enabled": False} for other in PLATFORMS if other != name},
            name: chosen,
        },
    }
    return load_settings(None, {}, document)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"mode": "sandbox"},
        {"endpoint": "127.0.0.1:1"},
        {"endpoint": "127.0.0.1:1", "mode": "live"},
        {"endpoint": "127.0.0.1:1", "mode": "shadow"},
    ],
)
def test_a_start_with_an_exchange_beside_a_sandbox_is_refused(
    chosen: dict[str, Any], tmp_path: Path
) -> None:
    options = {"exchange_endpoint": EXCHANGE}
    settings = settings_of(tmp_path, "trade_desk", options=options, **chosen)
    with pytest.raises(StartupError, match="exchange_endpoint"):
        check_start(settings)
    with pytest.raises(StartupError, match="exchange_endpoint"):
        Application(settings)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:7", "http://127.0.0.1:7/v3"])
@pytest.mark.parametrize(
    "exchange", ["", "http://127.0.0.1:7/exchange/bids", "http://127.0.0.1:7/other"]
)
def test_no_exchange_or_the_sandboxs_own_is_taken(
    endpoint: str, exchange: str, tmp_path: Path
) -> None:
    options = {"exchange_endpoint": exchange}
    check_start(settings_of(tmp_path, "trade_desk", endpoint=endpoint, options=options))


def test_an_exchange_is_taken_where_bids_are_live(tmp_path: Path) -> None:
    options = {"api_token": "t", "partner_id": "p", "exchange_endpoint": EXCHANGE}
    check_start(settings_of(tmp_path, "trade_desk", mode="live", options=options))


@pytest.mark.parametrize(
    ("name", "endpoint"), [(name, one) for name, each in REAL.items() for one in each]
)
@pytest.mark.parametrize("mode", [None, "sandbox"])
def test_a_sandbox_at_the_real_platforms_address_is_refused(
    name: str, endpoint: str, mode: str | None, tmp_path: Path
) -> None:
    chosen = {"endpoint": endpoint} if mode is None else {"endpoint": endpoint, "mode": mode}
    with pytest.raises(StartupError, match="endpoint"):
        check_start(settings_of(tmp_path, name, **chosen))


def test_the_trade_desks_own_partner_sandbox_is_a_sandbox(tmp_path: Path) -> None:
    endpoint = "https://ext-api.sb.thetradedesk.com"
    check_start(settings_of(tmp_path, "trade_desk", endpoint=endpoint))


class Listener:
    """Something on this machine that is no sandbox."""

    def __init__(self) -> None:
        self.connections = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._took, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def _took(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


@pytest.fixture
async def outside() -> AsyncIterator[Listener]:
    made = Listener()
    yield made
    await made.close()


def auction() -> dict[str, Any]:
    document = {
        "id": "a",
        "imp": [{"id": "1", "banner": {"w": 300, "h": 250}}],
        "site": {},
    }
    return {"bid_request_json": json.dumps(document), "price_cpm_micros": 2 * USD}


async def test_a_bid_of_a_sandbox_goes_to_its_own_exchange(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with bidding("trade_desk", tmp_path, clock) as stage:
        answer = await stage.ask("bidder", stage.request("1001", USD, open_rtb=auction()))
        assert answer.open_rtb.submitted
        assert stage.changes()[-1].facts["auction_id"] == "a"


async def test_a_connector_in_a_sandbox_submits_nowhere_else_either(
    outside: Listener, clock: ManualClock
) -> None:
    """Whatever let it be started."""
    sandbox = TradeDeskSandbox(clock)
    endpoint = await sandbox.start()
    options = TradeDeskOptions(exchange_endpoint=f"{await outside.start()}/bids")
    context = Context(Mode.SANDBOX, options, endpoint, 1000, OpenGate(), clock)
    connection = Connection(context, options)
    await connection.open()
    try:
        assert connection.exchange is not None
        said = {"id": "a", "cur": "USD", "seatbid": [{"seat": "s", "bid": []}]}
        with suppress(ConnectorError):
            await connection.exchange.submit(json.dumps(said), lambda: None)
        assert outside.connections == 0
        assert [one.method for one in sandbox.journal()] == ["POST bid"]
    finally:
        await connection.close()
        await sandbox.close()


async def test_a_sandboxs_report_is_fetched_from_nowhere_else(
    outside: Listener, clock: ManualClock
) -> None:
    elsewhere = f"{await outside.start()}/reports/adv-usd.csv"
    answer = {"Result": [{"ReportDeliveries": [{"DownloadURL": elsewhere}]}]}
    context = Context(Mode.SANDBOX, TradeDeskOptions(), "127.0.0.1:1", 1000, OpenGate(), clock)
    reports = Reports(cast("Any", Answers(answer)), context)
    with pytest.raises(PlatformUnavailable, match="an address outside of the sandbox"):
        await reports.read(date(2026, 11, 21))
    assert outside.connections == 0


class Answers:
    """The Trade Desk's API as far as reports ask it: whoever answers for the sandbox."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def ready(self) -> None:
        """It is."""

    async def report(self, path: str, body: Any, timeout_ms: int) -> Any:
        del path, body, timeout_ms
        return self._answer
