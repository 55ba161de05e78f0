"""What a platform says of its quota, through the whole chain: it holds up whom it is about, and
never a pause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.budget import CampaignOutcome
from smartconnectors_server.connector import QuotaSignal, Traffic
from smartconnectors_server.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

WAIT = QuotaSignal(retry_after_s=1800.0, usage_percent=100.0)
ACCOUNTS = {"eu": {"customer_id": "1000000001"}, "us": {"customer_id": "1000000002"}}


def gate_of(house: House) -> Any:
    """The gate of the account whose connector was made last."""
    context = house.script.context
    assert context is not None
    return context.gate


async def test_a_pause_is_sent_while_the_platform_asks_bids_to_wait(
    house: House, make_bid: Callable[..., Any]
) -> None:
    gate_of(house).tighten(WAIT)
    error = await house.refused(make_bid("r"))
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 1800.0
    used = house.runtime.limiter.used()
    standings = await house.core.campaigns.pause("google_ads", ["1"], "stop")
    assert [standing.outcome for standing in standings] == [CampaignOutcome.PAUSED]
    assert house.script.status == {"1": False}
    assert house.runtime.limiter.used() == used + 1


async def test_a_single_pause_is_sent_too(house: House) -> None:
    gate_of(house).tighten(WAIT)
    request = ads_pb2.PauseCampaignRequest()
    request.update.campaign_id = "1"
    assert (await house.call(request)).result.paused
    assert house.script.status == {"1": False}


async def test_a_resumption_waits_as_bids_do(house: House) -> None:
    gate_of(house).tighten(WAIT)
    request = ads_pb2.ResumeCampaignRequest()
    request.update.campaign_id = "1"
    assert isinstance(await house.refused(request), RateLimited)


async def test_a_throttled_report_refuses_no_bid(
    house: House, make_bid: Callable[..., Any]
) -> None:
    async with gate_of(house).report("spend"):
        gate_of(house).tighten(WAIT)
    assert await house.status(make_bid("r")) == "PLACED"


@pytest.mark.parametrize("binds", [(), (Traffic.BIDS,)])
async def test_a_throttled_account_holds_up_no_other(
    build: Build, make_bid: Callable[..., Any], binds: tuple[Traffic, ...]
) -> None:
    house = await build(accounts=ACCOUNTS)
    await house.call(make_bid("first", 5, account="eu"))
    gate_of(house).tighten(QuotaSignal(1800.0, 100.0, binds=binds))
    assert isinstance(await house.refused(make_bid("us", 5, account="us")), RateLimited)
    assert await house.status(make_bid("eu", 5, campaign="2", account="eu")) == "PLACED"


async def test_in_a_batch_only_the_bids_of_a_throttled_account_are_refused(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(accounts=ACCOUNTS)
    await house.call(make_bid("first", 5, account="eu"))
    gate_of(house).tighten(WAIT)
    batch = ads_pb2.PlaceBidsRequest()
    batch.bids.append(make_bid("us", 5, campaign="1", account="us"))
    batch.bids.append(make_bid("eu", 5, campaign="2", account="eu"))
    us, eu = (await house.call(batch)).answers
    assert us.WhichOneof("answer") == "error"
    assert eu.WhichOneof("answer") == "response"
    assert house.script.sent == ["first", "eu"]


async def test_what_is_said_of_the_application_holds_up_every_account(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(accounts=ACCOUNTS)
    await house.call(make_bid("first", 5, account="eu"))
    gate_of(house).tighten(QuotaSignal(1800.0, every_account=True))
    for account in ACCOUNTS:
        bid = make_bid(account, 5, campaign=account, account=account)
        assert isinstance(await house.refused(bid), RateLimited)


async def test_a_deferred_bid_of_a_throttled_account_holds_up_no_other(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(accounts=ACCOUNTS)
    await house.call(make_bid("first", 5, account="eu"))
    house.open_breaker()
    for account in ("us", "eu"):
        bid = make_bid(account, 5, campaign=account, account=account)
        assert await house.status(bid) == "DEFERRED"
    gate_of(house).tighten(WAIT)
    await house.pass_time(31)
    await house.until(lambda: "eu" in house.script.sent)
    assert "us" not in house.script.sent


async def connector_status(house: House) -> Any:
    return (await house.call(ads_pb2.GetConnectorStatusRequest())).status


async def test_a_throttled_report_is_shown_as_one(house: House) -> None:
    await house.until(lambda: house.runtime.is_connected)
    async with gate_of(house).report("spend"):
        gate_of(house).tighten(WAIT)
    status = await connector_status(house)
    assert status.reports_throttled_for.ToSeconds() == 1800
    assert not status.HasField("bids_throttled_for")
    exposed = house.app.core.engines.telemetry.metrics.exposition("")[0].decode()
    name = "smartconnectors_throttled_seconds"
    assert f'{name}{{platform="google_ads",traffic="reports"}} 1800.0' in exposed
    assert f'{name}{{platform="google_ads",traffic="bids"}} 0.0' in exposed


async def test_a_throttled_account_is_shown_among_several(build: Build) -> None:
    house = await build(accounts=ACCOUNTS)
    await house.until(lambda: house.runtime.is_connected)
    gate_of(house).tighten(WAIT)
    status = await connector_status(house)
    assert status.bids_throttled_for.ToSeconds() == 1800
    assert not status.HasField("reports_throttled_for")
    assert house.runtime.throttled_s(Traffic.LOGIN) == 0
