"""REST v3: tokens, pages, back-off, and what is never sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector import Mode, Traffic
from smartconnectors_server.connector.http import HttpTransport
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import PlatformRejected, RateLimited
from smartconnectors_server.platforms.trade_desk.api import Api, BackOff
from smartconnectors_server.platforms.trade_desk.options import TradeDeskOptions
from smartconnectors_server.platforms.trade_desk.sandbox_access import (
    SANDBOX_LOGIN,
    SANDBOX_PASSWORD,
    SANDBOX_TOKEN,
)
from smartconnectors_server.platforms.trade_desk.spend import EXECUTIONS_PATH
from smartconnectors_server.platforms.trade_desk.tokens import (
    RENEW_AFTER_S,
    TOKEN_LIFE_MIN,
    Credentials,
    credentials_for,
)

if TYPE_CHECKING:
    from tests.server.platforms.trade_desk.conftest import OpenGate

    from smartconnectors_server.platforms.trade_desk.sandbox import TradeDeskSandbox

LOGIN = "POST /v3/authentication"
MakeApi = Callable[..., Awaitable[tuple[Api, "OpenGate"]]]


def login(password: str = SANDBOX_PASSWORD) -> Credentials:
    return Credentials(SecretStr(""), SANDBOX_LOGIN, SecretStr(password))


def token(value: str = SANDBOX_TOKEN) -> Credentials:
    return Credentials(SecretStr(value), "", SecretStr(""))


@pytest.fixture
async def make_api(
    sandbox: TradeDeskSandbox, clock: ManualClock, gate: OpenGate
) -> AsyncIterator[MakeApi]:
    endpoint = f"http://{await sandbox.start()}"
    opened: list[HttpTransport] = []

    async def make(credentials: Credentials, **more: Any) -> tuple[Api, OpenGate]:
        transport = HttpTransport("The Trade Desk", endpoint, timeout_ms=5_000)
        await transport.open()
        opened.append(transport)
        return Api(transport, credentials, gate, clock, **more), gate

    yield make
    for transport in opened:
        await transport.close()


def asked(sandbox: TradeDeskSandbox) -> list[str]:
    return [entry.method for entry in sandbox.journal()]


async def read(made: Api) -> str:
    document = await made.read("advertiser", "GET", "/advertiser/adv-usd")
    return str(document["CurrencyCode"])


async def refused_report(made: Api, sandbox: TradeDeskSandbox) -> None:
    await sandbox.add_fault(Fault(FaultKind.QUOTA))
    await made.report(EXECUTIONS_PATH, {}, 5_000)


async def change(made: Api) -> None:
    await made.change("PUT", "/adgroup", {"AdGroupId": "10011"}, lambda: None)


async def test_a_login_is_made_once_and_its_token_used_for_a_day(
    make_api: MakeApi, sandbox: TradeDeskSandbox, clock: ManualClock
) -> None:
    made, gate = await make_api(login())
    assert await read(made) == await read(made) == "USD"
    assert asked(sandbox).count(LOGIN) == 1
    assert gate.reads == ["token", "advertiser", "advertiser"]
    clock.advance(23 * 3600)
    await read(made)
    assert asked(sandbox).count(LOGIN) == 1
    clock.advance(3600)
    await change(made)
    assert asked(sandbox).count(LOGIN) == 2


async def test_a_read_whose_token_had_run_out_is_made_again_with_a_new_one(
    make_api: MakeApi, sandbox: TradeDeskSandbox, clock: ManualClock
) -> None:
    made, _ = await make_api(login())
    await read(made)
    clock.advance(3600)
    sandbox.revoke_tokens()
    assert await read(made) == "USD"
    assert asked(sandbox).count(LOGIN) == 2


async def test_a_change_whose_token_had_run_out_is_refused_and_the_next_one_passes(
    make_api: MakeApi, sandbox: TradeDeskSandbox, clock: ManualClock
) -> None:
    made, _ = await make_api(login())
    await made.ready()
    clock.advance(3600)
    sandbox.revoke_tokens()
    with pytest.raises(PlatformRejected):
        await change(made)
    assert asked(sandbox).count("PUT /v3/adgroup") == 1
    await change(made)


async def test_a_fresh_token_that_is_refused_is_not_replaced(
    make_api: MakeApi, sandbox: TradeDeskSandbox
) -> None:
    made, _ = await make_api(login())
    await made.ready()
    sandbox.revoke_tokens()
    with pytest.raises(PlatformRejected):
        await read(made)
    assert asked(sandbox).count(LOGIN) == 1


async def test_a_long_lived_token_that_is_refused_is_not_tried_twice(
    make_api: MakeApi, sandbox: TradeDeskSandbox
) -> None:
    made, _ = await make_api(token("wrong"))
    with pytest.raises(PlatformRejected, match="refused the credentials"):
        await read(made)
    assert len(sandbox.journal()) == 1


async def test_a_wrong_password_is_said_without_the_password(make_api: MakeApi) -> None:
    made, _ = await make_api(login("secret-word"))
    with pytest.raises(PlatformRejected) as caught:
        await made.ready()
    assert "secret-word" not in str(caught.value)


async def test_a_query_is_read_page_by_page(make_api: MakeApi) -> None:
    made, gate = await make_api(token(), page_size=4)
    body = {"AdvertiserId": "adv-usd"}
    found = await made.read_all("creatives", "/creative/query/advertiser", body)
    assert len({creative["CreativeId"] for creative in found}) == len(found) == 9
    assert gate.reads == ["creatives"] * 3


@pytest.mark.parametrize("ask", [read, change])
async def test_too_many_requests_wait_twice_as_long_each_time_until_one_passes(
    make_api: MakeApi, sandbox: TradeDeskSandbox, ask: Callable[[Api], Awaitable[object]]
) -> None:
    made, gate = await make_api(token())
    await sandbox.add_fault(Fault(FaultKind.QUOTA, times=3))
    waits = []
    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            await ask(made)
        waits.append(caught.value.retry_after_s)
    assert waits == [signal.retry_after_s for signal in gate.signals] == [2.0, 4.0, 8.0]
    await ask(made)
    await sandbox.add_fault(Fault(FaultKind.QUOTA))
    with pytest.raises(RateLimited) as caught:
        await ask(made)
    assert caught.value.retry_after_s == 2.0


async def test_a_read_that_is_refused_for_quota_binds_reads_and_lengthens_no_others_wait(
    make_api: MakeApi, sandbox: TradeDeskSandbox
) -> None:
    made, gate = await make_api(token())
    for _ in range(3):
        await sandbox.add_fault(Fault(FaultKind.QUOTA))
        with pytest.raises(RateLimited):
            await read(made)
    assert {signal.binds for signal in gate.signals} == {(Traffic.READS,)}
    with pytest.raises(RateLimited):
        await refused_report(made, sandbox)
    assert gate.signals[-1].retry_after_s == 2.0
    await sandbox.add_fault(Fault(FaultKind.QUOTA, method=CHANGES))
    with pytest.raises(RateLimited) as caught:
        await change(made)
    assert caught.value.retry_after_s == 2.0
    assert gate.signals[-1].binds == ()


async def test_a_login_that_is_refused_stops_nothing_while_the_token_is_good(
    make_api: MakeApi, sandbox: TradeDeskSandbox, clock: ManualClock
) -> None:
    made, gate = await make_api(login())
    await read(made)
    clock.advance(RENEW_AFTER_S)
    await sandbox.add_fault(Fault(FaultKind.QUOTA))
    assert await read(made) == "USD"
    assert gate.traffics[-2:] == [Traffic.LOGIN, Traffic.READS]
    clock.advance(TOKEN_LIFE_MIN * 60 - RENEW_AFTER_S)
    await sandbox.add_fault(Fault(FaultKind.QUOTA))
    with pytest.raises(RateLimited):
        await read(made)


def test_a_back_off_ends_somewhere_and_gives_way_to_what_is_asked() -> None:
    back_off = BackOff()
    assert back_off.refused(9.0) == 9.0
    assert max(back_off.refused(None) for _ in range(100)) == 300.0


@pytest.mark.parametrize(
    ("mode", "endpoint", "configured"),
    [
        (Mode.LIVE, None, True),
        (Mode.SHADOW, None, True),
        (Mode.SANDBOX, "https://ext-api.sb.thetradedesk.com", True),
        (Mode.SANDBOX, "http://ext-api.sb.thetradedesk.com", False),
        (Mode.SANDBOX, "https://thetradedesk.com.example", False),
        (Mode.SANDBOX, "http://127.0.0.1:1234", False),
        (Mode.LIVE, "http://127.0.0.1:1234", False),
    ],
)
def test_configured_credentials_are_sent_to_the_trade_desk_alone(
    mode: Mode, endpoint: str | None, configured: bool
) -> None:
    options = TradeDeskOptions(api_token=SecretStr("mine"))
    sent = credentials_for(mode, endpoint, options).token.get_secret_value()
    assert (sent == "mine") is configured
