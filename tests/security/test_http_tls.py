"""HTTP with TLS, and beyond this machine."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.security.test_http import Raw, request
from tests.server.access.stage import Authority, application, entry

from smartconnectors_server.app import load_settings
from smartconnectors_server.checks import check_start
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.http import Pages
from smartconnectors_server.serving import pages_of
from smartconnectors_server.settings import HttpSettings
from smartconnectors_server.startup import StartupError

AUTHORITY = Authority()


def put(directory: Path, *names: str) -> dict[str, str]:
    """Writes a certificate and its key; `[http.tls]` for them."""
    issued = AUTHORITY.issue("server", *names)
    cert, key = directory / "http.pem", directory / "http.key"
    cert.write_bytes(issued.certificate)
    key.write_bytes(issued.key)
    return {"cert_file": str(cert), "key_file": str(key)}


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=AUTHORITY.pem.decode())


@pytest.fixture
async def address(tmp_path: Path, clock: ManualClock) -> AsyncIterator[str]:
    """Of an open server whose HTTP is encrypted, by the name in its certificate."""
    app = application(tmp_path, clock)
    await app.start()
    shown: Pages = pages_of(app)
    listening = await shown.start(
        HttpSettings.model_validate({"port": 0, "max_connections": 20, "tls": put(tmp_path)})
    )
    yield listening.replace("127.0.0.1", "localhost")
    await shown.stop()
    await app.stop()


async def test_http_is_served_over_tls(address: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://{address}/events", ssl=trusting()) as stream,
    ):
        assert stream.status == 200
        assert (await stream.content.readline()).startswith(b"data: ")


async def test_plain_text_is_not_answered_where_there_is_tls(address: str) -> None:
    async with Raw(address, request("/healthz")) as raw:
        assert b"alive" not in await raw.closed()


async def test_connections_that_never_begin_tls_are_counted_and_closed(
    address: str, clock: ManualClock
) -> None:
    silent = [Raw(address) for _ in range(200)]
    for one in silent:
        await one.__aenter__()
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"https://{address}/healthz", ssl=trusting())
        assert answer.status == 200
    clock.advance(6)
    for one in silent:
        await one.closed()
        await one.__aexit__()


async def test_a_renewed_certificate_is_used_from_the_next_connection(
    address: str, tmp_path: Path, clock: ManualClock
) -> None:
    put(tmp_path, "renewed.example")
    clock.advance(2)
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(
        host, int(port), ssl=trusting(), server_hostname="renewed.example"
    )
    writer.close()


def start_with(directory: Path, http: dict[str, Any], **server: Any) -> None:
    """Raises StartupError when a server would not start so."""
    state = {"state_dir": str(directory / "state"), **server}
    more = http.pop("access", None)
    document: dict[str, Any] = {"server": state, "http": http}
    if more is not None:
        document["access"] = more
    check_start(load_settings(None, {}, document))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "ads.example", ""])
def test_http_beyond_this_machine_needs_the_consent_that_grpc_needs(
    tmp_path: Path, host: str
) -> None:
    with pytest.raises(StartupError, match=r"http\.host: .*\[http\.tls\].*--insecure"):
        start_with(tmp_path, {"host": host})
    start_with(tmp_path, {"host": host, "insecure": True})
    start_with(tmp_path, {"host": host}, insecure=True)
    start_with(tmp_path, {"host": host, "tls": put(tmp_path)})
    start_with(tmp_path, {"host": host, "enabled": False})


def test_tls_of_grpc_is_no_consent_for_plain_http(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"http\.host"):
        start_with(tmp_path, {"host": "0.0.0.0"}, host="0.0.0.0", tls=put(tmp_path))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("http.pem", b"no certificate", "http.tls.cert_file"),
        ("http.key", b"no key", "http.tls"),
        ("http.key", AUTHORITY.issue("other").key, "http.tls.key_file.*is not the key"),
        ("http.pem", None, "http.tls.cert_file.*cannot be read"),
    ],
)
def test_a_certificate_that_cannot_be_used_refuses_the_start(
    tmp_path: Path, file: str, content: bytes | None, said: str
) -> None:
    files = put(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(StartupError, match=said):
        start_with(tmp_path, {"tls": files})


def test_metrics_that_need_a_token_need_access_control(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"http\.metrics_require_token"):
        start_with(tmp_path, {"metrics_require_token": True})
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(entry("read", "read", "reader"))
    start_with(tmp_path, {"metrics_require_token": True, "access": {"tokens_file": str(tokens)}})
