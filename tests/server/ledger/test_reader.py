"""Looks at the file that fail or stall: whoever asks is refused, and the event loop goes on."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from tests.server.test_threads import starved

from smartconnectors_server.ledger import Unavailable
from smartconnectors_server.ledger.reader import Reader
from smartconnectors_server.threads import NoThread


@asynccontextmanager
async def reading(timeout_s: float) -> AsyncIterator[Reader]:
    reader = Reader(timeout_s)
    try:
        yield reader
    finally:
        await reader.stop()


def looking_thread() -> threading.Thread:
    """The one on which looks are under way."""
    (thread,) = (one for one in threading.enumerate() if one.name == "ledger-reads_0")
    return thread


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
        async with asyncio.timeout(60):
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


async def test_a_thread_that_cannot_be_started_is_an_error_of_the_start_and_no_wait() -> None:
    reader = Reader(5.0, starved(0))
    with pytest.raises(NoThread, match="for ledger-reads"):
        reader.start()
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="cannot be read: no thread can be started"):
            await reader.read(lambda: 1)
        await reader.stop()


async def test_a_reader_that_was_stopped_takes_no_more() -> None:
    reader = Reader(5.0)
    await reader.stop()
    with pytest.raises(Unavailable, match="not open"):
        await reader.read(lambda: 1)


async def test_what_is_no_ledger_is_unavailable_and_not_an_error_of_its_own() -> None:
    async with reading(5.0) as reader:
        with pytest.raises(Unavailable, match=r"^the ledger cannot be read: invalid literal"):
            await reader.read(lambda: int("x"))


async def test_one_look_is_under_way_at_a_time() -> None:
    under_way: list[int] = []
    overlapped: list[int] = []

    def look(number: int) -> None:
        under_way.append(number)
        threading.Event().wait(0.002)
        overlapped.extend(one for one in under_way if one != number)
        under_way.remove(number)

    async with reading(5.0) as reader:
        await asyncio.gather(*(reader.read(partial(look, n)) for n in range(10)))
    assert overlapped == []


async def test_what_is_refused_during_a_stall_is_not_looked_up_afterwards() -> None:
    goes_on = threading.Event()
    looked: list[int] = []
    async with reading(0.05) as reader:
        with pytest.raises(Unavailable):
            await reader.read(goes_on.wait)
        with pytest.raises(Unavailable):
            await reader.read(partial(looked.append, 1))
        goes_on.set()
    assert looked == []


async def test_stopping_waits_for_the_look_that_is_under_way_and_ends_the_thread() -> None:
    goes_on = threading.Event()
    reader = Reader(0.01)
    with pytest.raises(Unavailable):
        await reader.read(goes_on.wait)
    stopping = asyncio.ensure_future(reader.stop())
    await asyncio.sleep(0.02)
    assert not stopping.done()
    thread = looking_thread()
    goes_on.set()
    await stopping
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    assert reader._under_way == set()


async def test_a_look_that_nobody_waits_for_any_more_may_fail_in_silence() -> None:
    goes_on = threading.Event()
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))

    def fails() -> None:
        goes_on.wait()
        raise sqlite3.OperationalError("disk I/O error")

    async with reading(5.0) as reader:
        asked = asyncio.ensure_future(reader.read(fails))
        await asyncio.sleep(0.001)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        thread = looking_thread()
        goes_on.set()
    # Until its thread has ended, that knows of it.
    await asyncio.to_thread(thread.join, 10)
    del asked
    gc.collect()
    assert complaints == []
