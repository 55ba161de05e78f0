"""What is read of entities, and what happens when they are not what is documented."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.platforms.trade_desk import state
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import creative_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
AD_GROUP: dict[str, Any] = {"AdGroupId": "1", "CampaignId": "2", "RTBAttributes": {}}
CAMPAIGN: dict[str, Any] = {"CampaignId": "2", "AdvertiserId": "3"}
ADVERTISER: dict[str, Any] = {"AdvertiserId": "3", "CurrencyCode": "USD"}
ATTRIBUTES = [
    "ThirdPartyTagAttributes",
    "ImageAttributes",
    "TradeDeskHostedVideoAttributes",
    "ThirdPartyHostedVideoAttributes",
    "NativeAttributes",
]


def flight(start: str, end: str | None) -> dict[str, Any]:
    return {"CampaignFlightId": 1, "StartDateInclusiveUTC": start, "EndDateExclusiveUTC": end}


@pytest.mark.parametrize(
    ("start", "end", "runs"),
    [
        ("2026-11-24T12:00:00", None, True),
        ("2026-11-24T12:00:00.001", None, False),
        ("2026-01-01T00:00:00Z", "2026-11-24T12:00:00", False),
        ("2026-01-01T00:00:00", "2026-11-24T12:00:00.5", True),
        ("2026-11-24T13:00:00+02:00", None, True),
    ],
)
def test_a_flight_runs_from_its_start_until_just_before_its_end(
    start: str, end: str | None, runs: bool
) -> None:
    campaign = state.campaign_of({**CAMPAIGN, "CampaignFlights": [flight(start, end)]})
    found = campaign.flight_at(datetime(2026, 11, 24, 12, tzinfo=UTC))
    assert (found is not None) is runs


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("https://www.Brand.example/path?x", "brand.example"),
        ("brand.example:8080", "brand.example"),
        ("shop.brand.example.", "shop.brand.example"),
        ("", ""),
    ],
)
def test_a_domain_is_the_host_alone(address: str, domain: str) -> None:
    assert state.domain_of(address) == domain


def test_an_ad_group_may_say_little() -> None:
    ad_group = state.ad_group_of({**AD_GROUP, "RTBAttributes": None})
    assert (ad_group.base_bid_micros, ad_group.currency_code, ad_group.enabled) == (0, "", True)


@given(broken=JSON, key=st.sampled_from(["AdGroupId", "RTBAttributes", "IsEnabled", "CampaignId"]))
def test_an_ad_group_of_another_form_is_read_or_refused(broken: Any, key: str) -> None:
    for entity in (
        {**AD_GROUP, key: broken},
        {**AD_GROUP, "RTBAttributes": {"BaseBidCPM": broken}},
    ):
        try:
            state.ad_group_of(entity)
        except state.UnreadableEntity:
            continue


@given(broken=JSON)
def test_other_entities_of_another_form_are_read_or_refused(broken: Any) -> None:
    for read, entity in (
        (state.campaign_of, {**CAMPAIGN, "CampaignFlights": broken}),
        (state.campaign_of, {**CAMPAIGN, "CampaignFlights": [broken]}),
        (state.advertiser_of, {**ADVERTISER, "DomainAddress": broken}),
    ):
        try:
            read(entity)
        except state.UnreadableEntity:
            continue


@given(
    broken=JSON, kind=st.sampled_from(ATTRIBUTES), key=st.sampled_from(["Width", "AdTag", "Title"])
)
def test_a_creative_of_another_form_is_left_out(broken: Any, kind: str, key: str) -> None:
    assert creative_of({"CreativeId": "1", kind: broken}) is None
    assert creative_of({"CreativeId": "1", kind: {key: broken}}) is None
    assert creative_of({"CreativeId": broken, kind: {}}) is None


def test_a_click_macro_of_the_trade_desk_is_taken_out() -> None:
    tag = {
        "AdTag": '<a href="%%TTD_CLK%%https://a.example">%%TTD_CLICK_ESC2%%</a>',
        "Width": 300,
        "Height": Decimal(250),
    }
    creative = creative_of({"CreativeId": "1", "ThirdPartyTagAttributes": tag})
    assert creative is not None
    assert getattr(creative.ad, "html", "") == '<a href="https://a.example"></a>'


@pytest.mark.parametrize("reason", [{"Availability": "Archived"}, {"CreativeId": None}])
def test_an_archived_creative_is_left_out(reason: dict[str, Any]) -> None:
    tag = {"AdTag": "x", "Width": 1, "Height": 1}
    assert creative_of({"CreativeId": "1", "ThirdPartyTagAttributes": tag, **reason}) is None
