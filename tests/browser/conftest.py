"""A browser, and something to look at."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from tests.browser import chromium
from tests.browser.stage import OPERATOR, Stage

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"

Look = Callable[..., "AbstractAsyncContextManager[Page]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        function = getattr(item, "function", None)
        if item.path.parent == Path(__file__).parent and inspect.iscoroutinefunction(function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Skips where there is none, but not in CI."""
    if not chromium.path():
        why = "no Chromium here; on Debian and Ubuntu: apt-get install chromium"
        if chromium.in_ci():
            pytest.fail(why)
        pytest.skip(why)
    async with chromium.started() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="session")
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Processes that end with the test."""
    one = Stage(tmp_path)
    yield one
    await one.close()


@pytest.fixture(scope="session")
def look(browser: Browser) -> Look:
    """Opens the dashboard of a stage, until it shows figures. What the page itself does wrong is an
    error: an exception in it, or anything that its policy kept it from.
    """

    @asynccontextmanager
    async def looking(
        stage: Stage, *, token: str = OPERATOR, shown: bool = True, **how: Any
    ) -> AsyncIterator[Page]:
        wrong: list[str] = []
        async with chromium.page(browser, **how) as page:
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda said: wrong.extend(_of_the_policy(said.text)))
            if token:
                await page.add_init_script(f"sessionStorage.setItem('token', '{token}')")
            await page.goto(stage.page)
            if shown:
                await page.wait_for_selector("article.card")
            yield page
        assert wrong == []

    return looking


def _of_the_policy(text: str) -> list[str]:
    return [text] if "Content Security Policy" in text else []


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of the page are left for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS
