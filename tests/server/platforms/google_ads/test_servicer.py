"""The connector against the sandbox: every knob, every account, and what it remembers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Priced
from smartconnectors_server.connector import Finding, Sent
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import (
    CurrencyMismatch,
    InvalidBid,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import MakeRig, Rig

    from smartconnectors_server.platforms.google_ads.sandbox import GoogleAdsSandbox


async def test_a_search_campaign_aims_by_conversion_value(rig: Rig) -> None:
    response = await rig.bid(rig.request("1001"))
    assert response.google_ads.field == pb.BIDDING_FIELD_MAXIMIZE_CONVERSION_VALUE_TARGET_ROAS
    assert rig.mutates()[-1].facts["target_roas"] == 2.0
    assert response.google_ads.platform_request_id.startswith("sandbox-")


async def test_a_display_campaign_keeps_its_target_roas(rig: Rig) -> None:
    response = await rig.bid(rig.request("1002"))
    assert response.google_ads.field == pb.BIDDING_FIELD_CAMPAIGN_TARGET_ROAS
    assert rig.mutates()[-1].facts["field"] == "campaign.target_roas.target_roas"


async def test_a_portfolio_takes_roas_and_ceiling_and_its_campaign_the_marker(rig: Rig) -> None:
    request = rig.request("1009")
    request.target_roas.cpc_bid_ceiling_micros = 2_500_000
    request.target_roas.max_shared_campaigns = 2
    plan = await rig.plan(request)
    await rig.send(request, plan)
    facts = rig.mutates()[-1].facts
    assert plan.target == "portfolios/1901"
    assert (facts["target_roas"], facts["cpc_bid_ceiling_micros"]) == (2.0, 2_500_000)
    assert (facts["campaign_id"], facts["custom_parameters"]["kikireq"]) == ("1009", "bid-1")
    assert len(facts["operations"]) == 2


async def test_a_portfolio_that_more_share_than_allowed_is_left_alone(rig: Rig) -> None:
    request = rig.request("1009")
    request.target_roas.max_shared_campaigns = 1
    with pytest.raises(InvalidBid, match=r"max_shared_campaigns: .*shared by 2 campaigns"):
        await rig.plan(request)


async def test_the_settings_say_what_is_allowed_when_the_request_does_not(
    make_rig: MakeRig,
) -> None:
    strict = await make_rig(max_shared_campaigns=1)
    with pytest.raises(InvalidBid, match="shared by 2 campaigns"):
        await strict.plan(strict.request("1009"))


async def test_a_change_of_a_portfolio_is_looked_up_however_many_share_it(
    rig: Rig, make_rig: MakeRig
) -> None:
    """The option may have been lowered since it was sent."""
    request = rig.request("1009")
    plan = await rig.plan(request)
    await rig.send(request, plan)
    strict = await make_rig(max_shared_campaigns=1)
    assert await strict.look(request, plan) is Finding.APPLIED


async def test_who_shares_a_portfolio_is_told_as_it_is_now(
    rig: Rig, sandbox: GoogleAdsSandbox
) -> None:
    request = rig.request("1009")
    plan = await rig.plan(request)
    assert plan.may_move_others
    assert await rig.connector.moved_by(request, plan) == {"1009", "1010"}
    sandbox.remove_campaign("1010")
    assert await rig.connector.moved_by(request, plan) == {"1009"}


async def test_a_campaign_that_bids_for_itself_moves_no_other(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    assert not plan.may_move_others
    assert await rig.connector.moved_by(request, plan) is None


async def test_a_bid_by_a_portfolio_is_seen_by_its_other_campaigns(rig: Rig) -> None:
    other = rig.request("1010", "other")
    assert (await rig.plan(other)).before_value == 4_000_000
    await rig.bid(rig.request("1009"))
    assert (await rig.plan(other)).before_value == 2_000_000


@pytest.mark.parametrize("campaign_id", ["1011", "1012"])
async def test_a_target_cpa_is_the_bid_itself(rig: Rig, campaign_id: str) -> None:
    request = rig.request(campaign_id)
    request.target_cpa.SetInParent()
    response = await rig.bid(request)
    assert response.google_ads.target_cpa_micros == 15_000_000
    assert rig.mutates()[-1].facts["target_cpa_micros"] == 15_000_000


async def test_a_manual_cpc_is_set_on_the_ad_group(rig: Rig) -> None:
    request = rig.request("1013", bid_micros=1_230_000)
    request.manual_cpc.ad_group_id = "10131"
    plan = await rig.plan(request)
    assert plan.target == rig.connector.offline_target(request) == "ad_groups/10131"
    await rig.send(request, plan)
    facts = rig.mutates()[-1].facts
    assert (facts["ad_group_id"], facts["cpc_bid_micros"]) == ("10131", 1_230_000)
    assert await rig.look(request, plan) is Finding.APPLIED


async def test_an_ad_group_must_be_of_the_campaign(rig: Rig) -> None:
    request = rig.request("1013")
    request.manual_cpc.ad_group_id = "10011"
    with pytest.raises(UnknownTarget, match="ad group 10011 is of campaign 1001, not 1013"):
        await rig.plan(request)


async def test_an_ad_group_that_is_known_must_be_of_the_campaign_too(rig: Rig) -> None:
    request = rig.request("1013", bid_micros=1_230_000)
    request.manual_cpc.ad_group_id = "10131"
    await rig.plan(request)
    request.bid.campaign_id = "1001"
    with pytest.raises(UnknownTarget, match="ad group 10131 is of campaign 1013, not 1001"):
        await rig.plan(request)


@pytest.mark.parametrize(
    ("customer_id", "currency_code", "campaign_id"),
    [("1000000002", "JPY", "2001"), ("1000000003", "KWD", "3001"), ("123-456-7890", "USD", "1001")],
)
async def test_an_account_takes_bids_in_its_own_currency(
    make_rig: MakeRig, customer_id: str, currency_code: str, campaign_id: str
) -> None:
    rig = await make_rig(currency_code, customer_id=customer_id)
    await rig.bid(rig.request(campaign_id))
    assert rig.mutates()[-1].facts["customer_id"] == customer_id.replace("-", "")


async def test_an_account_refuses_another_currency(make_rig: MakeRig) -> None:
    rig = await make_rig("USD", customer_id="1000000002")
    with pytest.raises(CurrencyMismatch, match="an account in JPY; the bid is in USD"):
        await rig.plan(rig.request("2001"))


async def test_a_bid_that_no_campaign_could_take_costs_no_read(rig: Rig) -> None:
    with pytest.raises(InvalidBid, match=r"Google Ads takes 0\.01 to 1000"):
        await rig.plan(rig.request("1001", bid_micros=1))
    assert rig.gate.reads == []


async def test_foreign_parameters_survive_every_bid(rig: Rig) -> None:
    for number in range(3):
        await rig.bid(
            rig.request("1001", f"bid-{number}", predicted_ltv_micros=20_000_000 + number)
        )
    parameters = rig.mutates()[-1].facts["custom_parameters"]
    assert parameters == {"season": "autumn", "kikireq": "bid-2", "kikiltv": "20000002"}


async def test_validate_only_is_google_s_own_and_changes_nothing(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    await rig.send(request, plan, validate_only=True)
    entry = rig.mutates()[-1]
    assert (entry.applied, entry.facts["validate_only"]) == (False, True)
    assert await rig.look(request, plan) is Finding.NOT_APPLIED


async def test_an_accepted_change_is_remembered_without_reading_again(rig: Rig) -> None:
    await rig.bid(rig.request("1001"))
    plan = await rig.plan(rig.request("1001", "bid-2", predicted_ltv_micros=45_000_000))
    assert (plan.before_value, '"marker": "bid-1"' in plan.before) == (2_000_000, True)
    assert plan.marker == "bid-1"
    assert rig.gate.reads == ["campaign", "overrides"]


async def test_what_was_read_is_read_again_when_it_is_old(rig: Rig) -> None:
    await rig.plan(rig.request("1001"))
    rig.clock.advance(59.9)
    await rig.plan(rig.request("1001"))
    assert rig.gate.reads == ["campaign", "overrides"]
    rig.clock.advance(0.2)
    await rig.plan(rig.request("1001"))
    assert rig.gate.reads == ["campaign", "overrides"] * 2


async def test_after_a_change_in_doubt_the_campaign_is_read_again(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    await rig.sandbox.add_fault(Fault(FaultKind.MALFORMED, method=CHANGES))
    with pytest.raises(OutcomeUnknown, match="could not be parsed"):
        await rig.send(request, plan)
    await rig.plan(rig.request("1001", "bid-2"))
    assert rig.gate.reads == ["campaign", "overrides", "campaign"]


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


async def test_a_read_that_is_refused_for_quota_tightens_ours(rig: Rig) -> None:
    await rig.sandbox.add_fault(Fault(FaultKind.QUOTA, delay_ms=4_000))
    with pytest.raises(RateLimited) as caught:
        await rig.plan(rig.request("1001"))
    assert caught.value.retry_after_s == 4.0
    assert [signal.retry_after_s for signal in rig.gate.signals] == [4.0]


async def test_a_daily_budget_is_raised_by_the_difference_and_looked_up(rig: Rig) -> None:
    request = pb.UpdateCampaignBudgetRequest()
    request.update.request_id, request.update.campaign_id = "b-1", "1001"
    request.update.daily_budget_micros = 130_000_000
    priced = Priced("b-1", 0, 0, "USD")
    plan = await rig.connector.plan(request, priced)
    response = await rig.set_budget(request, plan)
    assert (plan.target, plan.amount_micros) == ("campaign_budgets/6001", 30_000_000)
    assert response.result.previous_daily_budget_micros == 100_000_000
    assert rig.mutates()[-1].facts["daily_budget_micros"] == 130_000_000
    sent = Sent(request, priced, plan.target, plan.before)
    assert await rig.connector.lookup(sent) is Finding.APPLIED


async def test_user_lists_are_added_and_removed_and_a_repetition_sends_nothing(rig: Rig) -> None:
    request = pb.UpdateTargetAudienceRequest()
    request.update.campaign_id = "1001"
    request.update.add_audience_ids[:] = ["501", "502"]
    first = await rig.set_audience(request)
    assert list(first.result.audience_ids) == ["501", "502"]
    second = await rig.set_audience(request)
    assert list(second.result.added_audience_ids) == []
    assert len(rig.mutates()) == 1
    request.update.add_audience_ids[:] = []
    request.update.remove_audience_ids[:] = ["501", "503"]
    third = await rig.set_audience(request)
    assert list(third.result.removed_audience_ids) == ["501"]
    assert list(third.result.audience_ids) == ["502"]


async def test_an_unknown_user_list_is_an_unknown_target(rig: Rig) -> None:
    request = pb.UpdateTargetAudienceRequest()
    request.update.campaign_id = "1001"
    request.update.add_audience_ids[:] = ["501", "999"]
    with pytest.raises(UnknownTarget):
        await rig.set_audience(request)
    assert not rig.mutates()[-1].applied


async def test_a_token_that_google_no_longer_takes_is_replaced_for_the_next_call(rig: Rig) -> None:
    await rig.plan(rig.request("1001"))
    rig.sandbox.revoke_tokens()
    with pytest.raises(PlatformRejected, match="OAUTH_TOKEN_INVALID"):
        await rig.plan(rig.request("1002"))
    await rig.plan(rig.request("1002"))
    tokens = [entry for entry in rig.sandbox.journal() if entry.method == "oauth_token"]
    assert len(tokens) == 2


async def test_the_account_of_somebody_else_is_refused(make_rig: MakeRig) -> None:
    rig = await make_rig(customer_id="1000000009")
    with pytest.raises(PlatformRejected, match="USER_PERMISSION_DENIED"):
        await rig.plan(rig.request("1001"))


async def test_an_older_version_of_the_api_can_be_chosen(make_rig: MakeRig) -> None:
    rig = await make_rig(api_version="v25")
    response = await rig.bid(rig.request("1001"))
    assert response.google_ads.target_roas == 2.0


async def test_secrets_go_nowhere_near_a_sandbox_or_a_log(
    make_rig: MakeRig, sandbox: GoogleAdsSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # Google's libraries keep their records to themselves unless a handler asks for them here.
    caplog.set_level(logging.DEBUG, logger="google")
    logging.getLogger("google").addHandler(caplog.handler)
    secrets = {
        "api_key": "hidden-developer-token",
        "client_secret": "hidden-client-secret",
        "refresh_token": "hidden-refresh-token",
    }
    rig = await make_rig(**secrets, client_id="id")
    await rig.bid(rig.request("1001"))
    logging.getLogger("google").removeHandler(caplog.handler)
    assert "developer-token" not in rig.mutates()[-1].facts["headers"]
    logged = repr([record.__dict__ for record in caplog.records])
    for secret in (*secrets.values(), "sandbox-token-1"):
        assert secret not in logged
        assert secret not in repr(sandbox.journal())


async def test_before_it_is_connected_nothing_can_have_been_sent(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig()
    await rig.connector.close()
    with pytest.raises(PlatformUnavailable, match="not connected"):
        await rig.plan(rig.request("1001"))


async def test_a_platform_that_refuses_connections_was_sent_nothing(rig: Rig) -> None:
    request = rig.request("1001")
    plan = await rig.plan(request)
    await rig.sandbox.add_fault(Fault(FaultKind.REFUSE))
    with pytest.raises(PlatformUnavailable, match="was not reached"):
        await rig.send(request, plan)
    assert rig.mutates() == []


async def test_a_hundred_bids_at_once_on_one_channel_all_arrive(make_rig: MakeRig) -> None:
    rig = await make_rig(timeout_ms=20_000)  # a busy machine is no failure
    requests = [
        rig.request(f"100{i % 8 + 1}", f"bid-{i}", predicted_ltv_micros=20_000_000 + i)
        for i in range(100)
    ]
    plans = [await rig.plan(request) for request in requests]
    await asyncio.gather(*(rig.send(*pair) for pair in zip(requests, plans, strict=True)))
    assert len(rig.mutates()) == 100
    assert len({entry.facts["custom_parameters"]["kikireq"] for entry in rig.mutates()}) == 100


async def test_connecting_to_a_platform_that_is_away_succeeds_and_the_first_bid_finds_out(
    sandbox: GoogleAdsSandbox, make_rig: MakeRig
) -> None:
    await sandbox.add_fault(Fault(FaultKind.REFUSE))
    rig = await make_rig()
    with pytest.raises(PlatformUnavailable):
        await rig.plan(rig.request("1001"))
    await sandbox.clear_faults()
    await rig.bid(rig.request("1001"))
    assert len(rig.mutates()) == 1


async def test_once_connected_the_first_bid_needs_no_token_any_more(rig: Rig) -> None:
    fetched = [entry.method for entry in rig.sandbox.journal()]
    await rig.bid(rig.request("1001"))
    assert fetched == ["oauth_token"]
    assert [entry.method for entry in rig.sandbox.journal()].count("oauth_token") == 1
