"""The documents against the sandbox: it takes every exemplary request and answers like its fixture,
and every case that a platform must show is there.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from smartconnectors_server.platforms.trade_desk.sandbox_access import (
    EXCHANGE_PATH,
    SANDBOX_TOKEN,
)

if TYPE_CHECKING:
    from smartconnectors_server.platforms.trade_desk.sandbox import TradeDeskSandbox

WIRETESTS = resources.files("smartconnectors_server.platforms.trade_desk.wiretests")
REQUIRED = {
    "timeout_after_send",
    "connection_refused",
    "status_400",
    "status_401",
    "status_429",
    "status_500",
    "malformed_body",
    "duplicate",
}


def documents(folder: str) -> dict[str, Any]:
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((WIRETESTS / folder).iterdir(), key=lambda file: file.name)
        if file.name.endswith(".json")
    }


EXEMPLARY = documents("exemplary")


def requests_of(document: Any) -> list[Any]:
    sent = document["expect"]["sent"]
    return sent if isinstance(sent, list) else [sent]


async def post(endpoint: str, sent: Any) -> tuple[int, bytes]:
    """Sends it with a client that is not ours."""
    headers = {"TTD-Auth": SANDBOX_TOKEN, **sent.get("headers", {})}
    url = endpoint + sent.get("path", EXCHANGE_PATH)
    async with (
        aiohttp.ClientSession() as session,
        session.request(sent["method"], url, json=sent["body"], headers=headers) as response,
    ):
        return response.status, await response.read()


@pytest.mark.parametrize("name", EXEMPLARY)
async def test_the_sandbox_takes_an_exemplary_request_and_answers_like_its_fixture(
    name: str, sandbox: TradeDeskSandbox
) -> None:
    document = EXEMPLARY[name]
    endpoint = f"http://{await sandbox.start()}"
    fixture = document["platform_answer"]
    if name == "resume":
        paused = {"AdGroupId": "10011", "IsEnabled": False}
        await post(endpoint, {"method": "PUT", "path": "/v3/adgroup", "body": paused})
    for sent in requests_of(document):
        status, body = await post(endpoint, sent)
        assert status == fixture["status"]
        assert (json.loads(body) if body else None) == fixture.get("body")
    assert all(entry.applied for entry in sandbox.journal())


def test_every_required_case_is_there() -> None:
    assert documents("supplemental").keys() >= REQUIRED
