"""The three usage headers, as Meta writes them and as it never should."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.platforms.meta.usage import AD_ACCOUNT, APP, BUSINESS, signal_of


def business(**usage: Any) -> str:
    return json.dumps({"1000000001": [{"type": "ads_management", **usage}]})


def test_an_answer_without_headers_says_nothing() -> None:
    assert signal_of({}, throttled=False) is None
    assert signal_of({"content-type": "application/json"}, throttled=True) is None


def test_the_highest_of_all_percentages_counts() -> None:
    headers = {
        BUSINESS: business(call_count=10, total_cputime=81, total_time=12),
        APP: json.dumps({"call_count": 3, "total_time": 90, "total_cputime": 2}),
        AD_ACCOUNT: json.dumps({"acc_id_util_pct": 92.5, "reset_time_duration": 100}),
    }
    for left_out, expected in ((None, 92.5), (AD_ACCOUNT, 90.0), (APP, 92.5)):
        kept = {name: value for name, value in headers.items() if name != left_out}
        signal = signal_of(kept, throttled=False)
        assert signal is not None
        assert signal.usage_percent == expected


def test_the_time_to_regain_access_is_in_minutes() -> None:
    signal = signal_of(
        {BUSINESS: business(call_count=100, estimated_time_to_regain_access=19)}, throttled=True
    )
    assert signal is not None
    assert signal.retry_after_s == 19 * 60


def test_of_several_use_cases_the_longest_wait_counts() -> None:
    usage = {
        "1": [
            {"type": "ads_insights", "call_count": 5, "estimated_time_to_regain_access": 2},
            {"type": "ads_management", "call_count": 99, "estimated_time_to_regain_access": 0},
        ],
        "2": [{"type": "ads_management", "call_count": 1, "estimated_time_to_regain_access": 3}],
    }
    signal = signal_of({BUSINESS: json.dumps(usage)}, throttled=False)
    assert signal is not None
    assert (signal.retry_after_s, signal.usage_percent) == (180.0, 99.0)


def test_when_an_accounts_quota_starts_anew_is_an_order_only_when_it_is_used_up() -> None:
    def wait_s(percent: float, *, throttled: bool) -> float:
        usage = {"acc_id_util_pct": percent, "reset_time_duration": 100}
        signal = signal_of({AD_ACCOUNT: json.dumps(usage)}, throttled=throttled)
        assert signal is not None
        return signal.retry_after_s

    assert wait_s(50, throttled=False) == 0.0
    assert wait_s(50, throttled=True) == 100.0
    assert wait_s(100, throttled=False) == 100.0


def test_the_headers_own_words_are_kept_for_logs() -> None:
    signal = signal_of({APP: '{"call_count":7}'}, throttled=False)
    assert signal is not None
    assert signal.detail == 'x-app-usage: {"call_count":7}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "call_count",
                    "total_time",
                    "acc_id_util_pct",
                    "estimated_time_to_regain_access",
                    "reset_time_duration",
                    "1",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from([BUSINESS, APP, AD_ACCOUNT]), JSON, st.booleans())
def test_whatever_a_header_says_it_never_fails_and_never_orders_nonsense(
    name: str, value: Any, throttled: bool
) -> None:
    signal = signal_of({name: json.dumps(value)}, throttled=throttled)
    if signal is not None:
        assert 0 <= signal.retry_after_s < float("inf")
        assert signal.usage_percent is None or 0 <= signal.usage_percent < float("inf")


def test_a_number_of_minutes_that_no_clock_could_count_says_nothing() -> None:
    header = json.dumps({"estimated_time_to_regain_access": 2.9961552247705265e306})
    signal = signal_of({BUSINESS: header}, throttled=True)
    assert signal is None or signal.retry_after_s == 0


@given(st.text(max_size=40))
def test_a_header_that_is_no_json_says_nothing(text: str) -> None:
    signal = signal_of({BUSINESS: text}, throttled=True)
    assert signal is None or (signal.retry_after_s, signal.usage_percent) == (0.0, None)
