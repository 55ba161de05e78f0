"""What each answer of the Graph API means, for a change and for a read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.connector import Traffic
from smartconnectors_server.errors import (
    ConnectorError,
    Outcome,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.meta import refusals
from smartconnectors_server.platforms.meta.refusals import Answered

THROTTLING = (4, 17, 32, 341, 368, 613, 80000, 80003, 80004, 80014)


def answered(status: int = 400, headers: dict[str, str] | None = None, **error: Any) -> Answered:
    body = {"error": {"message": "Some words.", "type": "OAuthException", **error}}
    return Answered(status, headers or {}, json.dumps(body))


def used_up(use_case: str, account: str = "1") -> dict[str, str]:
    """The header of an account whose quota of a use case is used up for seven minutes."""
    usage = {"type": use_case, "call_count": 100, "estimated_time_to_regain_access": 7}
    return {"x-business-use-case-usage": json.dumps({account: [usage]})}


def meaning(
    answer: Answered,
    *,
    changes: bool = True,
    traffic: Traffic = Traffic.BIDS,
    secrets: tuple[str, ...] = (),
) -> Any:
    _, error, signals = refusals.read(
        answer, changes=changes, account_id="act_1", traffic=traffic, secrets=secrets
    )
    assert error is not None
    return error, signals


@pytest.mark.parametrize("code", THROTTLING)
@pytest.mark.parametrize("status", [200, 400, 403, 429, 500])
def test_a_throttling_code_is_a_rate_limit_whatever_the_status(code: int, status: int) -> None:
    for changes in (True, False):
        error, signals = meaning(answered(status, code=code, is_transient=True), changes=changes)
        assert type(error) is RateLimited
        assert error.outcome is Outcome.NOT_SENT
        assert all(error.retry_after_s == signal.retry_after_s > 0 for signal in signals)


def test_the_headers_own_time_to_wait_wins_over_ours() -> None:
    error, (signal,) = meaning(answered(headers=used_up("ads_management"), code=80004))
    assert error.retry_after_s == signal.retry_after_s == 420.0
    assert signal.usage_percent == 100.0


@pytest.mark.parametrize(
    ("code", "subcode", "every_account"),
    [
        (4, 0, True),
        (17, 0, True),
        (17, 2446079, False),
        (341, 0, True),
        (368, 0, True),
        (613, 0, False),
        (613, 1487742, False),
        (613, 5044001, False),
        (80004, 0, False),
        (80004, 2446079, False),
    ],
)
def test_a_refused_bid_holds_up_who_shares_its_quota(
    code: int, subcode: int, every_account: bool
) -> None:
    _, (signal,) = meaning(answered(code=code, error_subcode=subcode))
    assert (signal.binds, signal.every_account) == ((), every_account)


@pytest.mark.parametrize(("code", "subcode"), [(32, 0), (80003, 2446079), (80014, 2446079)])
def test_quota_of_another_object_or_use_case_holds_up_nothing_else(code: int, subcode: int) -> None:
    error, signals = meaning(answered(code=code, error_subcode=subcode))
    assert type(error) is RateLimited
    assert error.retry_after_s == 300.0
    assert signals == ()


def test_quota_of_insights_holds_up_reports_whatever_was_refused_so() -> None:
    answer = answered(code=80000, error_subcode=2446079)
    _, (signal,) = meaning(answer)
    assert signal.binds == (Traffic.REPORTS,)
    _, (signal,) = meaning(answer, changes=False, traffic=Traffic.REPORTS)
    assert (signal.retry_after_s, signal.binds) == (300.0, ())


def test_a_refused_report_waits_for_as_long_as_insights_are_used_up() -> None:
    for traffic in (Traffic.BIDS, Traffic.REPORTS):
        answer = answered(headers=used_up("ads_insights"), code=80000)
        error, (signal,) = meaning(answer, traffic=traffic)
        assert error.retry_after_s == signal.retry_after_s == 420.0


@pytest.mark.parametrize("account", ["1", "2"])
def test_a_refused_bid_does_not_wait_for_another_use_case_or_company(account: str) -> None:
    use_case = "ads_insights" if account == "1" else "ads_management"
    error, signals = meaning(answered(headers=used_up(use_case, account), code=80004))
    assert error.retry_after_s == 300.0
    assert [s.retry_after_s for s in signals if s.binds == ()] == [300.0]


def test_refused_budget_changes_wait_an_hour_and_slow_down_nothing_else() -> None:
    error, signals = meaning(answered(code=613, error_subcode=1487632))
    assert type(error) is RateLimited
    assert error.retry_after_s == 3600.0
    assert signals == ()
    assert refusals.is_budget_block(error)
    other, _ = meaning(answered(code=613, error_subcode=1487742))
    assert not refusals.is_budget_block(other)


@pytest.mark.parametrize(("code", "subcode"), [(100, 33), (803, 0)])
def test_an_unknown_object_is_an_unknown_target(code: int, subcode: int) -> None:
    error, _ = meaning(answered(code=code, error_subcode=subcode))
    assert type(error) is UnknownTarget


@pytest.mark.parametrize("code", [3, 10, 100, 102, 104, 190, 200, 299, 2635, 123456])
def test_any_other_error_is_a_refusal(code: int) -> None:
    for changes in (True, False):
        error, _ = meaning(answered(code=code, fbtrace_id="Trace"), changes=changes)
        assert type(error) is PlatformRejected
        assert error.metadata == {
            "platform_status": "400",
            "platform_code": str(code),
            "platform_request_id": "Trace",
        }


@pytest.mark.parametrize(
    "answer",
    [
        answered(code=1),
        answered(500, code=2),
        answered(code=-3),
        answered(code=100, is_transient=True),
        answered(500, code=100),
        answered(503, code=190),
        Answered(400, {}, '{"error": "not an object"}'),
        Answered(200, {}, '{"error": []}'),
        Answered(502, {}, "<html>"),
        Answered(404, {}, "Not Found"),
        Answered(302, {}, "{}"),
        Answered(200, {}, ""),
        Answered(200, {}, "3"),
        Answered(200, {}, b"\xff\xfe"),
        Answered(200, {}, "[" * 100_000),
    ],
)
def test_what_does_not_say_whether_it_was_made_leaves_a_change_in_doubt(answer: Answered) -> None:
    change, _ = meaning(answer, changes=True)
    read, _ = meaning(answer, changes=False)
    assert (type(change), type(read)) == (OutcomeUnknown, PlatformUnavailable)


@pytest.mark.parametrize(
    "body", ["{}", "[]", '{"success": false}', '{"success": "true"}', '{"id": "10011"}']
)
def test_a_change_is_made_only_when_it_says_so(body: str) -> None:
    error, _ = refusals.changed(Answered(200, {}, body), "10011", {}, account_id="act_1")
    assert type(error) is OutcomeUnknown


def test_a_change_that_says_so_is_made() -> None:
    answer = Answered(200, {}, '{"success": true}')
    assert refusals.changed(answer, "10011", {}, account_id="act_1") == (None, ())


def test_metas_words_for_people_are_handed_on() -> None:
    error, _ = meaning(answered(code=100, error_user_title="Too low.", error_user_msg="Raise it."))
    assert error.message == "Meta refused it: Some words. Too low. Raise it. (100/0)"


def test_a_secret_that_meta_repeats_is_taken_out() -> None:
    answer = answered(401, code=190)
    body = str(answer.body).replace("Some words.", "The token EAAB-secret is malformed.")
    error, _ = meaning(Answered(401, {}, body), secrets=("EAAB-secret", ""))
    assert error.message == "Meta refused it: The token [hidden] is malformed. (190/0)"
    assert "EAAB" not in repr(error.metadata)


@given(
    st.integers(100, 599),
    st.dictionaries(
        st.sampled_from(["message", "code", "error_subcode", "is_transient", "fbtrace_id"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    ),
)
def test_whatever_an_error_says_it_is_one_of_ours(status: int, error: dict[str, Any]) -> None:
    translated, _ = meaning(Answered(status, {}, json.dumps({"error": error})))
    assert isinstance(translated, ConnectorError)
    if status >= 500:
        assert not isinstance(translated, PlatformRejected)
