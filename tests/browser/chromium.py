"""The browser: Debian's Chromium, driven over its own protocol. Nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from playwright.async_api import Browser, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = (1280, 900), (360, 740)
"""Width and height."""
WITHIN_MS = 60_000
"""What a page shows, it shows by then."""
Scheme = Literal["light", "dark"]


def path() -> str:
    """Where the browser is; empty: there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def in_ci() -> bool:
    """Whether a missing browser is a failure."""
    return os.environ.get("CI") == "true"


@asynccontextmanager
async def started() -> AsyncIterator[Browser]:
    """A browser with an empty profile."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path(), args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def page(
    browser: Browser, *, size: tuple[int, int] = DESKTOP, scheme: Scheme = "light"
) -> AsyncIterator[Page]:
    """An empty page, as a viewer of this size with this scheme has it."""
    width, height = size
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        locale="en-US",
        timezone_id="UTC",
        has_touch=size == PHONE,
    )
    try:
        context.set_default_timeout(WITHIN_MS)
        yield await context.new_page()
    finally:
        await context.close()
