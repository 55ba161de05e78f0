"""Streams and calls of one caller leave room for those of the others, and for operators."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
from tests.security.share_stage import HOSTILE, OPERATOR, VICTIM, Refused, Scene, scene, until
from tests.server.access.people import Person
from tests.server.access.stage import application, entry

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors_server.serving import pages_of
from smartconnectors_server.settings import HttpSettings

FEW = {"max_streams_per_caller": 3}


@contextlib.asynccontextmanager
async def watching(stage: Scene, who: str) -> AsyncIterator[Any]:
    """A watch of the platform's budget, of which one message has come. Raises Refused."""
    person = stage.people[who]
    request = budgets_pb2.WatchBudgetStatsRequest(budget_ids=["google_ads"])
    watch = person.ask(person.budgets.WatchBudgetStats, request)
    try:
        await watch.read()
        yield watch
    except grpc.aio.AioRpcError as error:
        raise Refused(error) from None
    finally:
        watch.cancel()


async def test_a_caller_s_watches_leave_the_others_theirs(tmp_path: Path) -> None:
    async with scene(tmp_path, access=FEW) as stage, contextlib.AsyncExitStack() as watches:
        for _ in range(3):
            await watches.enter_async_context(watching(stage, HOSTILE))
        for _ in range(5):
            with pytest.raises(Refused) as caught:
                await watches.enter_async_context(watching(stage, HOSTILE))
            assert str(caught.value) == "OVERLOADED caller"
            assert caught.value.metadata["caller_share"] == "3"
            assert caught.value.retry.HasField("retry_delay")
        await watches.enter_async_context(watching(stage, VICTIM))
        await watches.enter_async_context(watching(stage, OPERATOR))
        assert await stage.place(HOSTILE) == "OK", "its calls are counted apart from its streams"


async def test_a_watch_that_has_ended_makes_room_for_another(tmp_path: Path) -> None:
    async with scene(tmp_path, access={"max_streams_per_caller": 1}) as stage:
        async with watching(stage, HOSTILE):
            pass
        for attempt in range(1000):
            try:
                async with watching(stage, HOSTILE):
                    break
            except Refused:
                assert attempt < 999
                await asyncio.sleep(0.01)


async def test_a_caller_s_dashboards_leave_the_others_theirs(tmp_path: Path) -> None:
    async with scene(tmp_path, access=FEW) as stage:
        # The dashboard is for callers without restrictions.
        tokens = tmp_path / "tokens.toml"
        tokens.write_text(tokens.read_text() + entry("screen", "read", "screen"))
        stage.clock.advance(2)
        pages = pages_of(stage.app)
        url = f"http://{await pages.start(HttpSettings(port=0, max_event_streams=4))}/events"
        async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as streams:

            async def open_events(token: str) -> int:
                headers = {"Authorization": f"Bearer {token}"}
                answer = await streams.enter_async_context(session.get(url, headers=headers))
                return answer.status

            assert [await open_events("screen") for _ in range(4)] == [200, 200, 503, 503]
            assert await open_events(OPERATOR) == 200
        await pages.stop()


async def test_a_caller_s_calls_of_every_kind_leave_the_others_their_share(tmp_path: Path) -> None:
    async with scene(tmp_path, spare_calls=6, server={"max_in_flight": 1}) as stage:
        # Four calls at once are shared; the rest is for what is still arriving, and operators.
        assert await stage.place(VICTIM) == "OK"
        stage.google.go_on.clear()
        hostile = [await stage.begin_pause(HOSTILE) for _ in range(5)]
        assert [task.done() for task in hostile] == [False, False, True, True, True]
        assert hostile[-1].result() == "OVERLOADED caller"
        victim = [await stage.begin_pause(VICTIM) for _ in range(2)]
        assert not any(task.done() for task in victim)
        stopping = asyncio.ensure_future(stage.stop_everything())
        await until(lambda: stage.google.pausing == 5)
        stage.google.go_on.set()
        assert await asyncio.gather(*victim, stopping) == ["OK"] * 3


async def test_without_access_control_streams_are_not_counted(tmp_path: Path) -> None:
    app = application(tmp_path)
    address = (await app.start()).grpc_address
    person = Person(address, "")
    request = budgets_pb2.WatchBudgetStatsRequest(budget_ids=["google_ads"])
    watches = [person.budgets.WatchBudgetStats(request) for _ in range(600)]
    await asyncio.gather(*(watch.read() for watch in watches))
    for watch in watches:
        watch.cancel()
    await person.channel.close()
    await app.stop()
