"""Looks at the file that fail or stall: whoever asks is refused, and the event loop goes on."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from smartconnectors_server.ledger import Unavailable
from smartconnectors_server.ledger.reader import Reader


@asynccontextmanager
async def reading(timeout_s: float) -> AsyncIterator[Reader]:
    reader = Reader(timeout_s)
    try:
        yield reader
    finally:
        await reader.stop()


async def test_what_was_seen_is_returned() -> None:
    async with reading(5.0) as reader:
        seen = await asyncio.gather(*(reader.read(partial(str, n)) for n in range(10)))
        assert seen == [str(n) for n in range(10)]
        assert reader.available


async def test_a_look_that_fails_is_unavailable() -> None:
    def fails() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with reading(5.0) as reader:
        with pytest.raises(Unavailable, match=r"cannot be read: disk I/O error"):
            await reader.read(fails)
        assert await reader.read(lambda: 1) == 1


async def test_while_a_look_stalls_nobody_waits_for_another() -> None:
    goes_on = threading.Event()
    async with reading(0.05) as reader:
        for _ in range(2):  # the second one is refused at once
            with pytest.raises(Unavailable, match=r"took more than 0\.05 s"):
                await reader.read(goes_on.wait)
            assert not reader.available
        goes_on.set()
        async with asyncio.timeout(10):
            while not reader.available:  # noqa: ASYNC110 - no event of the thread's is told here
                await asyncio.sleep(0.001)
        assert await reader.read(lambda: 1) == 1


async def test_who_gives_up_leaves_the_others_their_answers() -> None:
    goes_on = threading.Event()
    async with reading(5.0) as reader:
        first = asyncio.ensure_future(reader.read(goes_on.wait))
        second = asyncio.ensure_future(reader.read(lambda: 2))
        await asyncio.sleep(0)
        first.cancel()
        goes_on.set()
        assert await second == 2


async def test_a_reader_that_was_stopped_takes_no_more() -> None:
    reader = Reader(5.0)
    await reader.stop()
    with pytest.raises(Unavailable, match="not open"):
        await reader.read(lambda: 1)
