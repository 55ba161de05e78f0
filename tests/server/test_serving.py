"""A server as a process: the threads that it needs, and being stopped while it starts."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.server.test_threads import starved

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.serving import serve, start_threads, unless_stopped
from smartconnectors_server.settings import HttpSettings, ServerSettings, Settings
from smartconnectors_server.startup import StartupError
from smartconnectors_server.threads import started


async def test_what_would_stop_the_loop_has_its_threads_before_anything_starts() -> None:
    made: list[ThreadPoolExecutor] = []

    def noted(count: int, name: str) -> ThreadPoolExecutor:
        made.append(started(count, name))
        return made[-1]

    await start_threads(asyncio.get_running_loop(), noted)
    (pool,) = made
    assert await asyncio.to_thread(lambda: 5) == 5
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        await asyncio.to_thread(lambda: 5)


async def test_a_server_that_gets_no_thread_says_so_and_does_not_start(tmp_path: Path) -> None:
    settings = Settings(
        server=ServerSettings(state_dir=tmp_path, grpc_port=0), http=HttpSettings(enabled=False)
    )
    with pytest.raises(StartupError, match="no thread can be started for work: raise the limit"):
        await serve(settings, on_ready=lambda _: pytest.fail("is not ready"), pool=starved(1))


async def test_who_is_asked_to_stop_while_it_starts_closes_what_it_had_started() -> None:
    stop, closed = asyncio.Event(), []

    async def start() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)
        return 1

    starting = asyncio.ensure_future(unless_stopped(start(), stop))
    await asyncio.sleep(0)
    stop.set()
    assert await asyncio.wait_for(starting, 10) is None
    assert closed == [True]


async def test_a_start_that_nobody_stops_returns_or_raises_what_it_would() -> None:
    async def start(error: BaseException | None) -> int:
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return 7

    assert await unless_stopped(start(None), asyncio.Event()) == 7
    with pytest.raises(StartupError, match="no room"):
        await unless_stopped(start(StartupError("no room")), asyncio.Event())
    with pytest.raises(asyncio.CancelledError):
        await unless_stopped(start(asyncio.CancelledError()), asyncio.Event())


async def test_a_signal_during_the_start_ends_the_server(
    tmp_path: Path, clock: ManualClock
) -> None:
    settings = Settings(
        server=ServerSettings(state_dir=tmp_path, grpc_port=0), http=HttpSettings(enabled=False)
    )

    def told(count: int, name: str) -> ThreadPoolExecutor:
        os.kill(os.getpid(), signal.SIGTERM)
        return started(count, name)

    async with asyncio.timeout(60):
        await serve(settings, on_ready=lambda _: pytest.fail("is not ready"), pool=told)
    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open(())  # nothing holds the directory any more
    await ledger.close()
