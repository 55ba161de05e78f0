"""What a look says: the whole truth table, and that it never says NOT_APPLIED of what was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Priced
from smartconnectors_server.connector import Finding
from smartconnectors_server.platforms.google_ads import daily_budget, findings, knobs, wire
from smartconnectors_server.platforms.google_ads.state import Campaign, DailyBudget

OURS, EARLIER, OTHER = "bid-1", "bid-0", "somebody"
SENT, BEFORE, ELSEWHERE = 2_000_000, 4_000_000, 7_000_000


def campaign(roas: int, marker: str, foreign: int = 0) -> Campaign:
    parameters = tuple((f"k{i}", "v") for i in range(foreign))
    return Campaign(
        resource_name="customers/1234567890/campaigns/1001",
        campaign_id="1001",
        currency_code="USD",
        channel="SEARCH",
        strategy="MAXIMIZE_CONVERSION_VALUE",
        maximize_value_roas_millionths=roas,
        parameters=parameters + ((("kikireq", marker),) if marker else ()),
    )


def planned(before: Campaign) -> tuple[knobs.Intent, str, Campaign]:
    """The intent, what was recorded before, and the campaign if Google applies it."""
    request = pb.PlaceBidRequest()
    request.bid.request_id, request.bid.campaign_id = OURS, "1001"
    priced = Priced(OURS, 15_000_000, 30_000_000, "USD")
    intent = knobs.intent_of(request, priced)
    plan = wire.plan_bid(request, priced, intent, before, ltv_in_click_urls=True)
    return intent, plan.before, plan.wire.after


@pytest.mark.parametrize(
    ("marker", "roas", "finding"),
    [
        (OURS, SENT, Finding.APPLIED),
        (OURS, ELSEWHERE, Finding.APPLIED),
        (OURS, BEFORE, Finding.INCONCLUSIVE),
        (EARLIER, BEFORE, Finding.NOT_APPLIED),
        (EARLIER, SENT, Finding.APPLIED),
        (EARLIER, ELSEWHERE, Finding.INCONCLUSIVE),
        (OTHER, BEFORE, Finding.INCONCLUSIVE),
        (OTHER, SENT, Finding.APPLIED),
        (OTHER, ELSEWHERE, Finding.INCONCLUSIVE),
        ("", BEFORE, Finding.INCONCLUSIVE),
        ("", SENT, Finding.APPLIED),
    ],
)
def test_marker_and_setting_say_what_became_of_a_bid(
    marker: str, roas: int, finding: Finding
) -> None:
    intent, before, _ = planned(campaign(BEFORE, EARLIER))
    assert findings.of_bid(OURS, intent, before, campaign(roas, marker)) is finding


@given(st.integers(10_000, 10_000_000), st.sampled_from(["", EARLIER]), st.integers(0, 8))
def test_an_applied_bid_is_never_found_missing_and_a_missing_one_never_found_applied(
    roas: int, marker: str, foreign: int
) -> None:
    before_state = campaign(roas, marker if foreign < 8 else "", foreign)
    intent, before, after_state = planned(before_state)
    if after_state == before_state:
        return  # nothing would have been sent
    assert findings.of_bid(OURS, intent, before, after_state) is Finding.APPLIED
    assert findings.of_bid(OURS, intent, before, before_state) is Finding.NOT_APPLIED


def test_the_same_setting_with_another_signal_is_told_apart_by_its_marker() -> None:
    intent, before, after_state = planned(campaign(SENT, EARLIER))
    assert findings.of_bid(OURS, intent, before, after_state) is Finding.APPLIED
    assert findings.of_bid(OURS, intent, before, campaign(SENT, EARLIER)) is Finding.NOT_APPLIED
    assert findings.of_bid(OURS, intent, before, campaign(SENT, OTHER)) is Finding.INCONCLUSIVE


@pytest.mark.parametrize(
    ("now_micros", "finding"),
    [
        (130_000_000, Finding.APPLIED),
        (100_000_000, Finding.NOT_APPLIED),
        (110_000_000, Finding.INCONCLUSIVE),
    ],
)
def test_the_amount_says_what_became_of_a_budget(now_micros: int, finding: Finding) -> None:
    budget = DailyBudget(
        "customers/1234567890/campaignBudgets/66", "66", 100_000_000, 1, "DAILY", 0, False
    )
    before_state = replace(campaign(BEFORE, ""), budget=budget)
    request = pb.UpdateCampaignBudgetRequest()
    request.update.campaign_id, request.update.daily_budget_micros = "1001", 130_000_000
    plan = daily_budget.plan(request, Priced("b", 0, 0, "USD"), before_state, unit_micros=10_000)
    now = replace(before_state, budget=replace(budget, amount_micros=now_micros))
    assert findings.of_budget(130_000_000, plan.before, now) is finding
