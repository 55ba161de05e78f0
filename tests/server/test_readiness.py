"""When a server says that it is ready, and what each of its services says."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server.interceptors.conftest import Script

from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import PlatformRejected, PlatformUnavailable
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.serving import pages_of

BUDGETS = "smartconnectors.budgets.v1.BudgetService"
GOOGLE = "smartconnectors.google_ads.v1.GoogleAdsService"
META = "smartconnectors.meta.v1.MetaService"


class Platforms:
    """Two platforms that connect when they are let, or fail when they are told to."""

    def __init__(self) -> None:
        self.let: dict[str, asyncio.Future[None]] = {}
        self.scripts: dict[str, Script] = {}

    def registry(self) -> dict[str, Any]:
        return {name: self._one(name) for name in ("google_ads", "meta")}

    def _one(self, name: str) -> Any:
        self.let[name] = asyncio.get_running_loop().create_future()
        script = self.scripts[name] = Script()
        script.connects = lambda: asyncio.shield(self.let[name])
        return dataclasses.replace(PLATFORMS[name], connector=lambda _context: script)

    def connect(self, name: str) -> None:
        self.let[name].set_result(None)

    def fail(self, name: str, error: Exception) -> None:
        self.let[name].set_exception(error)


Start = Callable[[], Awaitable[tuple[Application, str]]]


@pytest.fixture
async def platforms() -> Platforms:
    return Platforms()


@pytest.fixture
async def start(tmp_path: Path, clock: ManualClock, platforms: Platforms) -> AsyncIterator[Start]:
    running: list[Application] = []

    async def start_one() -> tuple[Application, str]:
        server = {"state_dir": str(tmp_path), "grpc_port": 0, "drain_pause_s": 0}
        theirs = {name: {"endpoint": "127.0.0.1:1"} for name in ("google_ads", "meta")}
        settings = load_settings(
            None, {}, {"server": server, "platforms": theirs, "http": {"port": 0}}
        )
        app = Application(settings, platforms=platforms.registry(), clock=clock)
        running.append(app)
        return app, (await app.start()).grpc_address

    yield start_one
    for app in running:
        await app.stop()


async def statuses(address: str) -> dict[str, str]:
    """What health says of the server and of each service."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        said = {}
        for service in ("", BUDGETS, GOOGLE, META):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            said[service] = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return said


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_server_is_not_ready_while_a_platform_is_connected_for_the_first_time(
    start: Start, platforms: Platforms
) -> None:
    app, address = await start()
    platforms.connect("google_ads")
    await turns()
    assert not app.ready
    assert await statuses(address) == {
        "": "NOT_SERVING",
        BUDGETS: "SERVING",
        GOOGLE: "SERVING",
        META: "NOT_SERVING",
    }
    platforms.connect("meta")
    await turns()
    assert app.ready
    assert set((await statuses(address)).values()) == {"SERVING"}


async def test_a_server_is_ready_when_a_platform_is_down_because_its_bids_are_deferred(
    start: Start, platforms: Platforms
) -> None:
    app, address = await start()
    platforms.connect("google_ads")
    platforms.fail("meta", PlatformUnavailable("nobody answers"))
    await turns()
    assert app.ready
    assert (await statuses(address))[META] == "SERVING"


async def test_the_service_of_an_account_that_refuses_the_server_does_not_serve(
    start: Start, platforms: Platforms
) -> None:
    app, address = await start()
    platforms.connect("google_ads")
    platforms.fail("meta", PlatformRejected("the token was revoked"))
    await turns()
    assert app.ready, "the other platform takes bids"
    assert (await statuses(address))[META] == "NOT_SERVING"


async def test_a_server_is_ready_after_half_a_minute_whatever_a_platform_does(
    start: Start, clock: ManualClock, platforms: Platforms
) -> None:
    app, _ = await start()
    platforms.connect("google_ads")
    for step_s in (29.0, 2.0):
        assert not app.ready
        clock.advance(step_s)
        await turns()
    assert app.ready


async def test_readyz_names_the_platforms_that_are_not_as_they_should_be(
    start: Start, platforms: Platforms
) -> None:
    app, _ = await start()
    pages = pages_of(app)
    address = await pages.start(load_settings(None, {}, {"http": {"port": 0}}).http)

    async def readyz(query: str = "") -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{address}/readyz{query}") as answer,
        ):
            return answer.status, await answer.text()

    try:
        assert await readyz() == (
            503,
            "nothing is admitted\ngoogle_ads: connecting\nmeta: connecting\n",
        )
        platforms.connect("google_ads")
        platforms.fail("meta", PlatformUnavailable("secret words of a platform"))
        await turns()
        assert await readyz() == (200, "ready\nmeta: not_connected\n")
        verbose = "ready\ngoogle_ads: operational\nmeta: not_connected\n"
        assert await readyz("?verbose") == (200, verbose)
    finally:
        await pages.stop()
