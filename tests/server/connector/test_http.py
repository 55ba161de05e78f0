"""The HTTP kit: three-valued outcomes, and nothing sent twice."""

from __future__ import annotations

import asyncio
import socket
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from tests.server.connector.live_sockets import user_timeouts_ms

from smartconnectors_server.connector.http import HttpTransport
from smartconnectors_server.connector.sockets import USER_TIMEOUT, for_changes, warning
from smartconnectors_server.errors import ConnectorError, OutcomeUnknown, PlatformUnavailable

ANSWER = b"HTTP/1.1 200 OK\r\nX-Name: Value\r\nContent-Length: 4\r\n\r\nbody"


@dataclass
class Server:
    """Reads requests, remembers them, and answers with what it is told to; nothing: hangs up."""

    answer: bytes = b""
    requests: list[bytes] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.splitlines()
                if b"content-length" in line.lower()
            ),
            0,
        )
        self.requests.append(head + await reader.readexactly(length))
        writer.write(self.answer)
        writer.close()


Start = Callable[[], Awaitable[tuple[Server, HttpTransport]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[asyncio.Server] = []
    transports: list[HttpTransport] = []

    async def begin() -> tuple[Server, HttpTransport]:
        fake = Server()
        listening = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
        servers.append(listening)
        host, port = listening.sockets[0].getsockname()
        fake.url = f"http://{host}:{port}"
        transport = HttpTransport("example", fake.url, timeout_ms=5_000)
        await transport.open()
        transports.append(transport)
        return fake, transport

    yield begin
    for transport in transports:
        await transport.close()
    for listening in servers:
        listening.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_change_whose_connection_is_lost_is_in_doubt_and_was_sent_once(
    start: Start, method: str
) -> None:
    server, transport = await start()
    with pytest.raises(OutcomeUnknown):
        await transport.send(method, "/thing", changes=True, headers={}, body={"a": 1})
    assert len(server.requests) == 1


async def test_a_read_whose_connection_is_lost_was_not_read(start: Start) -> None:
    _, transport = await start()
    with pytest.raises(PlatformUnavailable):
        await transport.send("GET", "/thing", changes=False, headers={})


@pytest.mark.parametrize("changes", [False, True])
async def test_a_connection_that_is_refused_means_that_nothing_was_sent(changes: bool) -> None:
    transport = HttpTransport("example", "http://127.0.0.1:1", timeout_ms=5_000)
    await transport.open()
    with pytest.raises(PlatformUnavailable) as caught:
        await transport.send("PUT", "/thing", changes=changes, headers={})
    assert isinstance(caught.value, ConnectorError)
    await transport.close()


async def test_content_is_sent_byte_for_byte(start: Start) -> None:
    server, transport = await start()
    server.answer = ANSWER
    answer = await transport.send(
        "POST", "/thing", changes=True, headers={"Content-Type": "text/x"}, content='{"a":1.10}'
    )
    assert server.requests[0].endswith(b'\r\n\r\n{"a":1.10}')
    assert b"Content-Type: text/x" in server.requests[0]
    assert (answer.status, answer.headers["x-name"], answer.body) == (200, "Value", b"body")


@dataclass
class Witness:
    """A platform that reads one request, answers what it is told to, and sees how the connection
    ends.
    """

    answer: bytes = b""
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    received: int = 0
    client: tuple[str, int] = ("", 0)
    ended: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.client = writer.get_extra_info("peername")
        await self.reads.wait()
        self.received = len(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        try:
            while chunk := await reader.read(65536):
                self.received += len(chunk)
        except ConnectionResetError:
            self.ended.set_result("reset")
        else:
            self.ended.set_result("closed")
        writer.close()


@pytest.fixture
async def witnessed() -> AsyncIterator[tuple[Witness, HttpTransport]]:
    """A platform that reads at once, and the way to it."""
    witness = Witness()
    witness.reads.set()
    listening = await asyncio.start_server(witness.serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    transport = HttpTransport("example", f"http://{host}:{port}", timeout_ms=100)
    await transport.open()
    yield witness, transport
    await transport.close()
    listening.close()


Witnessed = tuple[Witness, HttpTransport]


async def test_a_change_that_is_given_up_ends_in_a_reset(witnessed: Witnessed) -> None:
    witness, transport = witnessed
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        await transport.send("POST", "/thing", changes=True, headers={}, body={"a": 1})
    assert await witness.ended == "reset"


async def test_a_change_whose_call_is_cancelled_ends_in_a_reset(witnessed: Witnessed) -> None:
    witness, transport = witnessed
    call = asyncio.create_task(
        transport.send("POST", "/t", changes=True, headers={}, body=1, timeout_ms=60_000)
    )
    while not witness.received:  # noqa: ASYNC110 - the platform has the request
        await asyncio.sleep(0)
    call.cancel()
    assert await witness.ended == "reset"


async def test_a_change_that_is_answered_ends_in_the_normal_way(witnessed: Witnessed) -> None:
    witness, transport = witnessed
    witness.answer = ANSWER
    answer = await transport.send("POST", "/thing", changes=True, headers={}, body={"a": 1})
    assert answer.status == 200
    assert await witness.ended == "closed"


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_what_of_a_change_was_not_sent_when_it_was_given_up_is_never_sent(
    witnessed: Witnessed,
) -> None:
    """A platform that reads slowly leaves most of a large change in the process and the kernel."""
    witness, transport = witnessed
    witness.reads.clear()
    content = "x" * 32_000_000
    with pytest.raises(OutcomeUnknown):
        await transport.send("POST", "/thing", changes=True, headers={}, content=content)
    witness.reads.set()
    assert await witness.ended == "reset"
    assert witness.received < len(content) // 2


@pytest.mark.skipif(USER_TIMEOUT is None, reason="TCP_USER_TIMEOUT is Linux's")
async def test_the_kernel_gives_a_change_up_within_the_platforms_timeout(
    witnessed: Witnessed,
) -> None:
    witness, transport = witnessed
    call = asyncio.create_task(
        transport.send("POST", "/t", changes=True, headers={}, body=1, timeout_ms=60_000)
    )
    while not witness.received:  # noqa: ASYNC110 - the platform has the request
        await asyncio.sleep(0)
    assert user_timeouts_ms(port=witness.client[1]) == [100]
    call.cancel()


async def test_a_system_without_a_user_timeout_still_resets_what_is_given_up() -> None:
    made = for_changes(100, option=None)((socket.AF_INET, socket.SOCK_STREAM, 0))
    with made:
        linger = made.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert struct.unpack("ii", linger) == (1, 0)


def test_only_a_system_without_a_user_timeout_is_warned_of_at_start() -> None:
    text = warning(None)
    assert text is not None
    assert "TCP_USER_TIMEOUT" in text
    assert warning(18) is None


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("value", ["Bearer do-not-show\n", "do-not-show\x00", "do-not-show\u00e9"])
async def test_a_header_that_http_cannot_carry_is_not_sent_and_not_repeated(
    start: Start, changes: bool, value: str
) -> None:
    server, transport = await start()
    with pytest.raises(PlatformUnavailable, match="nothing was sent") as caught:
        await transport.send("PUT", "/thing", changes=changes, headers={"Authorization": value})
    assert "do-not-show" not in "".join(traceback.format_exception(caught.value))
    assert not server.requests


@pytest.mark.parametrize("changes", [False, True])
async def test_an_address_that_cannot_be_written_means_that_nothing_was_sent(
    changes: bool,
) -> None:
    for url in ("http://[", "http://host:port", "http://", "nothing"):
        transport = HttpTransport("example", url, timeout_ms=5_000)
        await transport.open()
        with pytest.raises(PlatformUnavailable, match="nothing was sent"):
            await transport.send("PUT", "/thing", changes=changes, headers={})
        await transport.close()


async def test_content_that_cannot_be_written_means_that_nothing_was_sent(start: Start) -> None:
    server, transport = await start()
    for what in ({"content": "\ud800"}, {"form": {"a": "\ud800"}}):
        with pytest.raises(PlatformUnavailable, match="nothing was sent"):
            await transport.send("POST", "/thing", changes=True, headers={}, **what)
    assert not server.requests


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnot!",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_an_answer_that_cannot_be_read_leaves_a_change_in_doubt(
    start: Start, answer: bytes
) -> None:
    server, transport = await start()
    server.answer = answer
    with pytest.raises(OutcomeUnknown):
        await transport.send("POST", "/thing", changes=True, headers={}, content="x")
    assert len(server.requests) == 1
