"""The connector against the sandbox: both targets, every account, and what it remembers."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors_server.connector import Finding
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import (
    CurrencyMismatch,
    InvalidBid,
    NoBid,
    Outcome,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.server.platforms.trade_desk.conftest import MakeRig, Rig


async def test_an_ad_group_bids_what_was_asked_and_keeps_what_was_not(rig: Rig) -> None:
    request = rig.request("1001")
    request.ad_group.base_bid_cpm_micros = 3_210_000
    plan = await rig.plan(request)
    response = await rig.send(request, plan)
    assert (plan.target, plan.amount_micros) == ("ad_groups/10011", 15_000_000)
    facts = rig.changes()[-1].facts
    assert (facts["campaign_id"], facts["ad_group_id"]) == ("1001", "10011")
    assert facts["base_bid_cpm"] == 3.21
    assert facts["fields"] == ["AdGroupId", "RTBAttributes.BaseBidCPM"]
    assert response.ad_group.base_bid_cpm_micros == 3_210_000
    assert response.ad_group.max_bid_cpm_micros == 100_000_000_000
    assert await rig.look(request, plan) is Finding.APPLIED


async def test_without_a_target_the_only_ad_group_bids_the_bid(rig: Rig) -> None:
    response = await rig.bid(rig.request("1001"))
    assert response.ad_group.base_bid_cpm_micros == 15_000_000
    assert rig.changes()[-1].facts["base_bid_cpm"] == 15.0


async def test_one_of_two_ad_groups_is_chosen_by_its_id(rig: Rig) -> None:
    with pytest.raises(InvalidBid, match="campaign 1011 has 2: 10111, 10112"):
        await rig.plan(rig.request("1011"))
    request = rig.request("1011")
    request.ad_group.ad_group_id = "10112"
    plan = await rig.plan(request)
    assert plan.target == rig.connector.offline_target(request) == "ad_groups/10112"
    await rig.send(request, plan)
    assert rig.changes()[-1].facts["ad_group_id"] == "10112"


@pytest.mark.parametrize(("currency_code", "campaign_id"), [("JPY", "2001"), ("KWD", "3001")])
async def test_an_advertiser_is_bid_for_in_its_own_currency(
    make_rig: MakeRig, currency_code: str, campaign_id: str
) -> None:
    rig = await make_rig(currency_code)
    await rig.bid(rig.request(campaign_id))
    assert rig.changes()[-1].facts["currency_code"] == currency_code
    await rig.bid(rig.auction(campaign_id))
    assert rig.changes()[-1].facts["currency_code"] == currency_code


async def test_another_currency_is_refused_for_either_target(rig: Rig) -> None:
    with pytest.raises(CurrencyMismatch, match="an advertiser in JPY; the bid is in USD"):
        await rig.plan(rig.request("2001"))
    with pytest.raises(CurrencyMismatch, match="an advertiser in JPY; the bid is in USD"):
        await rig.plan(rig.auction("2001"))


async def test_a_bid_response_is_submitted_as_it_was_authored(rig: Rig) -> None:
    request = rig.auction()
    request.bid.explanation.update({"why": "loyal"})
    response = await rig.bid(request)
    assert response.open_rtb.submitted
    facts = rig.changes()[-1].facts
    assert facts["headers"] == ["content-type", "x-openrtb-version"]
    authored = json.loads(response.open_rtb.bid_response_json)
    assert (facts["auction_id"], facts["imp_id"], facts["price"]) == ("auction-1", "imp-1", 8.5)
    assert (facts["campaign_id"], facts["creative_id"]) == ("1001", "crUSD-300x250")
    assert facts["bid_id"] == response.result.platform_bid_id == "bid-1-1"
    assert facts["signals"] == authored["seatbid"][0]["bid"][0]["ext"]["kiki"]
    assert facts["signals"]["explanation"] == {"why": "loyal"}


async def test_without_an_exchange_authoring_is_all_there_is(make_rig: MakeRig) -> None:
    rig = await make_rig(exchange_endpoint="")
    response = await rig.bid(rig.auction())
    assert not response.open_rtb.submitted
    assert response.open_rtb.bid_response_json
    assert rig.changes() == []


async def test_an_auction_that_must_not_be_bid_on_is_known_before_anything_is_sent(
    rig: Rig,
) -> None:
    with pytest.raises(NoBid) as caught:
        await rig.plan(rig.auction(cur=["EUR"]))
    assert caught.value.metadata["bid_response_json"] == '{"id":"auction-1","nbr":0}'
    assert rig.changes() == []


async def test_an_auction_does_not_wait_and_is_its_own_target(rig: Rig) -> None:
    auction, setting = rig.auction(), rig.request()
    assert (rig.connector.defers(auction), rig.connector.defers(setting)) == (False, True)
    plan = await rig.plan(auction)
    assert plan.target == rig.connector.offline_target(auction) == "auctions/auction-1"
    assert not plan.unchanged
    assert await rig.look(auction, plan) is Finding.INCONCLUSIVE


async def test_an_impression_cannot_cost_more_than_its_bid_commits(rig: Rig) -> None:
    request = rig.auction()
    request.bid.bid_micros = 8_500
    await rig.plan(request)
    request.bid.bid_micros = 8_499
    with pytest.raises(InvalidBid, match="can cost 8500 micros at this price"):
        await rig.plan(request)


async def test_validation_alone_sends_nothing_to_either_target(rig: Rig) -> None:
    for request in (rig.request(), rig.auction()):
        response = await rig.send(request, await rig.plan(request), validate_only=True)
        assert response.result.platform_bid_id
    await rig.set_budget(1_000_000, validate_only=True)
    assert rig.changes() == []


async def test_what_was_read_for_one_auction_serves_the_next(rig: Rig) -> None:
    await rig.bid(rig.auction())
    assert sorted(rig.gate.reads) == ["ad groups", "advertiser", "campaign", "creatives"]
    await rig.bid(rig.auction("1001", "bid-2"))
    assert len(rig.gate.reads) == 4
    await rig.plan(rig.auction("1002", "bid-3"))
    assert sorted(rig.gate.reads[4:]) == ["ad groups", "campaign"]


async def test_an_accepted_change_is_remembered_without_reading_again(rig: Rig) -> None:
    await rig.bid(rig.request("1001"))
    plan = await rig.plan(rig.request("1001", "bid-2", bid_micros=16_000_000))
    assert plan.before_value == 15_000_000
    assert rig.gate.reads == ["ad groups"]


async def test_after_a_change_in_doubt_the_ad_groups_are_read_again(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    await rig.sandbox.add_fault(Fault(FaultKind.MALFORMED, method=CHANGES))
    with pytest.raises(OutcomeUnknown):
        await rig.send(request, plan)
    assert (await rig.plan(rig.request("1001", "bid-2"))).unchanged
    assert len(rig.gate.reads) == 2


async def test_a_change_that_comes_late_is_found_missing_and_then_found(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    fault = Fault(FaultKind.APPLY_LATE, delay_ms=90_000, method=CHANGES)
    await rig.sandbox.add_fault(fault)
    with pytest.raises(OutcomeUnknown):
        await rig.send(request, plan)
    assert await rig.look(request, plan) is Finding.NOT_APPLIED
    rig.clock.advance(90)
    await rig.sandbox.drain_late()
    assert await rig.look(request, plan) is Finding.APPLIED


async def test_a_setting_that_somebody_else_changed_tells_nothing(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    await rig.bid(rig.request("1001", "other", bid_micros=99_000_000))
    assert await rig.look(request, plan) is Finding.INCONCLUSIVE


@pytest.mark.parametrize(
    ("kind", "raises", "taken"),
    [
        (FaultKind.REFUSE, PlatformUnavailable, 0),
        (FaultKind.HANG, OutcomeUnknown, 0),
        (FaultKind.APPLY_THEN_HANG, OutcomeUnknown, 1),
        (FaultKind.APPLY_THEN_RESET, OutcomeUnknown, 1),
        (FaultKind.APPLY_LATE, OutcomeUnknown, 0),
        (FaultKind.QUOTA, RateLimited, 0),
        (FaultKind.SERVER_ERROR, OutcomeUnknown, 0),
        (FaultKind.MALFORMED, OutcomeUnknown, 1),
        (FaultKind.SLOW, None, 1),
        (FaultKind.DUPLICATE, None, 2),
    ],
)
async def test_an_exchange_under_a_fault_says_what_is_known(
    rig: Rig, kind: FaultKind, raises: type[Exception] | None, taken: int
) -> None:
    request = rig.auction()
    plan = await rig.plan(request)
    delay_ms = {FaultKind.QUOTA: 7_000, FaultKind.APPLY_LATE: 60_000}.get(kind, 0)
    await rig.sandbox.add_fault(Fault(kind, delay_ms=delay_ms, method=CHANGES))
    if raises is None:
        await rig.send(request, plan)
    else:
        with pytest.raises(raises):
            await rig.send(request, plan)
    await rig.sandbox.clear_faults()
    assert sum(entry.applied for entry in rig.changes()) == taken
    assert rig.gate.signals == [], "the exchange's quota is not The Trade Desk's"


async def test_an_exchange_that_asks_for_patience_gets_no_auctions_and_stops_nothing_else(
    rig: Rig,
) -> None:
    request = rig.auction()
    plan = await rig.plan(request)
    await rig.sandbox.add_fault(Fault(FaultKind.QUOTA, delay_ms=7_000, method=CHANGES))
    with pytest.raises(RateLimited):
        await rig.send(request, plan)
    rig.clock.advance(6.5)
    with pytest.raises(RateLimited, match="asks for no bids for another 1 s") as caught:
        await rig.plan(rig.auction(request_id="bid-2"))
    assert caught.value.retry_after_s == pytest.approx(0.5)
    await rig.bid(rig.request("1002", "bid-3"))
    rig.clock.advance(0.5)
    await rig.bid(rig.auction(request_id="bid-4"))
    assert sum(entry.applied for entry in rig.changes()) == 2


async def test_a_batch_of_one_is_answered_like_the_bid_alone(rig: Rig) -> None:
    assert (rig.connector.max_batch, rig.connector.batch_calls(3)) == (1, 3)
    await rig.connector.prefetch([rig.request()])
    good, bad = rig.request("1001"), rig.request("1002")
    planned = [(request, rig.call(await rig.plan(request))) for request in (good, bad)]
    await rig.sandbox.add_fault(Fault(FaultKind.SERVER_ERROR, method=CHANGES))
    first, second = await rig.connector.place_many(planned)
    assert isinstance(first, OutcomeUnknown)
    assert not isinstance(second, Exception)


async def test_a_daily_budget_is_the_target_of_the_flight_that_runs(rig: Rig) -> None:
    answer, plan, finding = await rig.set_budget(130_500_000)
    assert (plan.target, plan.amount_micros) == ("campaign_flights/10010", 30_500_000)
    assert answer.result.previous_daily_budget_micros == 100_000_000
    facts = rig.changes()[-1].facts
    assert (facts["campaign_id"], facts["daily_budget"]) == ("1001", 130.5)
    assert finding is Finding.APPLIED
    answer, plan, finding = await rig.set_budget(120_000_000)
    assert (plan.amount_micros, plan.lowers_exposure) == (0, True)
    assert answer.result.previous_daily_budget_micros == 130_500_000


async def test_a_budget_whose_change_is_in_doubt_is_read_again(rig: Rig) -> None:
    await rig.sandbox.add_fault(Fault(FaultKind.MALFORMED, method=CHANGES))
    with pytest.raises(OutcomeUnknown):
        await rig.set_budget(130_000_000)
    _, plan, _ = await rig.set_budget(140_000_000)
    assert plan.before_value == 130_000_000


async def test_an_audience_is_set_once_and_taken_away_again(rig: Rig) -> None:
    first = await rig.set_audience(add="aud501")
    assert list(first.result.added_audience_ids) == ["aud501"]
    second = await rig.set_audience(add="aud501")
    assert list(second.result.added_audience_ids) == []
    assert len(rig.changes()) == 1
    third = await rig.set_audience(add="aud502", remove="aud501")
    assert list(third.result.audience_ids) == ["aud502"]
    fourth = await rig.set_audience(remove="aud502")
    assert list(fourth.result.audience_ids) == []
    assert [entry.facts["audience_id"] for entry in rig.changes()] == ["aud501", "aud502", None]


async def test_an_audience_that_is_not_there_is_refused(rig: Rig) -> None:
    with pytest.raises(PlatformRejected, match="is not an audience"):
        await rig.set_audience(add="aud999")


async def test_every_ad_group_of_a_campaign_gets_the_audience_and_each_call_its_quota(
    rig: Rig,
) -> None:
    await rig.set_audience("1011", add="aud501")
    assert [entry.facts["ad_group_id"] for entry in rig.changes()] == ["10111", "10112"]
    assert rig.gate.reads == ["ad groups", "change of a further ad group"]


async def test_a_campaign_is_paused_and_resumed_by_its_ad_groups(rig: Rig) -> None:
    assert (await rig.pause("1011")).result.changed
    again = await rig.pause("1011")
    assert (again.result.paused, again.result.changed) == (True, False)
    resumed = await rig.resume("1011")
    assert (resumed.result.paused, resumed.result.changed) == (False, True)
    switched = [(e.facts["ad_group_id"], e.facts["is_enabled"]) for e in rig.changes()]
    assert switched == [("10111", False), ("10112", False), ("10111", True), ("10112", True)]


async def test_after_a_restart_nobody_knows_which_of_several_ad_groups_ran(
    make_rig: MakeRig,
) -> None:
    before = await make_rig()
    await before.pause("1011")
    await before.pause("1001")
    after = await make_rig()
    with pytest.raises(InvalidBid, match="which of the 2 ad groups of campaign 1011 ran"):
        await after.resume("1011")
    assert (await after.resume("1001")).result.changed


@pytest.mark.parametrize("campaign_id", ["1013", "999999"])
async def test_a_campaign_without_ad_groups_is_an_unknown_target(
    rig: Rig, campaign_id: str
) -> None:
    for ask in (rig.pause, rig.resume, rig.set_audience):
        with pytest.raises(UnknownTarget):
            await ask(campaign_id)
    for request in (rig.request(campaign_id), rig.auction(campaign_id)):
        with pytest.raises(UnknownTarget):
            await rig.plan(request)


async def test_a_paused_campaign_has_nothing_to_show_in_an_auction(rig: Rig) -> None:
    await rig.pause("1001")
    with pytest.raises(NoBid, match="has no creative to show"):
        await rig.plan(rig.auction())


async def test_many_auctions_at_once_read_the_account_once(rig: Rig) -> None:
    await asyncio.gather(*(rig.plan(rig.auction("1001", f"bid-{i}")) for i in range(20)))
    assert len(rig.gate.reads) == 4


async def test_a_secret_is_in_no_log_and_no_error(
    make_rig: MakeRig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rig = await make_rig(api_token="hidden-token", login="who", password="hidden-password")
    rig.sandbox.revoke_tokens()
    with pytest.raises(PlatformRejected) as caught:
        await rig.bid(rig.request())
    assert "hidden" not in caplog.text + str(caught.value) + str(caught.value.metadata)


BASE_BID = "RTBAttributes.BaseBidCPM"
AUDIENCE = "RTBAttributes.AudienceTargeting"
DAILY_TARGET = "DailyTargetInAdvertiserCurrency"


async def lower_bid(rig: Rig) -> object:
    request = rig.request("1001")
    request.ad_group.base_bid_cpm_micros = 2_000_000
    return await rig.bid(request)


# What is asked -> the property that the platform ignores, how it is asked, and what is still there.
CHANGES_THAT_ARE_IGNORED: dict[str, tuple[str, Callable[[Rig], Awaitable[Any]], str]] = {
    "a bid": (BASE_BID, lambda rig: rig.bid(rig.request("1001")), "is still 2.5"),
    "a lower bid": (BASE_BID, lower_bid, "is still 2.5"),
    "a budget": (DAILY_TARGET, lambda rig: rig.set_budget(130_000_000), "is still 100"),
    "a lower budget": (DAILY_TARGET, lambda rig: rig.set_budget(50_000_000), "is still 100"),
    "an audience": (AUDIENCE, lambda rig: rig.set_audience(add="aud501"), "is still None"),
    "a pause": ("IsEnabled", lambda rig: rig.pause("1001"), "is still True"),
}


@pytest.mark.parametrize("case", CHANGES_THAT_ARE_IGNORED)
async def test_a_change_that_the_platform_ignores_with_a_200_is_no_success(
    make_rig: MakeRig, case: str
) -> None:
    name, ask, still = CHANGES_THAT_ARE_IGNORED[case]
    rig = await make_rig(strict_mode=False)
    rig.sandbox.leniency.read_only.add(name)
    with pytest.raises(PlatformRejected, match=f"did not apply it: .*{still}"):
        await ask(rig)
    assert not any(entry.applied for entry in rig.changes())


@pytest.mark.parametrize("case", CHANGES_THAT_ARE_IGNORED)
async def test_strict_mode_is_asked_for_so_that_the_property_is_named(rig: Rig, case: str) -> None:
    name, ask, _ = CHANGES_THAT_ARE_IGNORED[case]
    rig.sandbox.leniency.read_only.add(name)
    with pytest.raises(PlatformRejected, match=f"{name}: is read-only"):
        await ask(rig)
    assert not any(entry.applied for entry in rig.changes())
    assert all("ttd-strict-mode" in entry.facts["headers"] for entry in rig.changes())


async def test_a_resume_that_the_platform_ignores_is_no_success(make_rig: MakeRig) -> None:
    rig = await make_rig(strict_mode=False)
    await rig.pause("1001")
    rig.sandbox.leniency.read_only.add("IsEnabled")
    with pytest.raises(PlatformRejected, match="is still False"):
        await rig.resume("1001")


async def test_a_bid_that_comes_back_rounded_is_in_doubt(rig: Rig) -> None:
    rig.sandbox.leniency.cpm_places = 1
    request = rig.request("1001")
    request.ad_group.base_bid_cpm_micros = 3_210_000
    plan = await rig.plan(request)
    with pytest.raises(OutcomeUnknown, match=r"with 3\.2 for .*, and 3\.21 was sent"):
        await rig.send(request, plan)
    assert await rig.look(request, plan) is Finding.INCONCLUSIVE


async def test_an_answer_without_values_leaves_money_in_doubt_and_is_read_for_the_rest(
    rig: Rig,
) -> None:
    rig.sandbox.leniency.answers_ids_only = True
    request = rig.request("1001")
    plan = await rig.plan(request)
    with pytest.raises(OutcomeUnknown, match=r"without RTBAttributes\.BaseBidCPM\.Amount"):
        await rig.send(request, plan)
    assert await rig.look(request, plan) is Finding.APPLIED
    with pytest.raises(OutcomeUnknown, match="without DailyTarget"):
        await rig.set_budget(130_000_000)
    assert (await rig.set_audience(add="aud501")).result.audience_ids
    assert (await rig.pause()).result.changed
    assert rig.gate.reads.count("ad group after a change") == 2


async def test_an_answer_that_cannot_be_completed_is_no_success(rig: Rig) -> None:
    rig.sandbox.leniency.answers_ids_only = True
    fault = Fault(FaultKind.SERVER_ERROR, method="GET /v3/adgroup/{id}")
    await rig.sandbox.add_fault(fault)
    with pytest.raises(OutcomeUnknown, match="could not be read afterwards"):
        await rig.pause()


async def test_an_ad_group_is_switched_by_the_endpoint_for_it(rig: Rig) -> None:
    await rig.pause("1001")
    await rig.resume("1001")
    assert [entry.method for entry in rig.changes()] == ["PUT /v3/adgroup/status"] * 2


async def test_without_a_status_endpoint_a_pause_is_made_by_the_ad_groups_own(rig: Rig) -> None:
    rig.sandbox.leniency.status_endpoint = False
    assert (await rig.pause("1001")).result.changed
    assert (await rig.resume("1001")).result.changed
    sent = [(entry.method, entry.applied) for entry in rig.changes()]
    assert sent == [
        ("PUT /v3/adgroup/status", False),
        ("PUT /v3/adgroup", True),
        ("PUT /v3/adgroup", True),
    ]


async def test_an_ad_group_that_cannot_be_paused_does_not_keep_the_others_running(
    rig: Rig,
) -> None:
    await rig.sandbox.add_fault(Fault(FaultKind.SERVER_ERROR, method=CHANGES))
    with pytest.raises(OutcomeUnknown):
        await rig.pause("1011")
    stopped = [entry.facts["ad_group_id"] for entry in rig.changes() if entry.applied]
    assert stopped == ["10112"]


async def test_a_partial_answer_is_not_kept_as_the_ad_group(rig: Rig) -> None:
    rig.sandbox.leniency.answers_ids_only = True
    await rig.pause("1001")
    await rig.resume("1001")
    plan = await rig.plan(rig.auction())
    assert plan.after_value == 8_500_000


async def test_a_test_auction_takes_no_budget_and_is_not_submitted(rig: Rig) -> None:
    with pytest.raises(NoBid, match="in which nothing is billed") as caught:
        await rig.plan(rig.auction(test=1))
    assert caught.value.metadata["rule"] == "test"
    assert caught.value.metadata["bid_response_json"] == '{"id":"auction-1","nbr":0}'
    assert rig.changes() == []


async def test_an_auction_that_does_not_wait_long_enough_is_not_bid_on(rig: Rig) -> None:
    for tmax in (1, 10, "10"):
        with pytest.raises(NoBid, match=f"waits {tmax} ms") as caught:
            await rig.plan(rig.auction(tmax=tmax))
        assert caught.value.metadata["rule"] == "time"
    await rig.plan(rig.auction(tmax=11))
    await rig.plan(rig.auction(tmax=0))  # what some exchanges write when they do not say


async def test_reading_the_account_takes_time_from_an_auction(rig: Rig) -> None:
    rig.gate.while_reading = lambda: rig.clock.advance(0.1)
    with pytest.raises(NoBid, match="waits 300 ms"):
        await rig.plan(rig.auction(tmax=300))
    await rig.plan(rig.auction(tmax=300))  # now it was read


async def test_a_bid_that_would_come_too_late_is_not_sent(rig: Rig) -> None:
    request = rig.auction(tmax=120)
    arrived_ns = rig.clock.monotonic_ns()
    plan = await rig.plan(request)
    rig.clock.advance(0.111)
    with pytest.raises(NoBid, match="waits 120 ms") as caught:
        await rig.send(request, plan, started_ns=arrived_ns)
    assert caught.value.metadata["bid_response_json"] == '{"id":"auction-1","nbr":0}'
    assert caught.value.outcome is Outcome.NOT_SENT
    assert rig.changes() == []
    await rig.send(request, plan, started_ns=arrived_ns + 2_000_000)
    assert [entry.applied for entry in rig.changes()] == [True]


async def test_what_is_kept_for_the_way_back_can_be_set(make_rig: MakeRig) -> None:
    rig = await make_rig(auction_margin_ms=0)
    await rig.plan(rig.auction(tmax=1))


async def test_a_screen_that_many_people_see_costs_no_more_than_is_committed(rig: Rig) -> None:
    imp = {"id": "imp-1", "banner": {"w": 300, "h": 250}, "qty": {"multiplier": 14.2}}
    request = rig.auction(imp=[imp])
    request.bid.bid_micros = 120_699
    with pytest.raises(NoBid, match=r"billed '14\.2' times, so that it can cost 120700 micros"):
        await rig.plan(request)
    request.bid.bid_micros = 120_700
    plan = await rig.plan(request)
    await rig.send(request, plan)
    (entry,) = rig.changes()
    assert entry.facts["price"] * 1_000_000 / 1000 * 14.2 <= plan.amount_micros == 120_700


async def test_the_fixed_price_of_a_deal_is_submitted_and_planned(rig: Rig) -> None:
    deal = {"id": "deal-1", "at": 3, "bidfloor": 4.25}
    imp = {"id": "imp-1", "banner": {"w": 300, "h": 250}, "pmp": {"deals": [deal]}, "bidfloor": 99}
    request = rig.auction(imp=[imp])
    plan = await rig.plan(request)
    assert plan.after_value == 4_250_000
    await rig.send(request, plan)
    facts = rig.changes()[-1].facts
    assert (facts["price"], facts["deal_id"]) == (4.25, "deal-1")
