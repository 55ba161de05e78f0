"""How the gRPC port treats connections that get nowhere, and how many of everything there may be.

HTTP/2 keeps time by itself, so the rules here are the server's with shorter times.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.soak.half_open import Kind, open_and_wait

from smartconnectors.budgets.v1 import budget_service_pb2, budget_service_pb2_grpc
from smartconnectors_server import listening
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.http import BACKLOG
from smartconnectors_server.listening import (
    ConnectionRules,
    connections_of,
    http_connections_of,
    warn_of_files,
)
from smartconnectors_server.settings import HttpSettings, ServerSettings, Settings

LONG_MS = 60_000
UNHURRIED = ConnectionRules(LONG_MS, LONG_MS, LONG_MS, LONG_MS, LONG_MS)
WITHIN_S = 60.0
APART = (("grpc.use_local_subchannel_pool", 1),)
"""Channels with this do not share a connection."""
_STREAMS_SETTING = b"\x00\x03"

Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a server without platforms and returns its address."""
    running = []

    async def start(rules: ConnectionRules = UNHURRIED, **server: Any) -> str:
        chosen = {"grpc_port": 0, "drain_pause_s": 0, "state_dir": str(tmp_path), **server}
        settings = load_settings(None, {}, {"server": chosen, "total_budget": {"limit": "10"}})
        application = Application(settings, platforms={}, rules=rules)
        address = (await application.start()).grpc_address
        running.append(application)
        return address

    yield start
    for application in running:
        await application.stop()


def rules(**others: int) -> ConnectionRules:
    """Long times but for these."""
    times = dict.fromkeys(
        ("handshake_ms", "settings_ack_ms", "ping_every_ms", "ping_answer_ms", "idle_ms"), LONG_MS
    )
    return ConnectionRules(**{**times, **others})


async def stats(channel: grpc.aio.Channel, **options: Any) -> Any:
    stub: Any = budget_service_pb2_grpc.BudgetServiceStub(channel)
    request = budget_service_pb2.GetBudgetStatsRequest(budget_id="total")
    return await stub.GetBudgetStats(request, timeout=3 * WITHIN_S, **options)


def watch(channel: grpc.aio.Channel) -> Any:
    stub: Any = budget_service_pb2_grpc.BudgetServiceStub(channel)
    return stub.WatchBudgetStats(budget_service_pb2.WatchBudgetStatsRequest())


async def lived(address: str, kind: Kind) -> float:
    """Seconds until the server closed it."""
    closed = await asyncio.wait_for(open_and_wait(address, kind, drip_every_s=0.05), WITHIN_S)
    return closed.lived_s


@pytest.mark.parametrize("kind", [Kind.SILENT, Kind.BYTE_BY_BYTE])
async def test_a_connection_without_a_handshake_is_closed(serve: Serve, kind: Kind) -> None:
    address = await serve(rules(handshake_ms=300))
    assert await lived(address, kind) > 0.2


@pytest.mark.parametrize(
    "kind", [Kind.SETTINGS_THEN_SILENT, Kind.ENDLESS_HEADERS, Kind.ENDLESS_DATA]
)
async def test_a_connection_that_never_acknowledges_settings_is_closed(
    serve: Serve, kind: Kind
) -> None:
    address = await serve(rules(settings_ack_ms=300))
    assert await lived(address, kind) > 0.2


async def test_a_connection_that_does_not_answer_a_ping_is_closed(serve: Serve) -> None:
    # gRPC pings no more often than once a second.
    address = await serve(rules(ping_every_ms=1_000, ping_answer_ms=300))
    assert await lived(address, Kind.SETTINGS_THEN_SILENT) > 1


async def until_idle(channel: grpc.aio.Channel) -> list[Any]:
    """Waits until the server has closed it; the states it was in before."""
    states: list[Any] = []
    while (state := channel.get_state()) is not grpc.ChannelConnectivity.IDLE:
        states.append(state)
        await asyncio.wait_for(channel.wait_for_state_change(state), WITHIN_S)
    return states


async def test_a_connection_without_a_call_is_closed_and_comes_back_with_the_next_one(
    serve: Serve,
) -> None:
    address = await serve(rules(idle_ms=500))
    async with grpc.aio.insecure_channel(address, APART) as channel:
        await stats(channel)
        assert await until_idle(channel) == [grpc.ChannelConnectivity.READY]
        assert (await stats(channel)).stats.budget_id == "total"


async def test_a_connection_with_a_call_is_never_idle(serve: Serve) -> None:
    address = await serve(rules(idle_ms=500))
    async with (
        grpc.aio.insecure_channel(address, APART) as watching,
        grpc.aio.insecure_channel(address, APART) as other,
    ):
        call = watch(watching)
        await call.read()
        await stats(other)
        await until_idle(other)
        assert not call.done()
        call.cancel()


async def test_a_connection_too_many_is_closed_and_one_that_ends_makes_room(serve: Serve) -> None:
    address = await serve(max_connections=2)
    async with grpc.aio.insecure_channel(address, APART) as one:
        await stats(one)
        async with grpc.aio.insecure_channel(address, APART) as two:
            await stats(two)
            await lived(address, Kind.SILENT)  # long before the rules would close it
        async with grpc.aio.insecure_channel(address, APART) as three:
            assert (await stats(three, wait_for_ready=True)).stats.budget_id == "total"


@pytest.mark.parametrize(
    ("open_files", "connections"),
    [
        (1024, 1024 - listening.FILES_OF_OUR_OWN - 112 - BACKLOG),
        (64, 1),
        (2**62, listening.MOST_CONNECTIONS),
        (resource.RLIM_INFINITY, listening.MOST_CONNECTIONS),
    ],
)
def test_without_a_setting_there_are_as_many_connections_as_files_are_left(
    open_files: int, connections: int
) -> None:
    assert connections_of(ServerSettings(), open_files) == connections
    assert connections_of(ServerSettings(max_connections=7), open_files) == 7


@pytest.mark.parametrize(("open_files", "connections"), [(1024, 112), (64, 1), (65_536, 256)])
def test_http_has_an_eighth_of_the_files_that_are_left_and_256_at_most(
    open_files: int, connections: int
) -> None:
    assert http_connections_of(HttpSettings(), open_files) == connections
    assert http_connections_of(HttpSettings(max_connections=7), open_files) == 7


@pytest.mark.parametrize("open_files", [256, 1024, 65_536])
@pytest.mark.parametrize(
    "http", [HttpSettings(), HttpSettings(max_connections=50), HttpSettings(enabled=False)]
)
def test_grpc_and_http_together_leave_the_servers_own_files_alone(
    open_files: int, http: HttpSettings
) -> None:
    grpc_files = connections_of(ServerSettings(), open_files, http)
    http_files = http_connections_of(http, open_files) + BACKLOG if http.enabled else 0
    assert grpc_files + http_files + listening.FILES_OF_OUR_OWN == open_files


def test_connections_that_need_more_files_than_there_may_be_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warn_of_files(Settings(), 1024)
    assert caplog.text == ""
    warn_of_files(Settings(server=ServerSettings(max_connections=1000)), 1024)
    assert "the limit on open files is 1024" in caplog.text
    assert "server.max_connections" in caplog.text


async def test_a_client_is_told_how_many_calls_one_connection_may_have(serve: Serve) -> None:
    address = await serve(rules(settings_ack_ms=300, spare_streams=18), max_in_flight=24)
    closed = await open_and_wait(address, Kind.SETTINGS_THEN_SILENT)
    assert _STREAMS_SETTING + (42).to_bytes(4, "big") in closed.heard


async def test_calls_beyond_every_bound_are_refused_before_they_are_looked_at(
    serve: Serve,
) -> None:
    address = await serve(rules(spare_calls=4), max_in_flight=1)
    async with grpc.aio.insecure_channel(address, APART) as channel:
        watching = [watch(channel) for _ in range(5)]
        await asyncio.gather(*(call.read() for call in watching))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stats(channel)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for call in watching:
            call.cancel()
        while True:  # until the server has seen one of them go
            with contextlib.suppress(grpc.aio.AioRpcError):
                assert (await stats(channel)).stats.budget_id == "total"
                break


async def test_thousands_of_calls_at_once_are_all_answered(serve: Serve) -> None:
    address = await serve()
    channels = [grpc.aio.insecure_channel(address, APART) for _ in range(4)]
    answers = await asyncio.gather(
        *(stats(channels[n % 4]) for n in range(4_000)), return_exceptions=True
    )
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []
    await asyncio.gather(*(channel.close() for channel in channels))


@pytest.mark.parametrize(("size", "refused"), [(8_000, False), (15_000, False), (20_000, True)])
async def test_metadata_is_refused_by_its_size_and_never_at_random(
    serve: Serve, size: int, refused: bool
) -> None:
    address = await serve()
    async with grpc.aio.insecure_channel(address, APART) as channel:
        for _ in range(8):
            call = stats(channel, metadata=(("x-large", "x" * size),))
            if refused:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            else:
                assert (await call).stats.budget_id == "total"
