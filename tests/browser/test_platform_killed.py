"""A platform dies under load, and comes back: everything that tells of it tells the same, at once.

Leaves three pictures of the dashboard and the delays that were measured in `build/screenshots`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc.aio
from playwright.async_api import expect
from prometheus_client.parser import text_string_to_metric_families
from tests.browser.stage import Stage, bid, eventually

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import budget_pb2
from smartconnectors_server.telemetry import names

if TYPE_CHECKING:
    from playwright.async_api import Page
    from tests.browser.conftest import Look

PLATFORM = "google_ads"
CARD = f'article[data-platform="{PLATFORM}"]'
CALLERS = 4
BADGES = {"open": "breaker OPEN", "half_open": "breaker half-open", "closed": "placing bids"}

Observer = Callable[[], Awaitable[str]]
"""The state of the platform's breaker, as one of those who tell of it says."""


def on_the_page(page: Page) -> Observer:
    async def look() -> str:
        text = await page.locator(f"{CARD} .badges").inner_text()
        (state,) = (state for state, badge in BADGES.items() if badge in text)
        return state

    return look


def in_the_metrics(session: aiohttp.ClientSession, stage: Stage) -> Observer:
    async def look() -> str:
        async with session.get(f"{stage.page}/metrics") as page:
            families = text_string_to_metric_families(await page.text())
        (state,) = (
            sample.labels["state"]
            for family in families
            if family.name == names.CIRCUIT_STATE.name
            for sample in family.samples
            if sample.labels["platform"] == PLATFORM and sample.value == 1
        )
        return state

    return look


def changes_in(log: Path) -> list[dict[str, Any]]:
    """Every line about the breaker so far."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return [
        line
        for line in lines
        if line["event"] == names.EVENT_CIRCUIT and line["platform"] == PLATFORM
    ]


def in_the_log(stage: Stage) -> Observer:
    async def look() -> str:
        changes = changes_in(stage.log)
        return str(changes[-1]["after"]) if changes else "closed"

    return look


ALERTS = {
    budgets_pb2.ALERT_KIND_CIRCUIT_OPENED: "open",
    budgets_pb2.ALERT_KIND_CIRCUIT_CLOSED: "closed",
}


def in_the_alerts(stage: Stage) -> Observer:
    async def look() -> str:
        told = [ALERTS[a.kind] for a in await stage.caller.alerts() if a.kind in ALERTS]
        return told[0] if told else "closed"

    return look


async def _says(look: Observer, state: str) -> float:
    """The wall clock when this was first said."""
    await eventually(look, lambda said: said == state)
    return time.time()


async def _delays_s(
    observers: Mapping[str, Observer], stage: Stage, state: str, cause: Awaitable[None]
) -> dict[str, float]:
    """Does what makes the breaker change; how long after it changed each said so. The line in the
    log has the time at which it did.
    """
    known_before = len(changes_in(stage.log))
    async with asyncio.TaskGroup() as watching:
        said = {n: watching.create_task(_says(look, state)) for n, look in observers.items()}
        await cause
    change = next(one for one in changes_in(stage.log)[known_before:] if one["after"] == state)
    changed = dt.datetime.fromisoformat(change["timestamp"]).timestamp()
    return {name: at.result() - changed for name, at in said.items()}


@contextlib.asynccontextmanager
async def load(stage: Stage) -> AsyncIterator[None]:
    """Bids one after the other, from several callers, whatever becomes of them."""
    numbers = itertools.count()

    async def call() -> None:
        while True:
            number = next(numbers)
            request = bid(f"load-{number}", 1 + number % 5, campaign=str(1001 + number % 8))
            with contextlib.suppress(grpc.aio.AioRpcError):
                await stage.caller.place(request)
            await asyncio.sleep(0.03)

    async with asyncio.TaskGroup() as callers:
        tasks = [callers.create_task(call()) for _ in range(CALLERS)]
        yield
        for task in tasks:
            task.cancel()


def _nothing_is_open(stats: budget_pb2.BudgetStats) -> bool:
    return stats.held_micros + stats.deferred_micros + stats.in_doubt_micros == 0


async def test_a_platform_that_is_killed_under_load_is_told_alike_by_all(
    stage: Stage, look: Look, screenshots: Path
) -> None:
    await stage.start(
        circuit_breaker={"failure_threshold": 3, "open_s": 3},
        budget={"limit": "100000"},
        rate_limit={"calls": 100_000, "window_s": 60},
    )
    async with aiohttp.ClientSession() as session, look(stage, token="") as page:
        # Whoever else tells of a breaker has a line here.
        observers = {
            "dashboard": on_the_page(page),
            "metrics": in_the_metrics(session, stage),
            "log": in_the_log(stage),
            "alert": in_the_alerts(stage),
        }
        delays: dict[str, dict[str, float]] = {}
        async with load(stage):
            await eventually(stage.caller.stats, lambda stats: stats.accepted_count > 50)
            await page.screenshot(path=screenshots / "killed-1-before.png", full_page=True)
            delays["open"] = await _delays_s(observers, stage, "open", stage.kill_sandbox(PLATFORM))
            await expect(page.locator("#news")).to_contain_text("Google Ads: breaker OPEN")
            await expect(page.locator("#holds tbody")).to_contain_text("deferred")
            await expect(page.locator("#alerts tbody")).to_contain_text(
                "circuit breaker has opened"
            )
            assert (await stage.caller.stats()).deferred_micros > 0
            await page.screenshot(path=screenshots / "killed-2-during.png", full_page=True)
            delays["closed"] = await _delays_s(
                observers, stage, "closed", stage.start_sandbox(PLATFORM)
            )
        # What waited is placed now, and what was in doubt is looked up.
        await eventually(stage.caller.stats, _nothing_is_open)
        await expect(page.locator("#holds > .scroll > p")).to_be_visible()
        await page.screenshot(path=screenshots / "killed-3-after.png", full_page=True)
    told = {state: {n: round(s, 3) for n, s in of.items()} for state, of in delays.items()}
    (screenshots / "killed.json").write_text(json.dumps(told, indent=2) + "\n")
    assert all(observers.keys() == of.keys() for of in delays.values()), told
