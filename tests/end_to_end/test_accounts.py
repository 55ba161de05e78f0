"""Whether the account fits the budget, before anything is sent to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors.common.v1 import bid_pb2, connector_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
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
    account = server.core.runtimes["google_ads"].facts[""]
    assert (account.currency_code, account.time_zone) == ("JPY", "America/New_York")


async def test_bids_on_an_account_that_cannot_be_read_are_deferred_until_it_can(
    stage: Stage, say: Words
) -> None:
    await stage.fault(FaultKind.SERVER_ERROR, method="", times=2)
    server = await stage.serve(check_account=True)
    assert (await server.place(say.bid("r1", 11))).status == bid_pb2.BID_STATUS_DEFERRED
    assert not any(entry.changes for entry in stage.sandbox.journal())
    assert await server.settled_to(committed=11_000_000)


async def test_what_cannot_wait_on_an_account_that_cannot_be_read_is_refused_with_a_time(
    stage: Stage, say: Words
) -> None:
    await stage.fault(FaultKind.SERVER_ERROR, method="", times=100)
    server = await stage.serve(check_account=True)
    refused = await say.refused(server.place(say.bid("r1", reduce_only=True)))
    assert refused.reason == "PLATFORM_UNAVAILABLE"
    assert "google_ads cannot be used" in refused.message
    assert refused.retry_s


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


EU = "1000000004"
TWO = {"default": {"customer_id": "1000000001"}, "eu": {"customer_id": EU}}


def accounts_changed(stage: Stage, request_id: str) -> list[str]:
    """The customers that Google was asked to change for this request."""
    return [str(entry.facts["customer_id"]) for entry in stage.mutates(request_id)]


async def test_a_bid_goes_to_the_account_that_it_names(stage: Stage, say: Words) -> None:
    server = await stage.serve(accounts=TWO, check_account=True)
    assert (await server.place(say.bid("a", 10))).status == bid_pb2.BID_STATUS_PLACED
    assert (await server.place(say.bid("b", 11, account="eu"))).status == bid_pb2.BID_STATUS_PLACED
    assert accounts_changed(stage, "a") == ["1000000001"]
    assert accounts_changed(stage, "b") == [EU]
    assert await server.money() == {"committed": 21_000_000}, "one budget over all accounts"
    assert set(server.core.runtimes["google_ads"].facts) == {"default", "eu"}


async def test_one_campaign_id_in_two_accounts_is_two_targets(stage: Stage, say: Words) -> None:
    server = await stage.serve(accounts=TWO, min_interval_s=600)
    await server.place(say.bid("a", 10))
    await server.place(say.bid("b", 10, account="eu"))
    refused = await say.refused(server.place(say.bid("c", 20, account="eu")))
    assert refused.metadata["target"] == "accounts/eu/campaigns/1001"
    targets = [hold.target for hold in server.core.keeper.recent_settled("google_ads")]
    assert targets == ["campaigns/1001", "accounts/eu/campaigns/1001"]


async def test_a_batch_over_two_accounts_is_one_change_for_each(stage: Stage, say: Words) -> None:
    server = await stage.serve(accounts=TWO)
    bids = [
        say.bid(f"r{n}", 10 + n, campaign=str(1001 + n), account="eu" if n % 2 else "")
        for n in range(6)
    ]
    answer = await server.ads.PlaceBids(ads_pb2.PlaceBidsRequest(bids=bids))
    statuses = {one.response.result.status for one in answer.answers}
    assert statuses == {bid_pb2.BID_STATUS_PLACED}
    assert sorted(entry.facts["customer_id"] for entry in stage.mutates()) == ["1000000001", EU]
    # Two mutates and four reads, and each took its share of the quota.
    assert server.core.runtimes["google_ads"].limiter.used() == 6


async def test_a_lost_answer_is_looked_up_in_its_own_account(stage: Stage, say: Words) -> None:
    server = await stage.serve(accounts=TWO)
    await stage.fault(FaultKind.APPLY_THEN_RESET)
    refused = await say.refused(server.place(say.bid("lost", 10, account="eu")))
    assert refused.reason == "OUTCOME_UNKNOWN"
    await server.settled_to(committed=10_000_000)
    assert accounts_changed(stage, "lost") == [EU]
    verbs = [line.verb for line in await server.audited("lost", "settle")]
    assert verbs == ["reserve", "doubt", "settle"]


@pytest.mark.parametrize(
    ("accounts", "named", "words"),
    [
        (TWO, "us", "no account is called 'us'; there are: default, eu"),
        ({"eu": TWO["eu"], "us": TWO["default"]}, "", "names no account, and several are there"),
        ({}, "eu", "no account is called 'eu'; none has a name here"),
    ],
)
async def test_a_bid_for_no_account_is_refused_with_those_that_there_are(
    stage: Stage, say: Words, accounts: dict[str, dict[str, str]], named: str, words: str
) -> None:
    server = await stage.serve(accounts=accounts)
    refused = await say.refused(server.place(say.bid("r", account=named)))
    assert refused.reason == "INVALID_BID"
    assert words in refused.message
    assert [e.method for e in stage.sandbox.journal() if e.method != "oauth_token"] == []


async def test_the_only_account_need_not_be_named(stage: Stage, say: Words) -> None:
    server = await stage.serve(accounts={"eu": TWO["eu"]})
    await server.place(say.bid("a", 10))
    await server.place(say.bid("b", 11, account="eu"))
    assert accounts_changed(stage, "a") == accounts_changed(stage, "b") == [EU]
    (_, hold) = server.core.keeper.recent_settled("google_ads")
    assert hold.target == "campaigns/1001"


async def test_a_campaign_is_paused_in_its_account(stage: Stage, say: Words) -> None:
    server = await stage.serve(accounts=TWO)
    await server.ads.PauseCampaign(
        ads_pb2.PauseCampaignRequest(
            update=connector_pb2.CampaignStatusUpdate(campaign_id="1001", account="eu")
        )
    )
    (paused,) = stage.mutates()
    assert paused.facts["customer_id"] == EU
