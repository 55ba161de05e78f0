"""A provider's keys are fetched over TLS, bounded, and kept while the provider is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError
from tests.server.access.people import Person
from tests.server.access.stage import Provider, application, code_of

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors_server.access.fetched import MOST_BYTES
from smartconnectors_server.access.signed import URL_KEY, SignedTokens
from smartconnectors_server.access_settings import JwtSettings
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import Unauthenticated

OLD = Provider(ec.generate_private_key(ec.SECP256R1()), "ES256", "old")
NEW = Provider(ec.generate_private_key(ec.SECP256R1()), "ES256", "new")
NOW_S = 1_700_000_000


class KeySet:
    """What a provider answers.

    Attributes:
        answer: the response to every request; None: the keys of `providers`.
        asked: how often it was asked.
    """

    def __init__(self) -> None:
        self.providers = [OLD]
        self.answer: web.Response | None = None
        self.asked = 0

    async def get(self, _request: web.Request) -> web.Response:
        self.asked += 1
        if self.answer is not None:
            return self.answer
        return web.json_response({"keys": [one.public for one in self.providers]})


class Scene:
    """A provider, and what checks its tokens."""

    def __init__(self, keys: KeySet, url: str, clock: ManualClock) -> None:
        self.keys = keys
        self.url = url
        self.clock = clock
        self.signed = SignedTokens(settings(url), clock)
        self.fetched: Any = self.signed._keys

    async def passes(self, seconds: float) -> None:
        """Time, after which what is due is fetched."""
        self.clock.advance(seconds)
        if self.fetched.is_due():
            async with aiohttp.ClientSession() as session:
                await self.fetched.fetch(session)

    def takes(self, provider: Provider) -> bool:
        now_s = self.clock.wall_ns() / 1e9
        try:
            self.signed.caller(provider.sign(now_s))
        except Unauthenticated:
            return False
        return True


def settings(url: str, **more: Any) -> JwtSettings:
    return JwtSettings(jwks_url=url, issuer=Provider.ISSUER, audience=Provider.AUDIENCE, **more)


@pytest.fixture
async def scene(clock: ManualClock) -> AsyncIterator[Scene]:
    keys = KeySet()
    app = web.Application()
    app.router.add_get("/keys", keys.get)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield Scene(keys, f"http://{host}:{port}/keys", clock)
    await runner.cleanup()


async def test_before_the_first_answer_no_token_is_taken(scene: Scene) -> None:
    with pytest.raises(Unauthenticated, match="not fetched yet"):
        scene.signed.caller(OLD.sign(NOW_S))
    await scene.passes(0)
    assert scene.signed.look()
    assert scene.takes(OLD)
    assert not scene.signed.look()


async def test_keys_are_fetched_again_when_their_time_has_passed(scene: Scene) -> None:
    await scene.passes(0)
    scene.keys.providers = [NEW]
    await scene.passes(299)
    assert scene.takes(OLD)
    await scene.passes(1)
    assert (scene.takes(OLD), scene.takes(NEW)) == (False, True)
    assert scene.keys.asked == 2


async def test_an_unknown_key_has_them_fetched_earlier_but_not_at_any_rate(scene: Scene) -> None:
    await scene.passes(0)
    scene.keys.providers = [OLD, NEW]
    for _ in range(29):
        assert not scene.takes(NEW)
        await scene.passes(1)
    assert scene.keys.asked == 1
    await scene.passes(1)
    assert scene.takes(NEW)
    assert scene.keys.asked == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (web.Response(status=503), "answered 503"),
        (web.Response(status=302, headers={"location": "/keys"}), "answered 302"),
        (web.Response(text="hunter2"), "no JSON Web Key Set"),
        (web.Response(text='{"keys": []}'), "no key for"),
        (web.Response(body=b" " * (MOST_BYTES + 1)), "larger than"),
    ],
    ids=["away", "redirect", "no JSON", "empty", "too large"],
)
async def test_an_answer_that_cannot_be_used_keeps_the_old_keys_and_is_a_problem(
    scene: Scene, answer: web.Response, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.passes(0)
    scene.keys.answer = answer
    await scene.passes(300)
    assert scene.takes(OLD)
    assert scene.signed.problem is not None
    assert scene.signed.problem.key == URL_KEY
    assert why in scene.signed.problem.why
    assert why in caplog.text
    assert "hunter2" not in caplog.text
    scene.keys.answer = None
    await scene.passes(30)
    assert scene.signed.problem is None


async def test_a_provider_that_is_not_reached_is_a_problem(clock: ManualClock) -> None:
    scene = Scene(KeySet(), "http://127.0.0.1:1/keys", clock)
    await scene.passes(0)
    assert scene.signed.problem is not None
    assert "cannot be fetched: ClientConnectorError" in scene.signed.problem.why


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/keys",
        "http://127.0.0.1.example.com/keys",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "https://user:secret@login.example.com/keys",
        "https://",
        "https://a b/keys",
        "https://a:port/keys",
    ],
)
def test_keys_are_fetched_over_tls_alone_but_on_this_machine(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(url)
    said = str(caught.value.errors(include_input=False, include_url=False))
    assert "jwks_url" in said
    assert "https://" in said


@pytest.mark.parametrize("url", ["https://login.example.com/keys", "http://[::1]:8/keys"])
def test_addresses_that_are_fetched(url: str) -> None:
    assert settings(url).jwks_url == url


def test_keys_come_from_a_file_or_an_address(tmp_path: Path) -> None:
    for more in ({}, {"jwks_url": "https://a/keys", "jwks_file": tmp_path / "keys"}):
        with pytest.raises(ValidationError, match="jwks_file or jwks_url"):
            JwtSettings.model_validate({"issuer": "i", "audience": "a", **more})


async def test_a_server_fetches_the_keys_of_its_provider(
    scene: Scene, tmp_path: Path, clock: ManualClock
) -> None:
    access = {"jwt": json.loads(settings(scene.url).model_dump_json(exclude_none=True))}
    app = application(tmp_path, clock, access=access)
    address = (await app.start()).grpc_address
    person = Person(address, OLD.sign(NOW_S, role="read"))
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + 60
    while True:
        ended = await code_of(
            person.ask(person.budgets.ListBudgetStats, pb.ListBudgetStatsRequest())
        )
        if ended.name == "OK" or loop.time() > give_up_at:
            break
        clock.advance(1)
    assert ended.name == "OK"
    assert app.core.auth.gatekeeper.files() == {URL_KEY: ""}
    await person.channel.close()
    await app.stop()
