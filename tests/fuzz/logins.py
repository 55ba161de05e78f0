"""The Trade Desk's login, which no connector in front of a sandbox ever makes."""

from __future__ import annotations

from pydantic import SecretStr
from tests.fuzz.middle import Poison
from tests.fuzz.promises import check_unsent
from tests.fuzz.stage import TIMEOUT_MS, Stage

from smartconnectors_server.connector.http import HttpTransport
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.platforms.trade_desk.api import Api
from smartconnectors_server.platforms.trade_desk.sandbox_access import (
    SANDBOX_LOGIN,
    SANDBOX_PASSWORD,
)
from smartconnectors_server.platforms.trade_desk.tokens import Credentials

NAME = "trade_desk/login"


async def play_login(stage: Stage, poison: Poison) -> None:
    """A login with its answer spoilt, and a read with the token that came of it."""
    await stage.begin()
    transport = HttpTransport("The Trade Desk", f"http://{stage.endpoint}", timeout_ms=TIMEOUT_MS)
    await transport.open()
    password = SecretStr(SANDBOX_PASSWORD)
    api = Api(
        transport, Credentials(SecretStr(""), SANDBOX_LOGIN, password), stage.gate, stage.clock
    )
    try:
        stage.middle.begin("connect", poison)
        await api.ready()
        stage.middle.begin("plan", poison)
        await api.read("advertiser", "GET", "/advertiser/adv-usd")
    except ConnectorError as error:
        check_unsent(error, {SANDBOX_PASSWORD, *(one.secret for one in stage.middle.exchanges)})
    finally:
        await transport.close()
    for one in stage.middle.exchanges:
        if b"authentication" not in one.request:
            assert b"TTD-Auth" in one.request, "a read without a token"
