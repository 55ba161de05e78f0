"""No secret shows anywhere, whatever goes wrong: each one that the settings know is planted, all is
tried against platforms that repeat what they are sent, and everything that was said is searched.

Nor does a customer: what says who a bid is for is in the request that the ledger keeps, and in no
log, trace, error or audit line.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from tests.secrets.planted import found_in, unmarked
from tests.secrets.verdicts import no_customer_shows, none_shows

from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    import pytest
from tests.secrets.conftest import Caller, Scene


async def every_call_is_tried(caller: Caller, prefix: str) -> None:
    """Good and bad calls of every platform."""

    async def of(platform: str) -> None:
        await caller.bid(platform, f"{prefix}-good")
        await caller.bid(platform, f"{prefix}-good")
        await caller.bid(platform, f"{prefix}-good", campaign="1002")
        await caller.bid(platform, "not an id!")
        await caller.bid(platform, f"{prefix}-checked", "1003", validate_only=True)
        budget = {"request_id": f"{prefix}-b", "campaign_id": "1004"}
        await caller.call(platform, "UpdateCampaignBudget", **budget, daily_budget_micros=1_000_000)
        await caller.call(platform, "PauseCampaign", campaign_id="1005")

    await asyncio.gather(*(of(platform) for platform in PLATFORMS))


async def every_look_is_taken(scene: Scene, target: str) -> None:
    """Every command that asks a server."""
    exports = scene.directory / "exports"
    exports.mkdir()
    commands = [
        ["status"],
        ["status", "--json"],
        ["holds", "--json"],
        ["audit", "--json"],
        ["audit", "export", "--output", str(exports / "ledger.jsonl")],
        ["audit", "export", "--format", "csv", "--output", str(exports / "ledger.csv")],
    ]
    for command in commands:
        assert await scene.run(*command, "--target", target) == 0, command


def test_whatever_sounds_secret_is_held_as_a_secret() -> None:
    assert unmarked() == set()


async def test_platforms_that_repeat_what_they_are_sent_reveal_nothing(scene: Scene) -> None:
    document = scene.document()
    token, secret = (
        document["platforms"]["meta"]["options"][key] for key in ("access_token", "app_secret")
    )
    scene.secrets["appsecret_proof"] = hmac.new(
        secret.encode(), token.encode(), hashlib.sha256
    ).hexdigest()
    config = str(scene.config("echoed", document))
    server, ready = await scene.start("serve", "--config", config, "--log-format", "json")
    await every_call_is_tried(scene.caller(ready["grpc"]), "refused")
    await scene.stop(server)
    # What was found out about an account is remembered for a while, so another server asks.
    scene.echo.tokens = True
    server, ready = await scene.start("serve", "--config", config, "--log-format", "json")
    await every_call_is_tried(scene.caller(ready["grpc"]), "known")
    await every_look_is_taken(scene, ready["grpc"])
    await scene.stop(server)
    heard = found_in(bytes(scene.echo.heard), scene.secrets)
    assert set(scene.secrets) - heard == {
        "alerts.webhooks.planted.secret",  # receivers are sent what is derived from it
        "platforms.meta.options.app_secret",  # Meta is sent what is derived from it
        "platforms.trade_desk.options.password",  # not needed beside a token
        "The Trade Desk's token",
        "outgoing.all_proxy",  # the environment names another proxy
        "outgoing.http_proxy",  # nothing is spoken in plain text but with this machine
        "outgoing.https_proxy",
        "telemetry.otlp_headers",  # the environment's count
        "the collector's key",
        "the site key",
    }
    none_shows(scene)
    no_customer_shows(scene)
    log = scene.everything()["stderr"]
    hashes = set(re.findall(rb'"customer": "([0-9a-f]{24})"', log))
    assert len(hashes) == 1


async def test_a_login_and_a_key_file_reveal_nothing(scene: Scene) -> None:
    """In text, and with passwords instead of tokens."""
    document = scene.document()
    document["platforms"]["trade_desk"]["options"].pop("api_token")
    key = "-----BEGIN PRIVATE KEY-----pl4nt+private/key-----END PRIVATE KEY-----"
    scene.secrets["the key file"] = "pl4nt+private/key"
    key_file = scene.directory / "service_account.json"
    account = {"private_key": key, "client_email": "a@b.example", "token_uri": "https://x.example"}
    key_file.write_text(json.dumps({"type": "service_account", **account}))
    document["platforms"]["google_ads"]["options"]["json_key_file_path"] = str(key_file)
    server, ready = await scene.start(
        *("serve", "--config", str(scene.config("login", document)), "--log-format", "json")
    )
    caller = scene.caller(ready["grpc"])
    await every_call_is_tried(caller, "refused")
    scene.echo.tokens = True
    await every_call_is_tried(caller, "known")
    await scene.stop(server)
    heard = found_in(bytes(scene.echo.heard), scene.secrets)
    assert {"platforms.trade_desk.options.password", "The Trade Desk's token"} <= heard
    none_shows(scene)
    no_customer_shows(scene)


async def test_secrets_that_no_header_can_carry_are_refused_and_reveal_nothing(
    scene: Scene,
) -> None:
    for one in scene.planted:
        document = scene.document()
        section: Any = document
        for key in one.keys[:-1]:
            section = section[key]
        section[one.keys[-1]] = f"{one.value}\n\u00e9"
        code = await scene.run("check-config", "--config", str(scene.config("odd", document)))
        # A password goes where any character may.
        assert code == (0 if one.keys[-1] == "password" else 2), one.name
        if one.keys[-1] == "access_token":
            odd = str(scene.config("served", document))
            assert await scene.run_apart("serve", "--config", odd, "--log-format", "json") == 2
    none_shows(scene)


async def test_connectors_that_fail_unforeseen_reveal_nothing(scene: Scene) -> None:
    document = scene.document()
    server, ready = await scene.start("crash", str(scene.config("crash", document)))
    caller = scene.caller(ready["grpc"])
    for platform in PLATFORMS:
        await caller.bid(platform, "fails", "1001")
        await caller.bid(platform, "fails-sent", "1002")
    await scene.stop(server)
    assert b"nobody foresaw this" in scene.everything()["stderr"]
    none_shows(scene)
    no_customer_shows(scene)


async def test_settings_that_are_wrong_reveal_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each secret as a list, as a table, as a key, and beside something that is wrong; as a
    variable of the environment, too.
    """
    variables = {
        variable: scene.secrets[f"platforms.{name}.options.{option}"]
        for name, platform in PLATFORMS.items()
        for variable, option in platform.environment.items()
        if f"platforms.{name}.options.{option}" in scene.secrets
    }
    with monkeypatch.context() as environment:
        for variable, value in variables.items():
            environment.setenv(variable, value)
        assert await scene.run("check-config") == 0
    wrongs: list[dict[str, Any]] = []
    for wrap in ("list", "table", "other"):
        document = scene.document()
        for one in scene.planted:
            section: Any = document
            for key in one.keys[:-1]:
                section = section[key]
            wrapped = {"list": [one.value], "table": {"inner": one.value}, "other": one.value}
            section[one.keys[-1]] = wrapped[wrap]
        if wrap == "other":
            document["server"]["grpc_port"] = scene.planted[0].value
            document["platforms"]["meta"]["budget"] = {"limit": scene.planted[0].value}
            document["platforms"]["google_ads"]["options"]["max_shared_campaigns"] = "many"
        wrongs.append(document)
    for number, document in enumerate(wrongs):
        config = str(scene.config(f"wrong-{number}", document))
        assert await scene.run("check-config", "--config", config) != 0
        if number == 0:
            assert await scene.run_apart("serve", "--config", config) != 0
    torn = scene.directory / "torn.toml"
    torn.write_text("\n".join(f'{one.keys[-1]} = "{one.value}' for one in scene.planted))
    assert await scene.run("check-config", "--config", str(torn)) != 0
    none_shows(scene)
