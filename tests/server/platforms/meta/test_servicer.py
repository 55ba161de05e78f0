"""The connector against the sandbox: every knob, every account, and what it remembers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from typing import TYPE_CHECKING, Any

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
    assert (response.meta.bid_amount, response.meta.optimization_goal) == (1500, "")


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
        ("act_1000000003", "KWD", "3012", 1_234_000, 1234),
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


async def test_prefetching_reads_fifty_campaigns_at_once(rig: Rig) -> None:
    requests = [rig.request(str(number)) for number in range(1001, 1121)]
    await rig.connector.prefetch(requests)
    assert rig.gate.reads == ["campaign"] * 3
    for number in range(1001, 1011):
        await rig.plan(rig.request(str(number)))
    assert len(rig.gate.reads) == 3


async def test_prefetching_leaves_to_plan_what_meta_refuses_and_what_is_no_id(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig(ad_account_id="act_1000000009")
    await rig.connector.prefetch([rig.request("1001"), rig.request("../me")])
    with pytest.raises(PlatformRejected):
        await rig.plan(rig.request("1001"))


async def test_prefetching_says_when_meta_cannot_be_asked(rig: Rig) -> None:
    await rig.sandbox.add_fault(Fault(FaultKind.REFUSE))
    with pytest.raises(PlatformUnavailable):
        await rig.connector.prefetch([rig.request("1001")])


async def test_many_bids_are_one_request_and_each_counts(rig: Rig) -> None:
    requests = [rig.request(str(number), f"bid-{number}") for number in range(1001, 1011)]
    results = await rig.place_many(*requests)
    assert [result.meta.object_id for result in results] == [f"10{n:02d}1" for n in range(1, 11)]
    assert all(result.meta.trace_id for result in results)
    assert [entry.facts["campaign_id"] for entry in rig.posts()] == [
        str(number) for number in range(1001, 1011)
    ]
    assert all(entry.facts["batch"] and entry.applied for entry in rig.posts())
    assert (rig.connector.batch_calls(10), rig.connector.max_batch) == (10, 50)
    assert (await rig.plan(requests[0])).unchanged


async def test_of_many_bids_one_that_is_refused_does_not_touch_the_others(
    rig: Rig, raw: Raw
) -> None:
    requests = [rig.request("1001"), rig.request("1012"), rig.request("1003")]
    requests[1].bid_cap.SetInParent()
    planned = [(each, call_of("PlaceBid", plan=await rig.plan(each))) for each in requests]
    # The ad set aims at value by the time the cap arrives.
    await raw.post(
        "/10121",
        bid_strategy="LOWEST_COST_WITHOUT_CAP",
        optimization_goal="VALUE",
    )
    first, refused, third = await rig.connector.place_many(planned)
    assert isinstance(first, pb.PlaceBidResponse)
    assert isinstance(refused, PlatformRejected)
    assert isinstance(third, pb.PlaceBidResponse)
    assert (await rig.plan(requests[2])).unchanged


async def test_two_ad_sets_of_one_campaign_go_in_two_batches(rig: Rig) -> None:
    requests = [rig.request("1011", f"bid-{number}") for number in (1, 2)]
    requests[0].ad_set_id, requests[1].ad_set_id = "10111", "10112"
    await rig.place_many(*requests, rig.request("1001", "bid-3"))
    assert [entry.facts["object_id"] for entry in rig.posts()] == ["10111", "10011", "10112"]
    for request in requests:
        assert (await rig.plan(request)).unchanged


async def test_a_batch_that_fails_as_a_whole_says_so_for_all(make_rig: MakeRig) -> None:
    rig = await make_rig(timeout_ms=100)
    await rig.connector.prefetch([rig.request("1001"), rig.request("1002")])
    await rig.sandbox.add_fault(Fault(FaultKind.APPLY_THEN_HANG, method="POST /"))
    with pytest.raises(OutcomeUnknown):
        await rig.place_many(rig.request("1001"), rig.request("1002"))
    assert [entry.applied for entry in rig.posts()] == [True, True]


async def test_of_two_batches_one_that_fails_is_the_answer_to_its_own_bids_alone(
    rig: Rig,
) -> None:
    requests = [rig.request("1011", f"bid-{number}") for number in (1, 2)]
    requests[0].ad_set_id, requests[1].ad_set_id = "10111", "10112"
    await rig.sandbox.add_fault(Fault(FaultKind.SERVER_ERROR, method="POST /"))
    failed, placed = await rig.place_many(*requests)
    assert isinstance(failed, OutcomeUnknown)
    assert isinstance(placed, pb.PlaceBidResponse)


async def test_a_batch_may_be_validated_only(rig: Rig) -> None:
    await rig.place_many(rig.request("1001"), rig.request("1002"), validate_only=True)
    assert [entry.applied for entry in rig.posts()] == [False, False]
    assert not (await rig.plan(rig.request("1001"))).unchanged


async def test_a_daily_budget_is_raised_by_the_difference_and_looked_up(rig: Rig) -> None:
    request = rig.budget(130)
    plan = await rig.plan(request)
    call = call_of("UpdateCampaignBudget", plan=plan)
    response = await rig.connector.UpdateCampaignBudget(request, call)
    assert (plan.target, plan.amount_micros) == ("ad_sets/10011/daily_budget", 30_000_000)
    assert response.result.previous_daily_budget_micros == 100_000_000
    assert rig.posts()[-1].facts["daily_budget"] == 13_000
    assert await rig.look(request, plan) is Finding.APPLIED
    assert rig.connector.offline_target(request) == "campaigns/1001"


async def test_a_campaigns_own_budget_is_set_on_the_campaign(rig: Rig) -> None:
    response = await rig.set_budget(130, "1010")
    assert response.result.platform_budget_id == rig.posts()[-1].facts["object_id"] == "1010"
    assert (await rig.plan(rig.budget(130, "1010"))).unchanged


async def test_the_fifth_budget_change_within_an_hour_is_not_sent(rig: Rig) -> None:
    for units in (101, 102, 103, 104):
        await rig.set_budget(units)
        rig.clock.advance(60)
    with pytest.raises(RateLimited, match="4 changes an hour") as caught:
        await rig.plan(rig.budget(105))
    assert caught.value.retry_after_s == 3600 - 240
    assert len(rig.posts()) == 4
    await rig.set_budget(105, "1002")
    rig.clock.advance(3600 - 240)
    await rig.set_budget(105)
    assert all(entry.applied for entry in rig.posts())


async def test_a_budget_that_was_planned_early_is_counted_when_it_is_sent(rig: Rig) -> None:
    early = rig.budget(150)
    planned = await rig.plan(early)
    for units in (101, 102, 103, 104):
        await rig.set_budget(units)
    call = call_of("UpdateCampaignBudget", plan=planned)
    with pytest.raises(RateLimited, match="4 changes an hour"):
        await rig.connector.UpdateCampaignBudget(early, call)
    assert len(rig.posts()) == 4


async def test_budget_changes_that_were_not_made_do_not_count(rig: Rig) -> None:
    for units in range(101, 107):
        request = rig.budget(units)
        plan = await rig.plan(request)
        call = call_of("UpdateCampaignBudget", plan=plan, validate_only=units == 101)
        if units > 101:
            await rig.sandbox.add_fault(Fault(FaultKind.QUOTA, delay_ms=1000, method=CHANGES))
            with pytest.raises(RateLimited):
                await rig.connector.UpdateCampaignBudget(request, call)
        else:
            await rig.connector.UpdateCampaignBudget(request, call)
    for units in (201, 202, 203, 204):
        await rig.set_budget(units)
    with pytest.raises(RateLimited, match="4 changes an hour"):
        await rig.plan(rig.budget(205))


async def test_a_budget_change_that_was_refused_or_never_sent_does_not_count(rig: Rig) -> None:
    refused, unsent = rig.budget(101), rig.budget(102)
    planned = [await rig.plan(refused), await rig.plan(unsent)]
    planned[0].wire.form["daily_budget"] = "1"  # Meta finds it too low
    with pytest.raises(PlatformRejected):
        await rig.connector.UpdateCampaignBudget(
            refused, call_of("UpdateCampaignBudget", plan=planned[0])
        )
    await rig.sandbox.add_fault(Fault(FaultKind.REFUSE))
    with pytest.raises(PlatformUnavailable):
        await rig.connector.UpdateCampaignBudget(
            unsent, call_of("UpdateCampaignBudget", plan=planned[1])
        )
    await rig.sandbox.clear_faults()
    for units in (201, 202, 203, 204):
        await rig.set_budget(units)
    with pytest.raises(RateLimited, match="4 changes an hour"):
        await rig.plan(rig.budget(205))


async def test_a_budget_change_whose_outcome_is_unknown_counts(rig: Rig) -> None:
    await rig.sandbox.add_fault(Fault(FaultKind.SERVER_ERROR, times=4, method=CHANGES))
    for units in (101, 102, 103, 104):
        with pytest.raises(OutcomeUnknown):
            await rig.set_budget(units)
    with pytest.raises(RateLimited, match="4 changes an hour"):
        await rig.plan(rig.budget(105))


async def test_a_restarted_connector_learns_from_metas_own_refusal(make_rig: MakeRig) -> None:
    first = await make_rig()
    for units in (101, 102, 103, 104):
        await first.set_budget(units)
    second = await make_rig()
    with pytest.raises(RateLimited, match="budget was changed too often") as caught:
        await second.set_budget(105)
    assert caught.value.retry_after_s == 3600.0
    with pytest.raises(RateLimited, match="4 changes an hour"):
        await second.plan(second.budget(106))
    # And nothing but this ad set has to wait.
    assert all(signal.retry_after_s == 0 for signal in second.gate.signals)
    await second.set_budget(105, "1002")


async def test_audiences_are_added_and_removed_on_every_active_ad_set(rig: Rig) -> None:
    request = pb.UpdateTargetAudienceRequest()
    request.update.campaign_id = "1011"
    request.update.add_audience_ids[:] = ["501", "503"]
    call = call_of("UpdateTargetAudience")
    first = await rig.connector.UpdateTargetAudience(request, call)
    assert list(first.result.added_audience_ids) == ["501"]
    assert list(first.result.audience_ids) == ["503", "501"]
    assert [entry.facts["object_id"] for entry in rig.posts()] == ["10111", "10112"]
    assert rig.posts()[0].facts["targeting"]["geo_locations"] == {"countries": ["US"]}
    second = await rig.connector.UpdateTargetAudience(request, call)
    assert not second.result.added_audience_ids
    assert len(rig.posts()) == 2
    # One call was paid for by the caller; the other ad set's and the reads took theirs.
    assert rig.gate.reads == ["audience"] * 3


async def test_a_change_of_audience_may_be_validated_only(rig: Rig) -> None:
    request = pb.UpdateTargetAudienceRequest()
    request.update.campaign_id, request.update.validate_only = "1001", True
    request.update.add_audience_ids[:] = ["501"]
    await rig.connector.UpdateTargetAudience(request, call_of("UpdateTargetAudience"))
    assert [entry.applied for entry in rig.posts()] == [False]


@pytest.mark.parametrize(
    ("campaign_id", "audience", "error"),
    [("9999", "501", UnknownTarget), ("1001", "999", PlatformRejected), ("1001", "x", InvalidBid)],
)
async def test_an_audience_must_exist_and_so_must_the_campaign(
    rig: Rig, campaign_id: str, audience: str, error: type[Exception]
) -> None:
    request = pb.UpdateTargetAudienceRequest()
    request.update.campaign_id = campaign_id
    request.update.add_audience_ids[:] = [audience]
    with pytest.raises(error):
        await rig.connector.UpdateTargetAudience(request, call_of("UpdateTargetAudience"))


async def pause(rig: Rig, *, validate_only: bool = False) -> Any:
    request = pb.PauseCampaignRequest()
    request.update.campaign_id, request.update.validate_only = "1001", validate_only
    return (await rig.connector.PauseCampaign(request, call_of("PauseCampaign"))).result


async def resume(rig: Rig, campaign_id: str = "1001") -> Any:
    request = pb.ResumeCampaignRequest()
    request.update.campaign_id = campaign_id
    return (await rig.connector.ResumeCampaign(request, call_of("ResumeCampaign"))).result


async def test_a_campaign_is_paused_once_and_resumed_once(rig: Rig) -> None:
    results = [await pause(rig), await pause(rig), await resume(rig), await resume(rig)]
    assert [(each.paused, each.changed) for each in results] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    ]
    assert [entry.facts["status"] for entry in rig.posts()] == ["PAUSED", "ACTIVE"]


@pytest.mark.parametrize("error", [PlatformUnavailable("open"), RateLimited("used up")])
async def test_pausing_waits_for_neither_breaker_nor_quota_of_reads(
    rig: Rig, error: PlatformUnavailable | RateLimited
) -> None:
    rig.gate.refuses = error
    assert (await pause(rig)).changed
    assert rig.posts()[-1].facts["status"] == "PAUSED"
    with pytest.raises(type(error)):
        await resume(rig)


async def test_pausing_may_be_validated_only(rig: Rig) -> None:
    await pause(rig, validate_only=True)
    assert [entry.applied for entry in rig.posts()] == [False]


async def test_a_paused_campaign_can_be_bid_on(rig: Rig) -> None:
    await pause(rig)
    await rig.bid(rig.request("1001"))


async def test_resuming_what_is_not_there_is_an_unknown_target(rig: Rig) -> None:
    with pytest.raises(UnknownTarget):
        await resume(rig, "9999")


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
