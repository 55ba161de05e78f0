"""The HTTP port: what takes its connections, who is refused there, and what that leaves behind."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
import structlog
from tests.server.access.stage import application, entry

from smartconnectors_server.access import Gatekeeper, Refusals
from smartconnectors_server.app import Application
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.http import HttpRules, Pages
from smartconnectors_server.serving import pages_of
from smartconnectors_server.settings import HttpSettings, Settings
from smartconnectors_server.telemetry import Telemetry, configure_logging

WITHIN_S = 60
Open = Callable[..., Awaitable[str]]


@pytest.fixture
async def pages(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Open]:
    """Starts a server with its pages, and returns their address."""
    running: list[tuple[Application, Pages]] = []

    async def start(access: Any = None, **http: Any) -> str:
        app = application(tmp_path, clock, access=access)
        await app.start()
        shown = pages_of(app)
        running.append((app, shown))
        return await shown.start(HttpSettings(port=0, **http))

    yield start
    for app, shown in running:
        await shown.stop()
        await app.stop()


@pytest.fixture
async def web_client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What is logged, as `serve` does."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    said = io.StringIO()
    configure_logging("text", said)
    yield said
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


class Raw:
    """A connection that sends what it is told to."""

    def __init__(self, address: str, sent: bytes = b"") -> None:
        self._host, _, self._port = address.rpartition(":")
        self._sent = sent

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(self._host, int(self._port))
        self.writer.write(self._sent)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def closed(self) -> bytes:
        """What the server said until it closed the connection."""
        heard = b""
        async with asyncio.timeout(WITHIN_S):
            try:
                while part := await self.reader.read(65536):
                    heard += part
            except ConnectionResetError:
                pass
        return heard


def rewrite(file: Path, text: str) -> None:
    file.write_text(text)


def add(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


def request(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def status(address: str, sent: bytes) -> int:
    """Of one raw request."""
    async with Raw(address, sent) as raw, asyncio.timeout(WITHIN_S):
        line = await raw.reader.readline()
    return int(line.split()[1])


async def count_closed(connections: list[Raw]) -> int:
    """How many of them the server has closed; asked after an answer on a newer connection."""
    ends = [asyncio.create_task(raw.reader.read(1)) for raw in connections]
    await asyncio.sleep(0)
    done, waiting = await asyncio.wait(ends, timeout=0.2)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for one in done:
        one.exception()
    return len(done)


async def test_idle_connections_take_no_more_files_than_http_may_have_and_readyz_answers(
    pages: Open,
) -> None:
    address = await pages(max_connections=40)
    idle = [Raw(address) for _ in range(1_100)]
    for one in idle:
        await one.__aenter__()
    assert await status(address, request("/healthz")) == 200
    assert await count_closed(idle) >= 1_100 - 40
    for one in idle:
        await one.__aexit__()


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: loc"], ids=["none", "half"])
async def test_a_connection_without_a_whole_request_is_closed(
    pages: Open, clock: ManualClock, sent: bytes
) -> None:
    address = await pages()
    async with Raw(address, sent) as raw:
        assert await status(address, request("/healthz")) == 200  # the other has been accepted
        clock.advance(6)
        assert await raw.closed() == b""


async def test_a_connection_is_closed_when_no_further_request_comes(
    pages: Open, clock: ManualClock
) -> None:
    address = await pages()
    async with Raw(address, request("/healthz")) as raw:
        assert b"200" in await raw.reader.readline()
        clock.advance(60)
        raw.writer.write(request("/healthz"))
        await raw.reader.readuntil(b"alive\n")
        assert b"200" in await raw.reader.readline()
        clock.advance(80)
        await raw.closed()


async def test_a_request_whose_body_does_not_come_is_ended(
    pages: Open, clock: ManualClock, guarded: Any
) -> None:
    address = await pages(guarded)
    headers = ("Authorization: Bearer operate", "Content-Length: 1000")
    async with Raw(address, request("/pause", *headers, method="POST")) as raw:
        await status(address, request("/healthz"))
        clock.advance(31)
        await raw.closed()


async def test_a_viewer_that_reads_nothing_is_closed(clock: ManualClock) -> None:
    """Built by hand, for a picture larger than every buffer."""
    telemetry = Telemetry()
    step = iter(range(1_000_000))
    shown = Pages(
        telemetry.metrics,
        lambda: True,
        dict,
        lambda: {"n": next(step), "large": "x" * 20_000_000},
        clock,
        Gatekeeper(Settings(), clock),
        None,  # type: ignore[arg-type]
        Refusals(telemetry, clock),
        rules=HttpRules(),
    )
    address = await shown.start(HttpSettings(port=0))
    async with Raw(address, request("/events")) as raw:
        assert b"200" in await raw.reader.readline()
        clock.advance(11)
        await raw.closed()
    await shown.stop()


async def test_a_request_under_way_is_not_closed_for_others(
    pages: Open, web_client: aiohttp.ClientSession
) -> None:
    address = await pages(max_connections=8)
    async with web_client.get(f"http://{address}/events") as stream:
        await stream.content.readline()
        idle = [Raw(address) for _ in range(100)]
        for one in idle:
            await one.__aenter__()
        assert await status(address, request("/healthz")) == 200
        assert not stream.content.at_eof()
        assert stream.connection is not None
        for one in idle:
            await one.__aexit__()


async def test_dashboards_are_bounded_in_number(
    pages: Open, web_client: aiohttp.ClientSession, guarded: Any
) -> None:
    address = await pages(guarded, max_event_streams=4)

    async def watch(token: str) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {token}"}
        return await web_client.get(f"http://{address}/events", headers=headers)

    two = [await watch("read") for _ in range(2)]
    assert [one.status for one in two] == [200, 200]
    third = await watch("read")
    assert third.status == 503
    assert (await third.json())["reason"] == "OVERLOADED"
    others = [await watch("operate") for _ in range(2)]
    assert [one.status for one in others] == [200, 200]
    assert (await watch("bid")).status == 503
    for one in [*two, *others]:
        one.close()


async def events_until_end(stream: aiohttp.ClientResponse, clock: ManualClock) -> str:
    """The reason that a stream of events ends with; time passes meanwhile."""
    await stream.content.readuntil(b"\n\n")
    heard = b""
    reading = asyncio.ensure_future(stream.content.read())
    async with asyncio.timeout(WITHIN_S):
        while not reading.done():
            clock.advance(11)
            await asyncio.wait([reading], timeout=0.05)
    heard = await reading
    return str(json.loads(heard.rpartition(b"data: ")[2])["reason"])


async def test_a_dashboard_ends_when_its_token_is_revoked(
    pages: Open,
    web_client: aiohttp.ClientSession,
    guarded: Any,
    tokens: Path,
    clock: ManualClock,
) -> None:
    address = await pages(guarded)
    headers = {"Authorization": "Bearer read"}
    async with web_client.get(f"http://{address}/events", headers=headers) as stream:
        rewrite(tokens, entry("operate", "operate", "operator"))
        assert await events_until_end(stream, clock) == "UNAUTHENTICATED"


async def test_a_dashboard_ends_when_its_token_is_restricted(
    pages: Open,
    web_client: aiohttp.ClientSession,
    guarded: Any,
    tokens: Path,
    clock: ManualClock,
) -> None:
    address = await pages(guarded)
    headers = {"Authorization": "Bearer read"}
    async with web_client.get(f"http://{address}/events", headers=headers) as stream:
        rewrite(tokens, entry("read", "read", "reader", platforms=["meta"]))
        assert await events_until_end(stream, clock) == "PERMISSION_DENIED"


async def test_a_dashboard_ends_when_its_token_expires(
    pages: Open,
    web_client: aiohttp.ClientSession,
    guarded: Any,
    tokens: Path,
    clock: ManualClock,
) -> None:
    expires = datetime.fromtimestamp(clock.wall_ns() / 1e9 + 5, UTC).isoformat()
    rewrite(tokens, entry("read", "read", "reader", expires_at=expires))
    address = await pages(guarded)
    headers = {"Authorization": "Bearer read"}
    async with web_client.get(f"http://{address}/events", headers=headers) as stream:
        assert await events_until_end(stream, clock) == "UNAUTHENTICATED"


MALFORMED = ("Bearer \xff", "Bearer \xff.\xff.\xff", "Bearer", "\xff", "Basic eDp5", "Bearer a.b.c")


@pytest.mark.parametrize("shown", MALFORMED)
@pytest.mark.parametrize(("method", "path"), [("GET", "/events"), ("POST", "/pause")])
async def test_a_malformed_token_is_unauthenticated_and_leaves_one_short_line(
    pages: Open, guarded: Any, logged: io.StringIO, method: str, path: str, shown: str
) -> None:
    address = await pages(guarded)
    before = len(logged.getvalue())
    sent = request(path, f"Authorization: {shown}", method=method)
    assert await status(address, sent) == 401
    said = logged.getvalue()[before:]
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if "access_refused" in line]
    assert len(line) < 400
    assert "port=http" in line
    assert "UNAUTHENTICATED" in line


async def test_two_tokens_at_once_are_refused_as_they_are_by_grpc(
    pages: Open, guarded: Any
) -> None:
    address = await pages(guarded)
    shown = ("Authorization: Bearer read", "Authorization: Bearer operate")
    assert await status(address, request("/events", *shown)) == 401


BODIES = {
    "nested": b"[" * 100_000,
    "not text": b"\xff\xfe\xff",
    "a list": b"[]",
    "half a character": b'{"scope": "all", "paused": true, "reason": "\\ud800"}',
    "half a character in a name": b'{"scope": "\\ud800", "paused": true, "reason": "x"}',
    "a number beyond reading": b'{"scope": "all", "paused": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("charset", ["utf-8", "nope"])
async def test_a_malformed_body_is_a_bad_request_without_a_traceback(
    pages: Open, guarded: Any, logged: io.StringIO, body: bytes, charset: str
) -> None:
    address = await pages(guarded)
    headers = (
        "Authorization: Bearer operate",
        f"Content-Type: application/json; charset={charset}",
    )
    assert await status(address, request("/pause", *headers, method="POST", body=body)) == 400
    assert "Error handling request" not in logged.getvalue()


GARBAGE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
    b"GET \xff\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
)


async def test_requests_that_are_no_http_leave_no_traceback_and_few_lines(
    pages: Open, logged: io.StringIO
) -> None:
    address = await pages()
    before = len(logged.getvalue())
    for _ in range(20):
        for sent in GARBAGE:
            async with Raw(address, request("/healthz") + sent) as raw:
                await raw.closed()
    said = logged.getvalue()[before:]
    assert "Traceback" not in said
    assert len(said) < 2_000


async def test_a_refused_role_is_logged_over_http_too(
    pages: Open, guarded: Any, logged: io.StringIO
) -> None:
    address = await pages(guarded)
    sent = request("/pause", "Authorization: Bearer read", method="POST", body=b"{}")
    assert await status(address, sent) == 403
    (line,) = [line for line in logged.getvalue().splitlines() if "access_refused" in line]
    assert "actor=read-er" in line
    assert "PERMISSION_DENIED" in line


def of_host(path: str, host: str, *headers: str) -> bytes:
    return request(path, *headers).replace(b"Host: localhost", f"Host: {host}".encode())


@pytest.mark.parametrize("path", ["/events", "/metrics"])
@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:8080", "127.0.0.1.attacker.example", "A.b."]
)
async def test_a_name_that_another_site_could_have_is_refused(
    pages: Open, path: str, host: str
) -> None:
    assert await status(await pages(), of_host(path, host)) == 403


@pytest.mark.parametrize(
    "host",
    [
        *("localhost:8080", "127.0.0.1:8080", "[::1]:8080", "10.1.2.3", "server:8080"),
        *("a.localhost", "Metrics.Example:443", "metrics.example.", ""),
    ],
)
async def test_addresses_and_names_of_the_servers_own_are_answered(pages: Open, host: str) -> None:
    address = await pages(allowed_hosts=["metrics.example"])
    assert await status(address, of_host("/metrics", host)) == 200
    assert await status(address, of_host("/events", host)) == 200


async def test_with_access_control_metrics_refuse_foreign_names_and_the_dashboard_needs_a_token(
    pages: Open, guarded: Any
) -> None:
    address = await pages(guarded)
    assert await status(address, of_host("/metrics", "attacker.example")) == 403
    token = "Authorization: Bearer read"
    assert await status(address, of_host("/events", "proxy.example", token)) == 200
    for path in ("/healthz", "/readyz"):  # they tell nothing that a name protects
        assert await status(address, of_host(path, "probe.example")) != 403


async def test_metrics_are_for_readers_when_the_settings_say_so(
    pages: Open, guarded: Any, tokens: Path
) -> None:
    add(tokens, entry("some", "read", "some", platforms=["meta"]))
    address = await pages(guarded, metrics_require_token=True)
    codes = {
        token: await status(address, request("/metrics", f"Authorization: Bearer {token}"))
        for token in ("read", "wrong", "some")
    }
    assert codes == {"read": 200, "wrong": 401, "some": 403}
    assert await status(address, request("/metrics")) == 401


async def test_without_that_setting_metrics_need_no_token(pages: Open, guarded: Any) -> None:
    assert await status(await pages(guarded), request("/metrics")) == 200
