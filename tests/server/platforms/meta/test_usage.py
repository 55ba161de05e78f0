"""The usage headers, as Meta writes them and as it never should."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.connector import QuotaSignal, Traffic
from smartconnectors_server.platforms.meta.usage import AD_ACCOUNT, BUSINESS, signals_of

ACCOUNT = "1000000001"
APP = "x-app-usage"


def business(account: str = ACCOUNT, **usage: Any) -> str:
    return json.dumps({account: [{"type": "ads_management", **usage}]})


def said(
    headers: dict[str, str], traffic: Traffic = Traffic.BIDS, *, throttled: bool = False
) -> dict[Traffic, QuotaSignal]:
    return signals_of(headers, f"act_{ACCOUNT}", traffic, throttled=throttled)


def test_an_answer_without_headers_says_nothing() -> None:
    assert said({}) == {}
    assert said({"content-type": "application/json"}, throttled=True) == {}


def test_the_highest_percentage_of_the_account_counts() -> None:
    headers = {
        BUSINESS: business(call_count=10, total_cputime=81, total_time=12),
        AD_ACCOUNT: json.dumps({"acc_id_util_pct": 92.5, "reset_time_duration": 100}),
    }
    for left_out, expected in ((None, 92.5), (AD_ACCOUNT, 81.0)):
        kept = {name: value for name, value in headers.items() if name != left_out}
        assert said(kept)[Traffic.BIDS].usage_percent == expected


def test_the_limits_of_the_graph_api_say_nothing_of_the_marketing_api() -> None:
    app = json.dumps({"call_count": 100, "total_time": 100, "total_cputime": 100})
    assert said({APP: app}, throttled=True) == {}


def test_the_time_to_regain_access_is_in_minutes() -> None:
    usage = business(call_count=100, estimated_time_to_regain_access=19)
    assert said({BUSINESS: usage}, throttled=True)[Traffic.BIDS].retry_after_s == 19 * 60


USAGE = {
    ACCOUNT: [
        {"type": "ads_insights", "call_count": 100, "estimated_time_to_regain_access": 30},
        {"type": "custom_audience", "call_count": 100, "estimated_time_to_regain_access": 60},
        {"type": "ads_management", "call_count": 12, "estimated_time_to_regain_access": 0},
        {"call_count": 100, "estimated_time_to_regain_access": 60},
    ],
    "2": [{"type": "ads_management", "call_count": 100, "estimated_time_to_regain_access": 60}],
}


def test_bids_are_limited_by_ads_management_of_their_account_alone() -> None:
    found = said({BUSINESS: json.dumps(USAGE)})
    bids = found[Traffic.BIDS]
    assert (bids.retry_after_s, bids.usage_percent, bids.binds) == (0.0, 12.0, ())


def test_what_an_answer_to_a_bid_says_of_insights_binds_reports() -> None:
    reports = said({BUSINESS: json.dumps(USAGE)})[Traffic.REPORTS]
    assert (reports.retry_after_s, reports.usage_percent) == (1800.0, 100.0)
    assert reports.binds == (Traffic.REPORTS,)


def test_a_report_is_limited_by_ads_insights_of_its_account_alone() -> None:
    found = said({BUSINESS: json.dumps(USAGE)}, Traffic.REPORTS)
    assert list(found) == [Traffic.REPORTS]
    assert (found[Traffic.REPORTS].retry_after_s, found[Traffic.REPORTS].binds) == (1800.0, ())


@pytest.mark.parametrize("traffic", [Traffic.BIDS, Traffic.REPORTS])
def test_when_an_accounts_quota_begins_again_is_an_order_only_when_it_is_used_up(
    traffic: Traffic,
) -> None:
    def wait_s(percent: float, *, throttled: bool) -> float:
        usage = json.dumps({"acc_id_util_pct": percent, "reset_time_duration": 100})
        found = said({AD_ACCOUNT: usage}, traffic, throttled=throttled)
        assert list(found) == [traffic]
        return found[traffic].retry_after_s

    assert wait_s(50, throttled=False) == 0.0
    assert wait_s(50, throttled=True) == 100.0
    assert wait_s(100, throttled=False) == 100.0


def test_the_headers_own_words_are_kept_for_logs() -> None:
    usage = business(call_count=7)
    assert said({BUSINESS: usage})[Traffic.BIDS].detail == f"{BUSINESS}: {usage}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "call_count",
                    "total_time",
                    "acc_id_util_pct",
                    "estimated_time_to_regain_access",
                    "reset_time_duration",
                    ACCOUNT,
                ]
            ),
            inner | st.just("ads_management"),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from([BUSINESS, AD_ACCOUNT]), JSON, st.booleans())
def test_whatever_a_header_says_it_never_fails_and_never_orders_nonsense(
    name: str, value: Any, throttled: bool
) -> None:
    for signal in said({name: json.dumps(value)}, throttled=throttled).values():
        assert 0 <= signal.retry_after_s < float("inf")
        assert signal.usage_percent is None or 0 <= signal.usage_percent < float("inf")


def test_a_number_of_minutes_that_no_clock_could_count_says_nothing() -> None:
    header = business(estimated_time_to_regain_access=2.9961552247705265e306)
    found = said({BUSINESS: header}, throttled=True)
    assert all(signal.retry_after_s == 0 for signal in found.values())


@given(st.text(max_size=40))
def test_a_header_that_is_no_json_says_nothing(text: str) -> None:
    assert said({BUSINESS: text}, throttled=True) == {}
