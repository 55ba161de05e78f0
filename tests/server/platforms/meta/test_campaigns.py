"""Budgets, audiences and pausing through the connector against the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.server.platforms.meta.conftest import call_of

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.connector import Finding
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import (
    InvalidBid,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)

if TYPE_CHECKING:
    from tests.server.platforms.meta.conftest import MakeRig, Rig


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


async def test_resuming_what_is_not_there_is_an_unknown_target(rig: Rig) -> None:
    with pytest.raises(UnknownTarget):
        await resume(rig, "9999")


async def test_a_paused_campaign_can_be_bid_on(rig: Rig) -> None:
    await pause(rig)
    before = len(rig.posts())
    await rig.bid(rig.request("1001"))
    assert [entry.applied for entry in rig.posts()[before:]] == [True]
