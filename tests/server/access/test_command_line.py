"""Commands that show a token or a certificate, to a real server in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.access.stage import Authority, application, entry, tls

from smartconnectors_server.cli import run

AUTHORITY = Authority()
TOKEN = "sc_a-token-for-a-test"

Start = Callable[..., str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts one server with a tokens file."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    running = []

    def started(platforms: list[str] | None = None, **server: Any) -> str:
        restriction = {} if platforms is None else {"platforms": platforms}
        tokens = entry(TOKEN, "read", "reader", **restriction)
        (tmp_path / "tokens.toml").write_text(tokens)

        async def begin() -> str:
            access = {"tokens_file": str(tmp_path / "tokens.toml")}
            app = application(tmp_path, server=server, access=access)
            running.append(app)
            address = (await app.start()).grpc_address
            await app.tried()
            return address

        return asyncio.run_coroutine_threadsafe(begin(), loop).result(20)

    yield started
    for app in running:
        asyncio.run_coroutine_threadsafe(app.stop(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return str(path)


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """(exit code, out, err) of a command line."""
    capsys.readouterr()
    exit_code = run(arguments)
    captured = capsys.readouterr()
    assert TOKEN not in captured.out + captured.err
    return exit_code, captured.out, captured.err


def test_a_command_without_a_token_is_told_how_to_show_one(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code, _, err = ask(capsys, "status", "--target", start())
    assert exit_code == 1
    assert "--token-file" in err
    assert "UNAUTHENTICATED" in err


def test_a_command_shows_the_token_of_a_file(
    start: Start, capsys: pytest.CaptureFixture[str], token_file: str
) -> None:
    exit_code, out, err = ask(
        capsys, "status", "--json", "--target", start(), "--token-file", token_file
    )
    assert exit_code == 0, err
    assert json.loads(out)["health"] == "SERVING"


def test_status_shows_to_who_is_restricted_what_it_may_see(
    start: Start, capsys: pytest.CaptureFixture[str], token_file: str
) -> None:
    target = start(platforms=["meta"])
    arguments = ("status", "--json", "--target", target, "--token-file", token_file)
    exit_code, out, err = ask(capsys, *arguments)
    assert exit_code == 0, err
    seen = json.loads(out.splitlines()[-1])  # the server logs to the same place
    assert [one["platform"] for one in seen["connectors"]] == ["meta"]
    assert [one["budget_id"] for one in seen["stats"]] == ["meta"]


def test_a_command_shows_the_token_of_the_environment(
    start: Start, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMART_CONNECTORS_TOKEN", TOKEN)
    assert ask(capsys, "status", "--target", start())[0] == 0


def test_a_stream_shows_the_token_too(
    start: Start, capsys: pytest.CaptureFixture[str], token_file: str
) -> None:
    arguments = ("--count", "1", "--json", "--token-file", token_file)
    exit_code, out, err = ask(capsys, "watch", "meta", "--target", start(), *arguments)
    assert exit_code == 0, err
    assert json.loads(out)["budget_id"] == "meta"


@pytest.mark.parametrize(
    "command",
    [
        ("bid", "google_ads", "--campaign", "1001", "--amount", "1"),
        ("get", "meta", "some-bid"),
        ("campaign", "pause", "meta", "1001"),
        ("budget", "set", "meta", "--limit", "1", "--reason", "a test"),
        ("resume", "meta", "--reason", "a test"),
        ("holds",),
        ("holds", "resolve", "h", "released", "--reason", "a test"),
        ("audit",),
        ("audit", "export"),
        ("audit", "verify"),
    ],
    ids=" ".join,
)
def test_every_command_that_asks_a_server_can_show_a_token(
    start: Start, capsys: pytest.CaptureFixture[str], token_file: str, command: tuple[str, ...]
) -> None:
    target = start()
    _, out, err = ask(capsys, *command, "--target", target)
    assert "UNAUTHENTICATED" in out + err
    _, out, err = ask(capsys, *command, "--target", target, "--token-file", token_file)
    assert "UNAUTHENTICATED" not in out + err
    assert "No such option" not in out + err


def test_a_role_that_does_not_suffice_is_said(
    start: Start, capsys: pytest.CaptureFixture[str], token_file: str
) -> None:
    arguments = ("pause", "meta", "--reason", "a test", "--token-file", token_file)
    exit_code, _, err = ask(capsys, *arguments, "--target", start())
    assert exit_code == 1
    assert "this needs the role `operate`, and reader has `read`" in err


def test_a_token_is_not_sent_to_another_machine_in_plain_text(
    capsys: pytest.CaptureFixture[str], token_file: str
) -> None:
    for target in ("192.0.2.1:50051", "example.org:50051", "127.example.org:50051"):
        exit_code, _, err = ask(capsys, "status", "--target", target, "--token-file", token_file)
        assert exit_code == 2
        assert "in plain text" in err
        assert "--tls" in err


def test_a_command_speaks_tls_and_shows_its_certificate(
    start: Start, capsys: pytest.CaptureFixture[str], token_file: str, tmp_path: Path
) -> None:
    AUTHORITY.issue("server.example.com").write(tmp_path)
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    own = AUTHORITY.issue("client.example.com")
    (tmp_path / "own.pem").write_bytes(own.certificate)
    (tmp_path / "own.key").write_bytes(own.key)
    target = start(tls=tls(tmp_path, client_ca_file=str(tmp_path / "ca.pem")))
    target = target.replace("127.0.0.1", "localhost")
    given = ("status", "--target", target, "--token-file", token_file)
    trusting = (*given, "--tls-ca", str(tmp_path / "ca.pem"))
    showing = (*trusting, "--tls-cert", str(tmp_path / "own.pem"))
    assert ask(capsys, *showing, "--tls-key", str(tmp_path / "own.key"))[0] == 0
    assert ask(capsys, *trusting)[0] == 3
    exit_code, _, err = ask(capsys, *given)
    assert exit_code == 3
    assert "--tls" in err
    exit_code, _, err = ask(capsys, *showing)
    assert exit_code == 2
    assert "come together" in err


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), ("", "one word"), ("two words", "one word")]
)
def test_a_token_file_that_has_none_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    exit_code, _, err = ask(capsys, "status", "--token-file", str(file))
    assert exit_code == 2
    assert said in err.lower()
    assert not content or content not in err
