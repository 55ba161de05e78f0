"""The dashboard in a real browser, over a real server: who can use it, and that it is true."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect
from tests.browser import chromium
from tests.browser.stage import OPERATOR, READER, USD, Stage, bid, eventually

if TYPE_CHECKING:
    from playwright.async_api import Page
    from tests.browser.conftest import Look

GOOGLE = 'article[data-platform="google_ads"]'
SIZES = {"desktop": chromium.DESKTOP, "phone": chromium.PHONE}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shown(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A server with something of everything to show: what was committed, deferred, is in doubt, was
    billed and refused; an open breaker.
    """
    stage = Stage(tmp_path_factory.mktemp("shown"))
    try:
        await stage.start(
            guarded=True,
            budget={"limit": "250"},
            circuit_breaker={"failure_threshold": 1, "open_s": 3600},
            reported_spend={"enabled": True, "interval_s": 1},
        )
        today = dt.datetime.now(dt.UTC).date().isoformat()
        billed = {"campaign_id": "1001", "day": today, "micros": 61_250_000, "time_zone": "UTC"}
        await stage.ask("google_ads", "spend", billed)
        for number in range(8):
            priced = None if number % 4 == 3 else 15 + number
            await stage.caller.place(bid(f"b{number}", priced, campaign=f"{1001 + number}"))
        with pytest.raises(grpc.aio.AioRpcError):
            await stage.caller.place(bid("too-large", 500, campaign="1001", ltv_usd=900))
        await eventually(stage.caller.stats, lambda now: now.HasField("reported_spend_micros"))
        fault = {"kind": "apply_then_reset", "times": 1, "method": "Mutate"}
        await stage.ask("google_ads", "faults", fault)
        with pytest.raises(grpc.aio.AioRpcError):
            await stage.caller.place(bid("in-doubt", 11, campaign="1001"))
        await stage.caller.place(bid("deferred", 9, campaign="1002"))
        yield stage
    finally:
        await stage.close()


def dollars(micros: int) -> str:
    return f"${micros / USD:,.2f}"


async def focused(page: Page) -> str:
    """What has the focus, by the name that a screen reader says."""
    said: str = await page.evaluate(
        "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent)"
    )
    return said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_axe_finds_nothing_that_keeps_anybody_out(
    shown: Stage, look: Look, screenshots: Path, size: str, scheme: chromium.Scheme
) -> None:
    async with look(shown, size=SIZES[size], scheme=scheme) as page:
        await page.screenshot(path=screenshots / f"{size}-{scheme}.png", full_page=True)
        for opened in ("", "#all"):
            if opened:
                await page.click(opened)
                await page.screenshot(path=screenshots / f"{size}-{scheme}-asked.png")
            found: dict[str, Any] = (await Axe().run(page)).response
            grave = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
            assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in grave] == []
            assert len(found["passes"]) > 10


@pytest.mark.parametrize("width", [320, 360, 414])
async def test_a_narrow_screen_has_nothing_beside_it(shown: Stage, look: Look, width: int) -> None:
    async with look(shown, size=(width, 740)) as page:
        wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide == [width, width]
        for region in await page.query_selector_all(".scroll"):
            assert await region.evaluate("r => r.scrollWidth <= r.clientWidth")


async def test_the_figures_are_those_of_get_budget_stats(shown: Stage, look: Look) -> None:
    async with look(shown) as page:
        stats = await shown.caller.stats()
        assert min(stats.committed_micros, stats.deferred_micros, stats.in_doubt_micros) > 0
        lines = await page.locator(f"{GOOGLE} dl >> nth=0 >> dd").all_inner_texts()
        assert lines == [
            dollars(micros)
            for micros in (
                stats.committed_micros,
                stats.held_micros,
                stats.deferred_micros,
                stats.in_doubt_micros,
                stats.remaining_micros,
            )
        ]
        billed = page.locator(f"{GOOGLE} .billed p")
        await expect(billed).to_contain_text(dollars(stats.reported_spend_micros))
        await expect(billed).to_contain_text(stats.reported_period)
        counts = await page.locator(f"{GOOGLE} .counts dd").all_inner_texts()
        assert counts[:2] == [str(stats.accepted_count), str(stats.vetoed_count)]
        await expect(page.locator(f"{GOOGLE} .badges")).to_contain_text("breaker OPEN")
        await expect(page.locator("#refusals tbody tr")).to_have_count(2)
        await expect(page.locator("#refusals")).to_contain_text("$500.00 can never fit")
        await expect(page.locator("#holds tbody tr")).to_have_count(2)


async def test_the_page_asks_nobody_but_its_own_server(shown: Stage, look: Look) -> None:
    asked: list[str] = []
    async with look(shown) as page:
        page.on("request", lambda request: asked.append(request.url))
        answer = await page.reload()
        await page.wait_for_selector("article.card")
        assert answer is not None
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        entries = await page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
        own = {f"{shown.page}/", f"{shown.page}/events"}
        assert set(asked) <= {*own, "data:,"}
        assert set(entries) <= {*own, "data:,"}


async def test_the_keyboard_alone_brings_a_token_and_pauses_and_resumes(
    shown: Stage, look: Look
) -> None:
    async with look(shown, token="", shown=False) as page:
        await expect(page.locator("#link")).to_have_text("this server asks for a token")
        await page.keyboard.press("Tab")
        assert await focused(page) == "Token"
        await page.keyboard.press("Enter")
        await page.keyboard.type(OPERATOR)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("article.card")
        order = [await focused(page)]
        for _ in range(2):
            await page.keyboard.press("Tab")
            order.append(await focused(page))
        assert order == ["Token", "Pause Google Ads", "Pause Meta"]

        for done, again in (("paused", "Resume Meta"), ("resumed", "Pause Meta")):
            await page.keyboard.press("Enter")
            await page.keyboard.type(f"it is to be {done}")
            await page.keyboard.press("Enter")
            # What a screen reader says of it.
            await expect(page.locator("[aria-live=polite]")).to_contain_text(f"Meta: {done}")
            await expect(page.get_by_role("button", name=again)).to_be_focused()
            assert (await shown.caller.stats("meta")).paused is (done == "paused")


async def test_escape_leaves_everything_as_it_is(shown: Stage, look: Look) -> None:
    async with look(shown) as page:
        await page.get_by_role("button", name="Pause Meta").press("Enter")
        await page.keyboard.type("a change of mind")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("button", name="Pause Meta")).to_be_focused()
        assert not (await shown.caller.stats("meta")).paused


async def test_who_may_only_look_is_told_so(shown: Stage, look: Look) -> None:
    async with look(shown, token=READER) as page:
        await page.get_by_role("button", name="Pause Meta").click()
        await page.keyboard.type("not mine")
        await page.keyboard.press("Enter")
        await expect(page.locator("#news")).to_contain_text("needs the role `operate`")
        assert not (await shown.caller.stats("meta")).paused


async def test_everything_is_paused_with_one_button(shown: Stage, look: Look) -> None:
    async with look(shown) as page:
        for done, says in (("Pause", "EVERYTHING PAUSED"), ("Resume", "1 of 3 platforms down")):
            await page.get_by_role("button", name=f"{done} all").click()
            await page.keyboard.type("an emergency, or its end")
            await page.keyboard.press("Enter")
            await expect(page.locator("#ready")).to_contain_text(says)
            assert (await shown.caller.stats("trade_desk")).paused is (done == "Pause")


async def test_the_page_lives_on_when_the_server_is_killed_and_comes_back(
    stage: Stage, look: Look
) -> None:
    await stage.start()
    await stage.caller.place(bid("before", 20))
    async with look(stage, token="") as page:
        figure = page.locator(f"{GOOGLE} [data-figure=committed]")
        await expect(figure).to_have_text("$20.00")
        await page.evaluate("window.neverReloaded = true")
        await stage.kill_server()
        await expect(page.locator("#link")).to_have_text("no connection; trying again")
        await stage.start_server()
        await expect(page.locator("#link")).to_have_text("live", timeout=10_000)
        await stage.caller.place(bid("after", 30, campaign="1002"))
        await expect(figure).to_have_text("$50.00")
        # What was committed before the restart is in the chart too, which is over the window.
        charted = page.locator(f"{GOOGLE} .chart svg")
        label = "Google Ads: $50.00 committed in 10 min, in steps of 10 s"
        await expect(charted).to_have_attribute("aria-label", label)
        parts = await charted.locator("rect title").all_text_contents()
        assert sum(float(part.split("$")[1].split(" ")[0]) for part in parts) == 50
        assert await page.evaluate("window.neverReloaded")
