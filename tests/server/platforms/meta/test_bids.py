"""Bids through the connector against the sandbox: every knob, every account, what it remembers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from typing import TYPE_CHECKING

import pytest
from tests.server.platforms.meta.conftest import OpenGate, call_of

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.connector import Context, Finding, Mode
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import (
    CurrencyMismatch,
    InternalError,
    InvalidBid,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.meta.options import MetaOptions
from smartconnectors_server.platforms.meta.servicer import MetaConnector

if TYPE_CHECKING:
    from tests.server.platforms.meta.conftest import MakeRig, Raw, Rig

    from smartconnectors_server.clock import ManualClock
    from smartconnectors_server.platforms.meta.sandbox import MetaSandbox


async def test_a_bid_is_a_roas_floor(rig: Rig) -> None:
    response = await rig.bid(rig.request("1001"))
    assert response.meta.object_id == response.result.platform_bid_id == "10011"
    assert response.meta.roas_average_floor == 20_000
    assert response.meta.trace_id.startswith("Sandbox")
    assert rig.posts()[-1].facts == {
        "credentials": ["authorization", "appsecret_proof"],
        "batch": False,
        "object_id": "10011",
        "campaign_id": "1001",
        "account_id": "1000000001",
        "bid_strategy": "LOWEST_COST_WITH_MIN_ROAS",
        "optimization_goal": "VALUE",
        "roas_average_floor": 20_000,
        "validate_only": False,
    }


@pytest.mark.parametrize(
    ("knob", "strategy"), [("bid_cap", "LOWEST_COST_WITH_BID_CAP"), ("cost_cap", "COST_CAP")]
)
async def test_a_cap_is_the_bid_in_minor_units(rig: Rig, knob: str, strategy: str) -> None:
    request = rig.request("1012")
    getattr(request, knob).SetInParent()
    response = await rig.bid(request)
    facts = rig.posts()[-1].facts
    assert (facts["bid_strategy"], facts["bid_amount"]) == (strategy, 1500)
    assert (response.meta.bid_amount_minor_units, response.meta.optimization_goal) == (1500, "")


async def test_an_ad_set_goes_from_floor_to_cap_and_back(rig: Rig) -> None:
    floor = rig.request("1001", "there")
    cap = rig.request("1001", "and back")
    cap.bid_cap.optimization_goal = "OFFSITE_CONVERSIONS"
    for request in (cap, floor, cap):
        await rig.bid(request)
        plan = await rig.plan(request)
        assert plan.unchanged
    assert all(entry.applied for entry in rig.posts())


async def test_a_campaign_with_a_budget_of_its_own_keeps_its_strategy(rig: Rig) -> None:
    await rig.bid(rig.request("1010"))
    facts = rig.posts()[-1].facts
    assert (facts["object_id"], facts["roas_average_floor"]) == ("10101", 20_000)
    assert "bid_strategy" not in facts


async def test_a_campaign_with_a_budget_of_its_own_is_switched_with_its_only_ad_set(
    rig: Rig,
) -> None:
    request = rig.request("1013")
    request.cost_cap.SetInParent()
    plan = await rig.plan(request)
    response = await rig.send(request, plan)
    facts = rig.posts()[-1].facts
    assert (facts["object_id"], facts["bid_strategy"]) == ("1013", "COST_CAP")
    assert facts["adset_bid_amounts"] == {"10131": 1500}
    assert response.meta.object_id == "1013"
    assert await rig.look(request, plan) is Finding.APPLIED
    again = rig.request("1013", "again", bid_micros=20_000_000)
    again.cost_cap.SetInParent()
    await rig.bid(again)
    assert rig.posts()[-1].facts["object_id"] == "10131"


async def test_of_several_ad_sets_one_has_to_be_named(rig: Rig) -> None:
    request = rig.request("1011")
    with pytest.raises(InvalidBid, match=r"ad_set_id: campaign 1011 has several .* 10111, 10112"):
        await rig.plan(request)
    request.ad_set_id = "10112"
    assert rig.connector.offline_target(request) == "ad_sets/10112"
    await rig.bid(request)
    assert rig.posts()[-1].facts["object_id"] == "10112"


async def test_an_ad_set_of_another_campaign_is_an_unknown_target(rig: Rig) -> None:
    request = rig.request("1001")
    request.ad_set_id = "10021"
    with pytest.raises(UnknownTarget, match="campaign 1001 has no ad set 10021"):
        await rig.plan(request)


@pytest.mark.parametrize(
    ("account", "currency_code", "campaign_id", "bid_micros", "bid_amount"),
    [
        ("act_1000000002", "JPY", "2012", 1_500_000_000, 1500),
        ("act_1000000003", "BHD", "3012", 1_230_000, 123),
        ("act_77", "USD", "1012", 12_340_000, 1234),
    ],
)
async def test_an_account_takes_bids_in_its_own_currency(
    make_rig: MakeRig,
    account: str,
    currency_code: str,
    campaign_id: str,
    bid_micros: int,
    bid_amount: int,
) -> None:
    rig = await make_rig(currency_code, ad_account_id=account)
    request = rig.request(campaign_id, bid_micros=bid_micros)
    request.bid_cap.SetInParent()
    await rig.bid(request)
    assert rig.posts()[-1].facts["bid_amount"] == bid_amount


async def test_an_account_refuses_another_currency(make_rig: MakeRig) -> None:
    rig = await make_rig("USD", ad_account_id="act_1000000002")
    with pytest.raises(CurrencyMismatch, match="an account in JPY; the request is in USD"):
        await rig.plan(rig.request("2001"))


async def test_a_campaign_of_another_account_is_not_there(make_rig: MakeRig) -> None:
    rig = await make_rig("JPY", ad_account_id="act_1000000002")
    with pytest.raises(UnknownTarget, match="act_1000000002 has no campaign 1001"):
        await rig.plan(rig.request("1001"))


async def test_the_account_of_somebody_else_is_refused(make_rig: MakeRig) -> None:
    rig = await make_rig(ad_account_id="act_1000000009")
    with pytest.raises(PlatformRejected, match="has NOT grant ads_management"):
        await rig.plan(rig.request("1001"))


async def test_a_bid_that_no_campaign_could_take_costs_no_read(rig: Rig) -> None:
    with pytest.raises(InvalidBid, match=r"Meta takes 0\.01 to 1000"):
        await rig.plan(rig.request("1001", bid_micros=1))
    assert rig.gate.reads == []


async def test_validate_only_is_metas_own_and_changes_nothing(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    await rig.send(request, plan, validate_only=True)
    entry = rig.posts()[-1]
    assert (entry.applied, entry.facts["validate_only"]) == (False, True)
    assert await rig.look(request, plan) is Finding.NOT_APPLIED
    assert (await rig.plan(request)).before_value == 40_000


async def test_an_accepted_change_is_remembered_without_reading_again(rig: Rig) -> None:
    await rig.bid(rig.request("1001"))
    plan = await rig.plan(rig.request("1001", "bid-2", predicted_ltv_micros=45_000_000))
    assert plan.before_value == 20_000
    assert rig.gate.reads == ["campaign"]


async def test_two_changes_of_one_ad_set_at_once_are_both_remembered(rig: Rig) -> None:
    bid, budget = rig.request("1001"), rig.budget(130)
    planned = (await rig.plan(bid), await rig.plan(budget))
    await rig.send(bid, planned[0])
    call = call_of("UpdateCampaignBudget", plan=planned[1])
    await rig.connector.UpdateCampaignBudget(budget, call)
    assert (await rig.plan(bid)).unchanged
    assert (await rig.plan(budget)).unchanged


async def test_after_a_change_in_doubt_the_campaign_is_read_again(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    await rig.sandbox.add_fault(Fault(FaultKind.MALFORMED, method=CHANGES))
    with pytest.raises(OutcomeUnknown, match="not the Graph API's JSON"):
        await rig.send(request, plan)
    await rig.plan(rig.request("1001", "bid-2"))
    assert len(rig.gate.reads) == 2


async def test_a_change_that_comes_late_is_found_missing_and_then_found(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig(timeout_ms=100)
    request = rig.request("1001")
    plan = await rig.plan(request)
    await rig.sandbox.add_fault(Fault(FaultKind.APPLY_LATE, delay_ms=90_000, method=CHANGES))
    with pytest.raises(OutcomeUnknown):
        await rig.send(request, plan)
    assert await rig.look(request, plan) is Finding.NOT_APPLIED
    rig.clock.advance(90)
    await rig.sandbox.drain_late()
    assert await rig.look(request, plan) is Finding.APPLIED


async def test_somebody_elses_change_of_the_same_ad_set_leaves_it_open(rig: Rig, raw: Raw) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    await raw.post("/10011", name="renamed")
    assert await rig.look(request, plan) is Finding.INCONCLUSIVE


async def test_a_campaign_that_is_gone_leaves_it_open(make_rig: MakeRig) -> None:
    rig = await make_rig()
    request = rig.request("1001")
    plan = await rig.plan(request)
    elsewhere = await make_rig("JPY", ad_account_id="act_1000000002")
    assert await elsewhere.look(request, plan) is Finding.INCONCLUSIVE


async def test_usage_is_handed_on_with_every_answer(rig: Rig) -> None:
    await rig.bid(rig.request("1001"))
    await rig.sandbox.add_fault(Fault(FaultKind.QUOTA, delay_ms=90_000))
    with pytest.raises(RateLimited) as caught:
        await rig.plan(rig.request("1002"))
    read, posted, refused = rig.gate.signals
    assert read.usage_percent is not None
    assert posted.usage_percent is not None
    assert posted.retry_after_s == 0.0
    assert (refused.usage_percent, refused.retry_after_s) == (100.0, 120.0)
    assert caught.value.retry_after_s == 120.0


async def test_ad_sets_beyond_the_first_page_can_be_named(rig: Rig, sandbox: MetaSandbox) -> None:
    sandbox.add_ad_sets("1001", 120)
    request = rig.request("1001")
    with pytest.raises(InvalidBid, match="more than 100 ad sets"):
        await rig.plan(request)
    update = pb.UpdateTargetAudienceRequest()
    update.update.campaign_id = "1001"
    with pytest.raises(InvalidBid, match="more than 100 ad sets"):
        await rig.connector.UpdateTargetAudience(update, call_of("UpdateTargetAudience"))
    request.ad_set_id = "100100115"
    await rig.bid(request)
    assert rig.posts()[-1].facts["object_id"] == "100100115"
    assert (await rig.plan(request)).unchanged
    assert rig.gate.reads == ["campaign", "audience", "ad set"]
    request.ad_set_id = "10021"
    with pytest.raises(UnknownTarget):
        await rig.plan(request)
    request.ad_set_id = "999"
    with pytest.raises(UnknownTarget):
        await rig.plan(request)


async def test_secrets_go_nowhere_near_a_sandbox_a_log_or_an_error(
    make_rig: MakeRig, sandbox: MetaSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {"access_token": "hidden-token", "app_secret": "hidden-secret"}
    rig = await make_rig(**secrets)
    await rig.bid(rig.request("1001"))
    key, token = b"hidden-secret", b"hidden-token"
    proof = hmac.new(key, token, hashlib.sha256).hexdigest()
    logged = repr([record.__dict__ for record in caplog.records])
    for secret in (*secrets.values(), proof, "sandbox-access-token"):
        assert secret not in logged
        assert secret not in repr(sandbox.journal())


async def test_the_token_is_in_no_url(rig: Rig) -> None:
    await rig.bid(rig.request("1001"))
    assert all(
        entry.facts["credentials"] == ["authorization", "appsecret_proof"]
        for entry in rig.sandbox.journal()
    )


async def test_before_it_is_connected_nothing_can_have_been_sent(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    await rig.connector.close()
    with pytest.raises(PlatformUnavailable, match="not connected"):
        await rig.send(request, plan)
    with pytest.raises(PlatformUnavailable, match="not connected"):
        await rig.look(request, plan)
    with pytest.raises(PlatformUnavailable, match="not connected"):
        await rig.connector.place_many([(request, call_of("PlaceBid", plan=plan))])


async def test_a_version_of_the_api_can_be_chosen(make_rig: MakeRig) -> None:
    await (rig := await make_rig(api_version="v25.0")).bid(rig.request("1001"))
    old = await make_rig(api_version="v15.0")
    with pytest.raises(PlatformRejected, match="deprecated version"):
        await old.plan(old.request("1002"))


async def test_an_endpoint_may_be_written_as_a_url(endpoint: str, clock: ManualClock) -> None:
    gate = OpenGate()
    url = f"http://{endpoint}/"
    connector = MetaConnector(Context(Mode.SANDBOX, MetaOptions(), url, 300, gate, clock))
    await connector.connect()
    request = pb.PlaceBidRequest()
    request.bid.campaign_id = "1001"
    await connector.prefetch([request])
    assert gate.reads == ["campaign"]
    await connector.close()


async def test_a_hundred_bids_at_once_all_arrive(rig: Rig) -> None:
    requests = [
        rig.request(f"100{i % 9 + 1}", f"bid-{i}", predicted_ltv_micros=20_000_000 + i * 1500)
        for i in range(100)
    ]
    plans = [await rig.plan(request) for request in requests]
    await asyncio.gather(*(rig.send(*pair) for pair in zip(requests, plans, strict=True)))
    assert len({entry.facts["roas_average_floor"] for entry in rig.posts()}) == 100


async def test_a_request_of_another_kind_is_our_own_fault(rig: Rig) -> None:
    request = pb.PauseCampaignRequest()
    with pytest.raises(InternalError):
        await rig.connector.plan(request, rig.priced(rig.request()))
    with pytest.raises(InternalError):
        rig.connector.offline_target(request)
    with pytest.raises(InternalError, match="not planned"):
        await rig.connector.PlaceBid(rig.request(), call_of("PlaceBid"))
