"""The TCP forwarder: what a client sees of each of its tempers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from smartconnectors_server.connector.fault_proxy import FaultProxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """Two echo servers that sign what they echo, and a proxy in front of them."""

    def __init__(self) -> None:
        self.proxy = FaultProxy(lambda first: self.addresses[first[:1] == b"B"])
        self.addresses: list[tuple[str, int]] = []
        self.port = 0
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        for sign in (b"a:", b"b:"):
            server = await asyncio.start_server(self._echo(sign), "127.0.0.1", 0)
            self._servers.append(server)
            self.addresses.append(server.sockets[0].getsockname())
        self.port = await self.proxy.start()

    async def close(self) -> None:
        await self.proxy.close()
        for server in self._servers:
            server.close()

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)

    @staticmethod
    def _echo(sign: bytes):  # type: ignore[no-untyped-def]
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(1024):
                    writer.write(sign + data)
                    await writer.drain()
            except ConnectionError:
                pass
            writer.close()

        return serve


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    served = Echo()
    await served.start()
    yield served
    await served.close()


async def ask(streams: Streams, text: bytes) -> bytes:
    reader, writer = streams
    writer.write(text)
    await writer.drain()
    return await reader.read(1024)


async def test_bytes_go_both_ways(echo: Echo) -> None:
    streams = await echo.connect()
    assert await ask(streams, b"hello") == b"a:hello"
    assert await ask(streams, b"again") == b"a:again"
    streams[1].close()


async def test_the_first_bytes_say_where_a_connection_goes(echo: Echo) -> None:
    to_a, to_b = await echo.connect(), await echo.connect()
    assert await ask(to_a, b"A") == b"a:A"
    assert await ask(to_b, b"B") == b"b:B"
    to_a[1].close()
    to_b[1].close()


async def test_refusing_ends_open_connections_and_takes_no_new_ones(echo: Echo) -> None:
    streams = await echo.connect()
    await ask(streams, b"hello")
    await echo.proxy.refuse()
    assert await streams[0].read() == b""
    with pytest.raises(ConnectionRefusedError):
        await echo.connect()
    streams[1].close()


async def test_it_comes_back_on_the_same_port(echo: Echo) -> None:
    await echo.proxy.refuse()
    await echo.proxy.accept()
    streams = await echo.connect()
    assert await ask(streams, b"hello") == b"a:hello"
    streams[1].close()


async def test_a_reset_is_one_and_new_connections_are_taken(echo: Echo) -> None:
    streams = await echo.connect()
    await ask(streams, b"hello")
    echo.proxy.reset()
    with pytest.raises(ConnectionResetError):
        await streams[0].read()
    streams[1].close()
    again = await echo.connect()
    assert await ask(again, b"hello") == b"a:hello"
    again[1].close()


async def test_a_server_that_is_gone_ends_the_connection(echo: Echo) -> None:
    echo.addresses[0] = ("127.0.0.1", 1)
    streams = await echo.connect()
    assert await ask(streams, b"hello") == b""
    streams[1].close()
