"""OAuth tokens: fetched once for many, kept fresh, and a failure that tells no secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector.sandbox import Journal
from smartconnectors_server.errors import PlatformUnavailable
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.sandbox.oauth import TokenEndpoint
from smartconnectors_server.platforms.google_ads.sandbox_access import (
    CLIENT_ID,
    CLIENT_SECRET,
    REFRESH_TOKEN,
    TOKEN_PATH,
)
from smartconnectors_server.platforms.google_ads.tokens import (
    Tokens,
    real_credentials,
    refresh_token_credentials,
)


class Office:
    """A token endpoint and whoever asks it."""

    def __init__(self, clock: ManualClock) -> None:
        self.journal = Journal(clock)
        self.endpoint = TokenEndpoint(self.journal)
        self.uri = ""
        self._made: list[Tokens] = []

    async def start(self) -> None:
        host, port = await self.endpoint.start("127.0.0.1")
        self.uri = f"http://{host}:{port}{TOKEN_PATH}"

    async def close(self) -> None:
        for tokens in self._made:
            await tokens.close()
        await self.endpoint.close()

    def tokens(self, **changed: Any) -> Tokens:
        arguments: dict[str, Any] = {
            "token_uri": self.uri,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
        }
        made = Tokens(refresh_token_credentials(**{**arguments, **changed}), timeout_s=2.0)
        self._made.append(made)
        return made


@pytest.fixture
async def office(clock: ManualClock) -> AsyncIterator[Office]:
    made = Office(clock)
    await made.start()
    yield made
    await made.close()


async def test_many_who_ask_at_once_get_the_same_token_of_one_request(office: Office) -> None:
    tokens = office.tokens()
    headers = await asyncio.gather(*(tokens.authorization() for _ in range(10)))
    assert set(headers) == {"Bearer sandbox-token-1"}
    assert office.endpoint.knows(headers[0])
    assert len(office.journal.read()) == 1


async def test_a_forgotten_token_is_fetched_anew(office: Office) -> None:
    tokens = office.tokens()
    await tokens.authorization()
    tokens.forget()
    assert await tokens.authorization() == "Bearer sandbox-token-2"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"refresh_token": SecretStr("hidden-refresh")}, "invalid_grant"),
        ({"client_secret": SecretStr("hidden-client")}, "invalid_client"),
    ],
)
async def test_credentials_that_google_does_not_take_are_said_to_be_so(
    office: Office, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(PlatformUnavailable, match=words) as caught:
        await office.tokens(**changed).authorization()
    assert "hidden" not in str(caught.value)


async def test_an_endpoint_that_is_away_means_nothing_was_sent(office: Office) -> None:
    await office.endpoint.close()
    with pytest.raises(PlatformUnavailable, match=r"was not reached|did not answer"):
        await office.tokens().authorization()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {"access_token": None, "expires_in": 3600},
        {"access_token": ["t"], "expires_in": 3600},
        {"access_token": "two\nlines", "expires_in": 3600},
        {"access_token": "half \ud83d", "expires_in": 3600},
        {"access_token": "t", "expires_in": {}},
        {"access_token": "t", "expires_in": 10**30},
    ],
)
async def test_an_answer_without_a_token_that_can_be_sent_means_nothing_was_sent(
    office: Office, answer: Any
) -> None:
    async def said(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post(TOKEN_PATH, said)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    tokens = office.tokens(token_uri=f"http://{host}:{port}{TOKEN_PATH}")
    for _ in range(2):
        with pytest.raises(
            PlatformUnavailable, match=r"token endpoint gave no|gave no OAuth token"
        ):
            await tokens.authorization()
    assert all(isinstance(secret, str) for secret in tokens.secrets())
    await runner.cleanup()


def test_a_service_account_s_key_file_is_enough(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = tmp_path / "key.json"
    document = {
        "type": "service_account",
        "private_key": key.decode(),
        "client_email": "bidder@example.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    for content in (json.dumps(document), "\ufeff" + json.dumps(document, indent=1)):
        file.write_text(content, newline="\r\n")
        credentials = real_credentials(GoogleAdsOptions(json_key_file_path=f"{file}\n"))
        assert credentials.service_account_email == "bidder@example.com"


@pytest.mark.parametrize(
    "content",
    [None, "not JSON, but hidden", '{"private_key": "hidden"}', '["hidden"]', '"hidden"', "\0"],
)
def test_a_key_file_that_cannot_be_used_is_named_and_not_quoted(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(PlatformUnavailable, match="GOOGLE_ADS_JSON_KEY_FILE_PATH") as caught:
        real_credentials(GoogleAdsOptions(json_key_file_path=str(file)))
    assert "hidden" not in str(caught.value)
