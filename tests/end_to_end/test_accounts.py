"""Whether the account fits the budget, before anything is sent to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.connector.sandbox import FaultKind

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Stage, Words

YEN_ACCOUNT = {"customer_id": "1000000002"}


async def test_an_account_in_another_currency_than_its_budget_gets_no_bid(
    stage: Stage, say: Words, caplog: pytest.LogCaptureFixture
) -> None:
    server = await stage.serve(check_account=True, options=YEN_ACCOUNT)
    refused = await say.refused(server.place(say.bid("r1", campaign="2001")))
    assert refused.reason == "PLATFORM_UNAVAILABLE"
    assert "account 1000000002 is in JPY, but the budget of google_ads is in USD" in refused.message
    assert refused.metadata["account_currency"] == "JPY"
    assert refused.metadata["budget_currency"] == "USD"
    assert "is in JPY" in caplog.text
    assert await server.money() == {}
    assert not any(entry.changes for entry in stage.sandbox.journal())


async def test_an_account_in_the_budget_s_currency_is_bid_on(stage: Stage, say: Words) -> None:
    server = await stage.serve(
        check_account=True, options=YEN_ACCOUNT, budget={"limit": "1000", "currency": "JPY"}
    )
    answer = await server.place(say.bid("r1", 300, ltv_usd=900, campaign="2001"))
    assert answer.status == bid_pb2.BID_STATUS_PLACED
    account = server.app.runtimes["google_ads"].account
    assert account is not None
    assert (account.currency_code, account.time_zone) == ("JPY", "America/New_York")


async def test_an_account_that_cannot_be_read_gets_no_bid(stage: Stage, say: Words) -> None:
    await stage.fault(FaultKind.SERVER_ERROR, method="", times=100)
    server = await stage.serve(check_account=True)
    refused = await say.refused(server.place(say.bid("r1")))
    assert refused.reason == "PLATFORM_UNAVAILABLE"
    assert "google_ads cannot be used" in refused.message


async def test_days_that_are_not_the_account_s_are_warned_of_and_bid_on(
    stage: Stage, say: Words, caplog: pytest.LogCaptureFixture
) -> None:
    further = [{"limit": "500", "calendar": "day", "time_zone": "Asia/Tokyo"}]
    server = await stage.serve(
        check_account=True, budget={"limit": "1000", "further_limits": further}
    )
    assert (await server.place(say.bid("r1"))).status == bid_pb2.BID_STATUS_PLACED
    assert "of account 1000000001 are of America/New_York" in caplog.text
    assert "google_ads (Asia/Tokyo)" in caplog.text
