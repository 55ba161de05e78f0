"""What each answer of The Trade Desk means for a change and for a read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from smartconnectors_server.connector.http import Answer
from smartconnectors_server.errors import (
    ConnectorError,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.trade_desk import answers


def said(answer: Answer, *, changes: bool, secrets: tuple[str, ...] = ()) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        answers.document_of(answer, changes=changes, retry_after_s=3.0, secrets=secrets)
    return caught.value


# status -> (a change, a read)
MEANS: dict[int, tuple[type[ConnectorError], type[ConnectorError]]] = {
    100: (OutcomeUnknown, PlatformUnavailable),
    204: (OutcomeUnknown, PlatformUnavailable),
    301: (OutcomeUnknown, PlatformUnavailable),
    400: (PlatformRejected, PlatformRejected),
    401: (answers.TokenRefused, answers.TokenRefused),
    403: (PlatformRejected, PlatformRejected),
    404: (UnknownTarget, UnknownTarget),
    408: (OutcomeUnknown, PlatformUnavailable),
    409: (PlatformRejected, PlatformRejected),
    429: (RateLimited, RateLimited),
    500: (OutcomeUnknown, PlatformUnavailable),
    502: (OutcomeUnknown, PlatformUnavailable),
    503: (OutcomeUnknown, PlatformUnavailable),
    504: (OutcomeUnknown, PlatformUnavailable),
}


@pytest.mark.parametrize("status", MEANS)
def test_a_status_means_one_thing_for_a_change_and_one_for_a_read(status: int) -> None:
    for changes, expected in zip((True, False), MEANS[status], strict=True):
        assert type(said(Answer(status, {}, b""), changes=changes)) is expected


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"text"'])
def test_an_accepted_change_with_an_unreadable_answer_is_in_doubt(body: bytes) -> None:
    assert type(said(Answer(200, {}, body), changes=True)) is OutcomeUnknown


def test_an_accepted_change_is_its_entity() -> None:
    answer = Answer(200, {}, b'{"AdGroupId": "1"}')
    assert answers.document_of(answer, changes=True, retry_after_s=1.0) == {"AdGroupId": "1"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 30}, None),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Tue, 24 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "Tuesday, 24-Nov-26 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Tue Nov 24 10:00:00 2026"}, 30.0),
        ({"retry-after": "Tue, 99 Nov 2026 10:00:00 GMT"}, None),
        (
            {
                "retry-after": "Tue, 24 Nov 2026 10:00:00 GMT",
                "date": "Tue, 24 Nov 2026 09:58:00 GMT",
            },
            120.0,
        ),
    ],
)
def test_a_delay_is_seconds_or_an_instant(headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2026, 11, 24, 9, 59, 30, tzinfo=UTC)
    assert answers.retry_after_of(Answer(429, headers, b""), now) == seconds


def test_a_refusal_says_what_is_wrong_and_no_secret() -> None:
    body = {
        "Message": "Token tkn-1 is odd.",
        "ErrorDetails": [{"Property": "A.B", "Reasons": ["too low", "odd"]}, {}, 7],
    }
    answer = Answer(400, {}, json.dumps(body).encode())
    error = said(answer, changes=True, secrets=("tkn-1", ""))
    assert error.message == (
        "The Trade Desk refused it: 400 Token [hidden] is odd. (A.B: too low odd) (: )"
    )


@pytest.mark.parametrize("details", [None, 7, "x", {}, [[]], [{"Reasons": 7}]])
def test_an_error_body_of_another_form_is_no_trouble(details: Any) -> None:
    body = json.dumps({"Message": ["?"], "ErrorDetails": details}).encode()
    assert isinstance(said(Answer(400, {}, body), changes=True), PlatformRejected)


def test_a_long_refusal_is_cut() -> None:
    body = json.dumps({"Message": "x" * 10_000}).encode()
    assert len(said(Answer(400, {}, body), changes=True).message) < 600
