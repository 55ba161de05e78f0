"""What a look at Meta says of a change whose outcome is unknown, without any marker."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from smartconnectors_server.connector import Finding
from smartconnectors_server.platforms.meta import findings
from smartconnectors_server.platforms.meta.state import AdSet, Campaign
from smartconnectors_server.platforms.meta.wire import before_json, observed

AD_SET = AdSet(
    ad_set_id="10011",
    is_active=True,
    strategy="LOWEST_COST_WITH_MIN_ROAS",
    roas_floor=40_000,
    goal="VALUE",
    daily_budget=10_000,
    updated_time="t0",
)
CAMPAIGN = Campaign(
    campaign_id="1001",
    account_id="act_1",
    currency_code="USD",
    is_paused=False,
    ad_sets=(AD_SET,),
    updated_time="t0",
)
SETS = {**observed(CAMPAIGN, AD_SET), "roas_average_floor": 20_000}


def finding(now: AdSet, *, before: AdSet = AD_SET, sets: dict[str, Any] = SETS) -> Finding:
    was = observed(CAMPAIGN, before)
    kept = before_json(CAMPAIGN, before, was, sets)
    return findings.of(kept, CAMPAIGN.with_ad_set(now))


def test_what_was_sent_and_stands_was_applied() -> None:
    assert finding(replace(AD_SET, roas_floor=20_000, updated_time="t1")) is Finding.APPLIED


def test_what_is_as_before_and_untouched_was_not_applied() -> None:
    assert finding(AD_SET) is Finding.NOT_APPLIED


def test_what_is_as_before_but_was_touched_may_have_been_ours_in_between() -> None:
    assert finding(replace(AD_SET, updated_time="t1")) is Finding.INCONCLUSIVE


def test_when_it_was_touched_is_not_asked_where_that_was_not_known() -> None:
    before = replace(AD_SET, updated_time="")
    assert finding(replace(AD_SET, updated_time="t1"), before=before) is Finding.NOT_APPLIED


@pytest.mark.parametrize(
    "now",
    [
        replace(AD_SET, roas_floor=30_000),
        replace(AD_SET, strategy="COST_CAP", roas_floor=0, bid_amount=5),
        replace(AD_SET, roas_floor=20_000, goal="OFFSITE_CONVERSIONS"),
    ],
)
def test_anything_else_tells_nothing(now: AdSet) -> None:
    assert finding(now) is Finding.INCONCLUSIVE


def test_what_stood_before_already_tells_nothing_of_being_applied() -> None:
    same = observed(CAMPAIGN, AD_SET)
    assert finding(AD_SET, sets=same) is Finding.NOT_APPLIED


def test_an_ad_set_that_is_gone_tells_nothing() -> None:
    kept = before_json(CAMPAIGN, AD_SET, observed(CAMPAIGN, AD_SET), SETS)
    assert findings.of(kept, replace(CAMPAIGN, ad_sets=())) is Finding.INCONCLUSIVE


def test_a_campaigns_own_budget_is_looked_up_on_the_campaign() -> None:
    campaign = replace(CAMPAIGN, daily_budget=10_000)
    kept = before_json(campaign, None, {"daily_budget": 10_000}, {"daily_budget": 13_000})
    assert findings.target_of(kept) == ("1001", "")
    assert findings.of(kept, replace(campaign, daily_budget=13_000)) is Finding.APPLIED
    assert findings.of(kept, campaign) is Finding.NOT_APPLIED
    assert findings.of(kept, replace(campaign, daily_budget=12_000)) is Finding.INCONCLUSIVE


def test_what_the_ledger_keeps_is_small_and_readable() -> None:
    kept = json.loads(before_json(CAMPAIGN, AD_SET, observed(CAMPAIGN, AD_SET), SETS))
    assert set(kept) == {"campaign_id", "ad_set_id", "was", "updated_time", "sets"}
