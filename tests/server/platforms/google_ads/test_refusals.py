"""What each status of Google's means, with and without a failure in its trailing metadata."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from smartconnectors_server.errors import (
    Outcome,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.google_ads.library import Library, load
from smartconnectors_server.platforms.google_ads.refusals import DEFAULT_RETRY_S, translate
from smartconnectors_server.platforms.google_ads.sandbox.failures import (
    Problem,
    Refused,
    trailing_metadata,
)

S = grpc.StatusCode
REFUSING = (
    S.INVALID_ARGUMENT,
    S.NOT_FOUND,
    S.ALREADY_EXISTS,
    S.PERMISSION_DENIED,
    S.UNAUTHENTICATED,
    S.FAILED_PRECONDITION,
    S.OUT_OF_RANGE,
    S.UNIMPLEMENTED,
)
UNKNOWN = tuple(status for status in S if status not in (*REFUSING, S.OK))


@pytest.fixture(scope="module")
def library() -> Library:
    return load("v26")


def error(library: Library, status: grpc.StatusCode, code: str = "", **more: Any) -> AioRpcError:
    trailing: Any = ()
    if code:
        problem = Problem(code, more.pop("message", "Some words."), (("operations", 3),))
        refused = Refused(problem, status=status, retry_delay_ms=more.pop("delay_ms", None))
        trailing = trailing_metadata(library, refused, "request-7")
    return AioRpcError(status, Metadata(), Metadata(*trailing), details="plain words")


@pytest.mark.parametrize("status", REFUSING, ids=lambda status: status.name)
def test_a_refusal_is_a_refusal_for_changes_and_reads(
    library: Library, status: grpc.StatusCode
) -> None:
    for changes in (True, False):
        refused = error(library, status, "range_error.TOO_HIGH")
        translated, signal = translate(refused, library, changes=changes)
        assert type(translated) is PlatformRejected
        assert signal is None
        assert translated.message == (
            "Google Ads refused it: Some words. (range_error.TOO_HIGH at operations[3])"
        )
        assert translated.metadata == {
            "platform_status": status.name,
            "platform_errors": "range_error.TOO_HIGH",
            "platform_request_id": "request-7",
        }


@pytest.mark.parametrize("status", UNKNOWN, ids=lambda status: status.name)
def test_anything_else_leaves_a_change_in_doubt_and_a_read_undone(
    library: Library, status: grpc.StatusCode
) -> None:
    bare = error(library, status)
    change, _ = translate(bare, library, changes=True)
    read, _ = translate(bare, library, changes=False)
    assert (type(change), type(read)) == (OutcomeUnknown, PlatformUnavailable)
    assert change.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("category", ["mutate_error", "request_error"])
def test_what_google_does_not_know_is_an_unknown_target(library: Library, category: str) -> None:
    refused = error(library, S.INVALID_ARGUMENT, f"{category}.RESOURCE_NOT_FOUND")
    translated, _ = translate(refused, library, changes=True)
    assert type(translated) is UnknownTarget


@pytest.mark.parametrize(
    "code", ["internal_error.TRANSIENT_ERROR", "database_error.CONCURRENT_MODIFICATION"]
)
def test_a_transient_error_in_a_refusal_is_not_a_refusal(library: Library, code: str) -> None:
    translated, _ = translate(error(library, S.INVALID_ARGUMENT, code), library, changes=True)
    assert type(translated) is OutcomeUnknown


def test_a_quota_refusal_says_when_to_come_back(library: Library) -> None:
    refused = error(
        library, S.RESOURCE_EXHAUSTED, "quota_error.RESOURCE_TEMPORARILY_EXHAUSTED", delay_ms=2500
    )
    translated, signal = translate(refused, library, changes=True)
    assert type(translated) is RateLimited
    assert translated.outcome is Outcome.NOT_SENT
    assert translated.retry_after_s == 2.5
    assert signal is not None
    assert signal.retry_after_s == 2.5
    assert "Requests per service per method" in signal.detail


def test_a_quota_refusal_without_a_delay_has_one_of_ours(library: Library) -> None:
    refused = error(library, S.RESOURCE_EXHAUSTED, "quota_error.RESOURCE_EXHAUSTED")
    translated, signal = translate(refused, library, changes=True)
    assert translated.retry_after_s == DEFAULT_RETRY_S
    assert signal is not None
    assert signal.retry_after_s == DEFAULT_RETRY_S


def test_an_exhaustion_that_google_did_not_declare_leaves_a_change_in_doubt(
    library: Library,
) -> None:
    # grpc says so of an answer that is too large, after the change was made.
    translated, signal = translate(error(library, S.RESOURCE_EXHAUSTED), library, changes=True)
    assert type(translated) is OutcomeUnknown
    assert signal is None


def test_a_failure_that_cannot_be_parsed_counts_as_none(library: Library) -> None:
    garbage = Metadata((library.failure_key, b"\xff\xff\xff"))
    broken = AioRpcError(S.INVALID_ARGUMENT, Metadata(), garbage, details="plain words")
    translated, _ = translate(broken, library, changes=True)
    assert type(translated) is PlatformRejected
    assert translated.message == "Google Ads refused it: INVALID_ARGUMENT: plain words"


def test_an_exception_of_another_kind_leaves_a_change_in_doubt(library: Library) -> None:
    change, _ = translate(ValueError("a secret"), library, changes=True)
    read, _ = translate(ValueError("a secret"), library, changes=False)
    assert (type(change), type(read)) == (OutcomeUnknown, PlatformUnavailable)
    assert "a secret" not in change.message + read.message


def test_a_secret_that_google_repeats_is_taken_out(library: Library) -> None:
    said = "The token ya29.s3cret is invalid."
    refused = error(
        library, S.UNAUTHENTICATED, "authentication_error.OAUTH_TOKEN_INVALID", message=said
    )
    translated, _ = translate(refused, library, changes=True, secrets=("ya29.s3cret", ""))
    assert "ya29" not in translated.message
    assert "The token [hidden] is invalid." in translated.message


def test_a_code_of_a_later_version_is_told_by_its_number(library: Library) -> None:
    failure = library.failure()
    failure.errors.add(message="New.").error_code.range_error = 99
    trailing = Metadata((library.failure_key, failure.SerializeToString()))
    newer = AioRpcError(S.INVALID_ARGUMENT, Metadata(), trailing)
    translated, _ = translate(newer, library, changes=True)
    assert translated.metadata["platform_errors"] == "range_error.99"


@pytest.mark.parametrize("words", ["Deadline Exceeded", "Stream removed (Deadline Exceeded)"])
def test_a_timeout_reads_the_same_whenever_grpc_noticed_it(library: Library, words: str) -> None:
    noticed = AioRpcError(S.DEADLINE_EXCEEDED, Metadata(), Metadata(), details=words)
    unknown, _ = translate(noticed, library, changes=True)
    assert unknown.message.endswith("DEADLINE_EXCEEDED: Deadline Exceeded")
