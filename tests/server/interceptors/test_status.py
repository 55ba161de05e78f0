"""From exceptions to gRPC statuses, and from bytes to requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from smartconnectors_server import errors
from smartconnectors_server.call import Call, MethodSpec, MethodTable
from smartconnectors_server.interceptors.status import StatusError, foreseen, parse, to_status
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid"


@pytest.fixture
def spec() -> MethodSpec:
    platform = PLATFORMS["google_ads"]
    spec = MethodTable([platform.service], ["google_ads"]).get(PATH)
    assert spec is not None
    return spec


def every_class() -> Iterator[type[errors.ConnectorError]]:
    waiting = [errors.ConnectorError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ == errors.__name__ and "reason" in vars(kind):
            yield kind


def details(status: StatusError) -> dict[str, Any]:
    """The details in the trailers, by the name of their kind."""
    trailers = dict(status.trailers)
    message = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert (message.code, message.message) == (status.code.value[0], status.message)
    found = {}
    for detail in message.details:
        kind = getattr(error_details_pb2, detail.TypeName().removeprefix("google.rpc."))
        found[kind.DESCRIPTOR.name] = kind.FromString(detail.value)
    return found


@pytest.mark.parametrize("kind", sorted(every_class(), key=str), ids=lambda kind: kind.reason)
def test_every_error_has_its_code_its_reason_and_its_numbers(
    kind: type[errors.ConnectorError],
) -> None:
    error = kind("why", metadata={"budget_id": "google_ads"})
    status = to_status(error)
    info = details(status)["ErrorInfo"]
    assert status.code.name == kind.code.value
    assert (info.reason, info.domain) == (kind.reason, "smartconnectors")
    assert info.metadata == {"budget_id": "google_ads"}


@pytest.mark.parametrize(
    ("seconds", "pushback"), [(0.0001, "1"), (0.5, "500"), (1.0004, "1001"), (86_400.0, "86400000")]
)
def test_a_time_to_retry_is_never_too_early_in_details_and_trailer(
    seconds: float, pushback: str
) -> None:
    status = to_status(errors.PlatformUnavailable("away", retry_after_s=seconds))
    delay = details(status)["RetryInfo"].retry_delay.ToNanoseconds()
    assert seconds * 1e9 <= delay <= seconds * 1e9 + 1
    assert dict(status.trailers)["grpc-retry-pushback-ms"] == pushback


@pytest.mark.parametrize("kind", sorted(every_class(), key=str), ids=lambda kind: kind.reason)
def test_grpc_itself_is_told_to_retry_nothing_but_what_provably_was_not_sent(
    kind: type[errors.ConnectorError],
) -> None:
    # grpc-java obeys this trailer whatever the status is, so that a veto's caller would wait.
    status = to_status(kind("later", retry_after_s=372.0))
    assert details(status)["RetryInfo"].retry_delay.seconds == 372
    told = "grpc-retry-pushback-ms" in dict(status.trailers)
    assert told is (status.code is StatusCode.UNAVAILABLE)


def test_no_time_to_retry_means_none_in_either() -> None:
    status = to_status(errors.BudgetExceeded("never"))
    assert "RetryInfo" not in details(status)
    assert "grpc-retry-pushback-ms" not in dict(status.trailers)


def test_a_platform_that_was_not_reached_is_to_be_asked_again_in_a_second() -> None:
    status = to_status(errors.PlatformUnavailable("refused"))
    assert details(status)["RetryInfo"].retry_delay.seconds == 1
    assert dict(status.trailers)["grpc-retry-pushback-ms"] == "1000"


def test_fields_and_quotas_have_details_of_their_own() -> None:
    error = errors.InvalidBid.of("bid.bid_micros", "above 0")
    violation = details(to_status(error))["BadRequest"].field_violations[0]
    assert (violation.field, violation.description) == ("bid.bid_micros", "above 0")
    veto = errors.RateLimited("slow down", quota_subject="google_ads/calls")
    violation = details(to_status(veto))["QuotaFailure"].violations[0]
    assert (violation.subject, violation.description) == ("google_ads/calls", "slow down")


@pytest.mark.parametrize(
    ("dispatched", "code"), [(False, StatusCode.INTERNAL), (True, StatusCode.UNKNOWN)]
)
def test_what_nobody_foresaw_is_our_fault_or_an_unknown_outcome_and_is_never_shown(
    spec: MethodSpec, dispatched: bool, code: StatusCode
) -> None:
    call = Call(spec=spec, started_ns=0)
    call.dispatched = dispatched
    status = to_status(foreseen(KeyError("token=12345"), call))
    assert status.code is code
    assert "12345" not in status.message


def test_bytes_that_are_no_request_name_the_request_they_should_be(spec: MethodSpec) -> None:
    with pytest.raises(errors.InvalidBid) as caught:
        parse(b"\xff\xff", spec)
    assert caught.value.violations[0].field == "(request)"
    assert "smartconnectors.google_ads.v1.PlaceBidRequest" in caught.value.message


@pytest.mark.parametrize(
    "said", ["half \ud83d", "line\nbreak", "\x1b[2J", "x" * 100_000, "é" * 9999]
)
def test_what_a_platform_says_can_be_told_and_kept_whatever_it_is(said: str) -> None:
    error = errors.PlatformRejected(f"It refused: {said}", metadata={"platform_code": said})
    for text in (error.message, error.metadata["platform_code"]):
        assert len(text.encode()) <= 1500
        assert text.isprintable()
    assert error.message.startswith("It refused: ")
    status = to_status(error)
    assert sum(len(name) + len(value) for name, value in status.trailers) < 6 * 1024


def test_ordinary_words_of_any_language_are_told_as_they_are() -> None:
    said = "Le budget est dépassé\u00a0: 5 € – 予算を超えました"
    assert errors.PlatformRejected(said).message == said
