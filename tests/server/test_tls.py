"""The gRPC port with TLS: who connects, what is refused at the start, what changes later."""

from __future__ import annotations

import codecs
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.server.access.stage import (
    Authority,
    Caller,
    Issued,
    application,
    code_of,
    entry,
    tls,
)

from smartconnectors.credentials import tls as client_tls
from smartconnectors_server.app import Application
from smartconnectors_server.clock import SystemClock
from smartconnectors_server.settings import ServerSettings
from smartconnectors_server.startup import StartupError, check_host

LIST = "/smartconnectors.budgets.v1.BudgetService/ListBudgetStats"
UPDATE = "/smartconnectors.budgets.v1.BudgetService/UpdateBudget"
AUTHORITY = Authority()
STRANGER = Authority("stranger")

Serve = Callable[..., Awaitable[str]]


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    """The server's certificate, written where `tls` says."""
    certificate = AUTHORITY.issue("server.example.com")
    certificate.write(tmp_path)
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    return certificate


@pytest.fixture
async def serve(tmp_path: Path, issued: Issued) -> AsyncIterator[Serve]:
    """Starts a server with TLS; its address is by name, as in its certificate."""
    running: list[Application] = []

    async def start(access: Any = None, **more: str) -> str:
        app = application(
            tmp_path, SystemClock(), server={"tls": tls(tmp_path, **more)}, access=access
        )
        address = (await app.start()).grpc_address
        running.append(app)
        return address.replace("127.0.0.1", "localhost")

    yield start
    for app in running:
        await app.stop()


def trusting(authority: Authority, own: Issued | None = None) -> grpc.ChannelCredentials:
    """What a client has that trusts an authority."""
    return grpc.ssl_channel_credentials(authority.pem, own and own.key, own and own.certificate)


async def called(
    address: str, credentials: grpc.ChannelCredentials | None, token: str = "", path: str = LIST
) -> grpc.StatusCode:
    async with Caller(address, token, credentials) as caller:
        return await code_of(
            caller.channel.unary_unary(path)(b"", metadata=caller.metadata, timeout=60)
        )


async def test_a_client_that_trusts_the_authority_is_served(serve: Serve) -> None:
    assert await called(await serve(), trusting(AUTHORITY)) is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("mark", "encoding"), [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le")]
)
async def test_certificates_may_begin_with_a_mark_and_have_the_line_ends_of_any_system(
    tmp_path: Path, serve: Serve, mark: bytes, encoding: str
) -> None:
    for name in ("server.pem", "server.key", "ca.pem"):
        text = (tmp_path / name).read_text().replace("\n", "\r\n")
        (tmp_path / name).write_bytes(mark + text.encode(encoding))
    address = await serve(client_ca_file=str(tmp_path / "ca.pem"))
    own = AUTHORITY.issue("somebody")
    own_files = {"own.pem": own.certificate, "own.key": own.key}
    for name, content in own_files.items():
        (tmp_path / name).write_bytes(mark + content.decode().encode(encoding))
    client = client_tls(tmp_path / "ca.pem", tmp_path / "own.pem", tmp_path / "own.key")
    assert await called(address, client) is grpc.StatusCode.OK


async def test_a_client_that_trusts_another_authority_does_not_connect(serve: Serve) -> None:
    assert await called(await serve(), trusting(STRANGER)) is grpc.StatusCode.UNAVAILABLE


async def test_a_plain_text_client_fails_cleanly_and_the_server_goes_on(serve: Serve) -> None:
    address = await serve()
    assert await called(address, None, token="never-read") is grpc.StatusCode.UNAVAILABLE
    assert await called(address, trusting(AUTHORITY)) is grpc.StatusCode.OK


async def test_a_client_without_a_certificate_is_refused_where_one_is_required(
    serve: Serve, tmp_path: Path
) -> None:
    address = await serve(client_ca_file=str(tmp_path / "ca.pem"))
    own = AUTHORITY.issue("model.example.com")
    assert await called(address, trusting(AUTHORITY)) is grpc.StatusCode.UNAVAILABLE
    assert await called(address, trusting(AUTHORITY, own)) is grpc.StatusCode.OK


async def test_a_client_with_a_certificate_of_another_authority_is_refused(
    serve: Serve, tmp_path: Path
) -> None:
    address = await serve(client_ca_file=str(tmp_path / "ca.pem"))
    forged = STRANGER.issue("model.example.com")
    assert await called(address, trusting(AUTHORITY, forged)) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("names", "path", "code"),
    [
        (("x", "model.example.com"), LIST, "OK"),
        (("x", "model.example.com"), UPDATE, "PERMISSION_DENIED"),
        (("x", "operator.example.com"), UPDATE, "INVALID_ARGUMENT"),
        (("nobody.example.com",), LIST, "UNAUTHENTICATED"),
    ],
)
async def test_a_certificate_says_who_calls(
    serve: Serve, tmp_path: Path, names: tuple[str, ...], path: str, code: str
) -> None:
    certificates = {
        "dns:model.example.com": {"role": "bid"},
        "dns:operator.example.com": {"role": "operate"},
    }
    address = await serve({"certificates": certificates}, client_ca_file=str(tmp_path / "ca.pem"))
    own = AUTHORITY.issue(*names)
    assert (await called(address, trusting(AUTHORITY, own), path=path)).name == code


async def test_a_token_goes_over_tls(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(entry("t", "read"))
    address = await serve({"tokens_file": str(tmp_path / "tokens.toml")})
    assert await called(address, trusting(AUTHORITY), "t") is grpc.StatusCode.OK
    assert (await called(address, trusting(AUTHORITY))).name == "UNAUTHENTICATED"


async def test_a_renewed_certificate_is_taken_up_for_new_connections(
    serve: Serve, tmp_path: Path
) -> None:
    address = await serve()
    async with Caller(address, "", trusting(AUTHORITY)) as old:
        assert await code_of(old.channel.unary_unary(LIST)(b"")) is grpc.StatusCode.OK
        STRANGER.issue("server.example.com").write(tmp_path)
        assert await called(address, trusting(STRANGER)) is grpc.StatusCode.OK
        assert await called(address, trusting(AUTHORITY)) is grpc.StatusCode.UNAVAILABLE
        assert await code_of(old.channel.unary_unary(LIST)(b"")) is grpc.StatusCode.OK


async def test_a_broken_certificate_keeps_the_old_one_in_force(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = await serve()
    (tmp_path / "server.pem").write_text("hunter2")
    assert await called(address, trusting(AUTHORITY)) is grpc.StatusCode.OK
    assert "server.tls.cert_file" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_certificate_whose_key_comes_a_moment_later_is_taken_up_with_it(
    serve: Serve, tmp_path: Path
) -> None:
    address = await serve()
    renewed = STRANGER.issue("server.example.com")
    (tmp_path / "server.pem").write_bytes(renewed.certificate)
    assert await called(address, trusting(AUTHORITY)) is grpc.StatusCode.OK
    (tmp_path / "server.key").write_bytes(renewed.key)
    assert await called(address, trusting(STRANGER)) is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("server.pem", None, r"server\.tls\.cert_file: .*cannot be read"),
        ("server.key", None, r"server\.tls\.key_file: .*cannot be read"),
        ("ca.pem", None, r"server\.tls\.client_ca_file: .*cannot be read"),
        ("server.pem", b"hunter2", r"server\.tls\.cert_file: .*is no certificate"),
        ("server.pem", b"", r"server\.tls\.cert_file: .*is no certificate"),
        ("server.key", b"hunter2", r"server\.tls\.key_file: .*is no private key"),
        ("ca.pem", b"hunter2", r"server\.tls\.client_ca_file: .*is no certificate"),
        ("server.key", AUTHORITY.issue("x").key, r"server\.tls\.key_file: .*is not the key"),
        (
            "server.key",
            AUTHORITY.issue("x", password=b"hunter2").key,
            r"server\.tls\.key_file: .*encrypted",
        ),
    ],
)
async def test_a_file_that_cannot_be_used_refuses_the_start_by_its_key_and_not_its_content(
    serve: Serve, tmp_path: Path, file: str, content: bytes | None, said: str
) -> None:
    _put(tmp_path / file, content)
    with pytest.raises(StartupError, match=said) as caught:
        await serve(client_ca_file=str(tmp_path / "ca.pem"))
    assert "hunter2" not in str(caught.value)
    assert "PRIVATE" not in str(caught.value)


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


async def test_a_certificate_that_has_expired_is_said_loudly(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    AUTHORITY.issue("x", until=dt.datetime(2021, 1, 1, tzinfo=dt.UTC)).write(tmp_path)
    address = await serve()
    assert "the certificate expired at 2021-01-01" in caplog.text
    assert await called(address, trusting(AUTHORITY)) is grpc.StatusCode.UNAVAILABLE


def test_with_tls_others_may_reach_the_server(tmp_path: Path) -> None:
    check_host(ServerSettings(host="0.0.0.0", tls=tls(tmp_path)))
    with pytest.raises(StartupError, match="--tls-cert"):
        check_host(ServerSettings(host="0.0.0.0"))
