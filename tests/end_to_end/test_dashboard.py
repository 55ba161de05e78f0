"""The dashboard's way: what is shown to whom, as it changes, and pausing with a token."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from tests.server.access.stage import entry

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.http import Pages
from smartconnectors_server.serving import pages_of
from smartconnectors_server.settings import HttpSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.conftest import Server, Stage, Words

USD = 1_000_000


class Browser:
    """Looks at a server's pages."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._pages: list[Pages] = []

    async def open(self, server: Server) -> str:
        """The address of a server's pages."""
        one = pages_of(server.app)
        self._pages.append(one)
        return f"http://{await one.start(HttpSettings(port=0))}"

    async def pictures(self, address: str, token: str = "") -> AsyncGenerator[dict[str, Any]]:
        """What is shown, as it changes."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.get(f"{address}/events", headers=headers) as stream:
            assert stream.status == 200
            assert stream.content_type == "text/event-stream"
            async for line in stream.content:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    async def post(self, address: str, document: Any, token: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.post(f"{address}/pause", json=document, headers=headers) as page:
            return page.status, await page.json()

    async def status(self, address: str, path: str, token: str = "") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.get(f"{address}{path}", headers=headers) as page:
            return page.status

    async def page(self, address: str) -> tuple[str, Any]:
        async with self._session.get(address) as page:
            return await page.text(), page.headers

    async def close(self) -> None:
        for one in self._pages:
            await one.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession() as session:
        one = Browser(session)
        yield one
        await one.close()


async def guarded(stage: Stage, directory: Path) -> Server:
    """A server with a token for each role, and one that is restricted."""
    tokens = directory / "tokens.toml"
    tokens.write_text(
        entry("reads", "read", "reader")
        + entry("operates", "operate", "operator")
        + entry("some", "operate", "some", platforms=["meta"])
    )
    return await stage.serve(access={"tokens_file": str(tokens)})


def of(picture: dict[str, Any], name: str = "google_ads") -> dict[str, Any]:
    (platform,) = [one for one in picture["platforms"] if one["name"] == name]
    return platform  # type: ignore[no-any-return]


async def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_but_its_own(
    stage: Stage, browser: Browser
) -> None:
    address = await browser.open(await stage.serve())
    page, headers = await browser.page(address)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"""(?:src|href)=["']?(?!data:)[^"'\s>]+""", page) == []
    assert re.findall(r"\son[a-z]+=", page) == []
    assert set(re.findall(r"https?://[^\s\"'`]+", page)) == {"http://www.w3.org/2000/svg"}


async def test_what_happens_is_shown_without_a_reload(
    stage: Stage, say: Words, browser: Browser
) -> None:
    server = await stage.serve(
        circuit_breaker={"failure_threshold": 1, "slow_call_ms": 120, "open_s": 600}
    )
    shown = browser.pictures(await browser.open(server))
    first = of(await anext(shown))
    assert (first["circuit"], first["budget"]["committed_micros"]) == ("closed", 0)
    await say.refused(server.place(say.bid("large", 5000, campaign="1003", ltv_usd=9000)))
    await stage.fault(FaultKind.SLOW, delay_ms=180)
    await server.place(say.bid("slow", 15))
    await server.place(say.bid("waits", 10, campaign="1002"))
    async with asyncio.timeout(60):
        async for picture in shown:
            if picture["hold_count"]:
                break
    google = of(picture)
    assert google["circuit"] == "open"
    assert google["budget"]["committed_micros"] == 15 * USD
    assert google["budget"]["deferred_micros"] == 10 * USD
    assert google["deferred_count"] == picture["hold_count"] == 1
    assert picture["refusals"][0]["reason"] == "BUDGET_EXCEEDED"
    assert "can never fit" in picture["refusals"][0]["message"]
    assert sum(google["course"]["micros"]) == 15 * USD
    bids = [step["bids"] for step in picture["steps"] if step["bids"]]
    assert {key: sum(b.get(key, 0) for b in bids) for key in ("ai", "fallback", "refused")} == {
        "ai": 1,
        "fallback": 1,
        "refused": 1,
    }


async def test_with_access_control_only_who_may_read_everything_sees_it(
    stage: Stage, browser: Browser, tmp_path: Path
) -> None:
    address = await browser.open(await guarded(stage, tmp_path))
    assert await browser.status(address, "/events") == 401
    assert await browser.status(address, "/events", "wrong") == 401
    assert await browser.status(address, "/events", "some") == 403
    assert (await anext(browser.pictures(address, "reads")))["guarded"] is True


async def test_pausing_takes_a_token_of_an_operator_and_is_on_record(
    stage: Stage, say: Words, browser: Browser, tmp_path: Path
) -> None:
    server = await guarded(stage, tmp_path)
    address = await browser.open(server)
    asked = {"scope": "google_ads", "paused": True, "reason": "a look"}
    assert (await browser.post(address, asked))[0] == 401
    assert (await browser.post(address, asked, "reads"))[0] == 403
    assert await browser.post(address, asked, "operates") == (
        200,
        {"scope": "google_ads", "paused": True},
    )
    assert server.core.keeper.state("google_ads").paused
    page = await server.core.keeper.entries(
        budget_id="google_ads", request_id="", size=1000, token=""
    )
    (line,) = [line for line in page.rows if line.verb == "pause"]
    assert (line.actor, line.note) == ("operator", "a look")
    status, said = await browser.post(address, {**asked, "scope": "nobody"}, "operates")
    assert (status, said["reason"]) == (404, "NOT_FOUND")
    wrongs: list[Any] = [None, [], {}, {**asked, "paused": "yes"}, {**asked, "reason": ""}]
    for wrong in wrongs:
        assert (await browser.post(address, wrong, "operates"))[0] == 400
    resumed = {**asked, "paused": False}
    assert (await browser.post(address, resumed, "operates"))[0] == 200
    assert not server.core.keeper.state("google_ads").paused


async def test_without_access_control_nobody_can_pause_from_a_browser(
    stage: Stage, browser: Browser
) -> None:
    server = await stage.serve()
    address = await browser.open(server)
    asked = {"scope": "all", "paused": True, "reason": "a look"}
    assert (await browser.post(address, asked))[0] == 403
    assert not server.core.keeper.state("google_ads").paused
    stats = await server.budgets.ListBudgetStats(budgets_pb2.ListBudgetStatsRequest())
    assert not any(one.paused for one in stats.stats)


async def test_a_viewer_who_hangs_up_is_no_error(
    stage: Stage, say: Words, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    server = await stage.serve()
    address = await browser.open(server)
    gone, stays = browser.pictures(address), browser.pictures(address)
    await anext(gone)
    await anext(stays)
    await gone.aclose()
    # A change is written to both: twice, since the first write after a hang-up may still pass.
    for number, campaign in enumerate(("1001", "1002", "1003")):
        await server.place(say.bid(f"b-{number}", 15, campaign=campaign))
        async with asyncio.timeout(60):
            await anext(stays)
    await stays.aclose()
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


async def test_viewers_are_let_go_when_the_server_stops(stage: Stage, browser: Browser) -> None:
    server = await stage.serve()
    one = pages_of(server.app)
    shown = browser.pictures(f"http://{await one.start(HttpSettings(port=0))}")
    await anext(shown)
    async with asyncio.timeout(60):
        await one.stop()
        assert [said async for said in shown] == [{"reason": "SERVER_DRAINING"}]
