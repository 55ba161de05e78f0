"""The composition root: what starts, what is refused, what is left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from smartconnectors.budgets.v1 import budget_service_pb2, budget_service_pb2_grpc
from smartconnectors.common.v1 import bid_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2, google_ads_service_pb2_grpc
from smartconnectors_server.app import Application, Ready, StartupError, load_settings
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.serving import serve
from smartconnectors_server.settings import Settings
from smartconnectors_server.startup import check_host as check
from smartconnectors_server.startup import warn_if_open

Start = Callable[..., Awaitable[Ready]]


def settings(directory: Path, **server: Any) -> Settings:
    chosen = {"state_dir": str(directory), "grpc_port": 0, "drain_pause_s": 0, **server}
    document = {
        "server": chosen,
        "platforms": {name: {"endpoint": "127.0.0.1:1"} for name in PLATFORMS},
    }
    return load_settings(None, {}, document)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts applications and stops them."""
    running = []

    async def start_one(chosen: Settings, **kwargs: Any) -> Ready:
        app = Application(chosen, **kwargs)
        ready = await app.start()
        running.append(app)
        return ready

    yield start_one
    for app in running:
        await app.stop()


async def budget_ids(address: str) -> list[str]:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = budget_service_pb2_grpc.BudgetServiceStub(channel)
        answer = await stub.ListBudgetStats(budget_service_pb2.ListBudgetStatsRequest())
    return [stats.budget_id for stats in answer.stats]


async def test_a_ready_server_says_its_address_its_modes_and_its_directory(
    start: Start, tmp_path: Path
) -> None:
    ready = await start(settings(tmp_path / "new" / "state"))
    assert await budget_ids(ready.grpc_address) == sorted(PLATFORMS)
    assert ready.platforms == dict.fromkeys(PLATFORMS, "sandbox")
    assert ready.state_dir == str(tmp_path / "new" / "state")


async def test_a_server_without_platforms_still_keeps_budgets(start: Start, tmp_path: Path) -> None:
    document = {
        "server": {"state_dir": str(tmp_path), "grpc_port": 0, "drain_pause_s": 0},
        "total_budget": {"limit": "10"},
    }
    ready = await start(load_settings(None, {}, document), platforms={})
    assert await budget_ids(ready.grpc_address) == ["total"]


async def test_a_platform_that_is_disabled_is_not_served(start: Start, tmp_path: Path) -> None:
    document = {
        "server": {"state_dir": str(tmp_path), "grpc_port": 0, "drain_pause_s": 0},
        "platforms": {
            name: {"enabled": name != "google_ads", "endpoint": "127.0.0.1:1"} for name in PLATFORMS
        },
    }
    ready = await start(load_settings(None, {}, document))
    assert set(ready.platforms) == set(PLATFORMS) - {"google_ads"}
    async with grpc.aio.insecure_channel(ready.grpc_address) as channel:
        stub: Any = google_ads_service_pb2_grpc.GoogleAdsServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PlaceBid(google_ads_service_pb2.PlaceBidRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_directory_that_another_server_has_is_refused_by_the_holders_name(
    start: Start, tmp_path: Path
) -> None:
    await start(settings(tmp_path))
    with pytest.raises(StartupError, match=rf"another server \(process {os.getpid()}\)"):
        await start(settings(tmp_path))


async def test_a_directory_that_cannot_be_made_is_refused_in_words(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="file"):
        await start(settings(tmp_path / "file" / "state"))


async def test_a_port_that_is_taken_is_refused_and_the_directory_is_free_again(
    start: Start, tmp_path: Path
) -> None:
    first = await start(settings(tmp_path / "one"))
    port = int(first.grpc_address.rpartition(":")[2])
    with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{port}"):
        await start(settings(tmp_path / "two", grpc_port=port))
    await start(settings(tmp_path / "two"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_an_address_that_others_reach_needs_consent(tmp_path: Path, host: str) -> None:
    with pytest.raises(StartupError, match="--insecure"):
        check(settings(tmp_path, host=host).server)
    check(settings(tmp_path, host=host, insecure=True).server)


@pytest.mark.parametrize(
    ("host", "access", "warned"),
    [
        ("127.0.0.1", None, False),
        ("0.0.0.0", None, True),
        ("0.0.0.0", {"tokens_file": "tokens.toml"}, False),
    ],
)
def test_a_server_that_others_reach_and_that_asks_nobody_is_said_loudly(
    caplog: pytest.LogCaptureFixture, host: str, access: Any, warned: bool
) -> None:
    document = {"server": {"host": host}, **({} if access is None else {"access": access})}
    warn_if_open(load_settings(None, {}, document))
    assert ("whoever connects may do everything" in caplog.text) == warned


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_the_machine_itself_needs_none(tmp_path: Path, host: str) -> None:
    check(settings(tmp_path, host=host).server)


async def test_serve_tells_when_it_is_ready_and_ends_by_itself_after_a_signal(
    tmp_path: Path,
) -> None:
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(serve(settings(tmp_path), on_ready=ready.set_result))
    assert await budget_ids((await ready).grpc_address) == sorted(PLATFORMS)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 60)


async def test_a_platform_that_cannot_be_connected_says_so_and_the_rest_goes_on(
    start: Start, tmp_path: Path
) -> None:
    def broken(_context: Any) -> Any:
        raise RuntimeError("its library is missing")

    google = dataclasses.replace(PLATFORMS["google_ads"], connector=broken)
    ready = await start(settings(tmp_path), platforms={"google_ads": google})
    async with grpc.aio.insecure_channel(ready.grpc_address) as channel:
        stub: Any = google_ads_service_pb2_grpc.GoogleAdsServiceStub(channel)
        bid = bid_pb2.BidRequest(
            request_id="r", campaign_id="1001", bid_micros=1, predicted_ltv_micros=1
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PlaceBid(google_ads_service_pb2.PlaceBidRequest(bid=bid))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "library is missing" not in str(caught.value.details())
    assert await budget_ids(ready.grpc_address) == ["google_ads"]
