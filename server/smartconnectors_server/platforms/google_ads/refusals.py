"""What an exception of Google's client library means for us, and what one failed operation does.

The library raises GoogleAdsException for most refusals but not for RESOURCE_EXHAUSTED and INTERNAL:
those arrive as google.api_core's errors, with Google's failure left in the trailing metadata. So
every exception is brought down to the same two things, its gRPC status and its GoogleAdsFailure.

| status | with a failure | means |
|---|---|---|
| RESOURCE_EXHAUSTED | yes | RateLimited: Google refused it for quota |
| a refusal (`_REFUSING`) | transient error in it | as "anything else" |
| a refusal | `...RESOURCE_NOT_FOUND` in it | UnknownTarget |
| a refusal | else | PlatformRejected; with words of our own when a declaration is missing |
| anything else | | a change: OutcomeUnknown; a read: PlatformUnavailable |

A RESOURCE_EXHAUSTED without a failure is not Google's quota: grpc itself says so of an answer that
is too large, after the change was made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from smartconnectors_server.connector import QuotaSignal, Traffic
from smartconnectors_server.connector.secrecy import hidden
from smartconnectors_server.errors import (
    ConnectorError,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.google_ads.library import Library

DEFAULT_RETRY_S = 30.0
"""When Google refuses for quota without saying for how long."""

_REFUSING = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_DEVELOPER = 3
"""QuotaErrorDetails.rate_scope: all that the project asks for, whatever the account."""
_READS_ALONE = frozenset(
    {
        "quota_error.EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION",
        "quota_error.EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION",
    }
)
_ONE_METHOD = re.compile("per method|^get requests", re.IGNORECASE)
"""Names of buckets that searches have for themselves."""
UNDECLARED = (
    "Google Ads takes no change of an account, not even a pause, while one of its campaigns does "
    "not declare whether it has EU political ads. Declare it in the settings of each campaign in "
    "Google Ads (by the API: set contains_eu_political_advertising where "
    "missing_eu_political_advertising_declaration is true), then try again with a new request id"
)
_UNDECLARED_CODES = (
    ".EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED",
    ".MISSING_EU_POLITICAL_ADVERTISING_SELF_DECLARATION",
)
_TRANSIENT = frozenset({"internal_error", "database_error"})


@dataclass(frozen=True, slots=True)
class Said:
    """What an exception says, whatever its class."""

    status: grpc.StatusCode
    details: str
    failure: Any
    """GoogleAdsFailure, or None."""
    request_id: str

    @property
    def codes(self) -> tuple[str, ...]:
        """`<category>.<NAME>` of every error, for example `range_error.TOO_HIGH`."""
        if self.failure is None:
            return ()
        return tuple(_code_of(error.error_code) for error in self.failure.errors)


def _code_of(error_code: Any) -> str:
    category = error_code.WhichOneof("error_code")
    if category is None:
        return "unspecified.UNSPECIFIED"
    enum_type = error_code.DESCRIPTOR.fields_by_name[category].enum_type
    number = getattr(error_code, category)
    known = enum_type.values_by_number.get(number)
    return f"{category}.{known.name if known else number}"


_STREAM_REMOVED = re.compile(r"Stream removed \((.*)\)", re.DOTALL)


def said_by(error: Exception, library: Library) -> Said | None:
    """What the exception says; None when it is not an answer of the server at all."""
    status_error = _rpc_error_in(error)
    if status_error is None:
        return None
    failure, request_id = None, ""
    for key, value in status_error.trailing_metadata() or ():
        if key == "request-id":
            request_id = str(value)
        elif key == library.failure_key:
            try:
                failure = library.failure.FromString(value)
            except DecodeError:
                failure = None
    # A deadline that passes while the answer arrives is told by gRPC in other words.
    details = _STREAM_REMOVED.sub(r"\1", status_error.details() or "")
    return Said(status_error.code(), details, failure, request_id)


def _rpc_error_in(error: Exception) -> grpc.aio.AioRpcError | None:
    """The error of grpc itself, which both libraries carry inside theirs."""
    candidates: Iterable[Any] = (
        error,
        getattr(error, "error", None),
        *(getattr(error, "errors", None) or ()),
    )
    for candidate in candidates:
        if isinstance(candidate, grpc.aio.AioRpcError):
            return candidate
    return None


def translate(
    error: Exception, library: Library, *, changes: bool, secrets: Iterable[str] = ()
) -> tuple[ConnectorError, QuotaSignal | None]:
    """The error to raise, and what Google said of its quota, if it did.

    `changes`: the request would have changed something. `secrets` are taken out of every text.
    """
    said = said_by(error, library)
    if said is None:
        return _unanswered(changes, type(error).__name__, {}), None
    return meaning(said, changes=changes, secrets=secrets)


def meaning(
    said: Said, *, changes: bool, secrets: Iterable[str] = ()
) -> tuple[ConnectorError, QuotaSignal | None]:
    """As `translate`, of what was said."""
    secrets = tuple(secrets)
    words = hidden(_words(said), secrets)
    metadata = {"platform_status": said.status.name}
    if said.codes:
        metadata["platform_errors"] = ",".join(said.codes)
    if said.request_id:
        metadata["platform_request_id"] = hidden(said.request_id, secrets)
    if said.status is grpc.StatusCode.RESOURCE_EXHAUSTED and said.failure is not None:
        return _too_many(said, words, metadata, changes=changes)
    transient = any(code.partition(".")[0] in _TRANSIENT for code in said.codes)
    if said.status not in _REFUSING or transient:
        return _unanswered(changes, words, metadata), None
    if any(code.endswith(".RESOURCE_NOT_FOUND") for code in said.codes):
        return UnknownTarget(f"Google Ads does not know it: {words}", metadata=metadata), None
    if any(code.endswith(_UNDECLARED_CODES) for code in said.codes):
        return PlatformRejected(f"{UNDECLARED}. Google's words: {words}", metadata=metadata), None
    return PlatformRejected(f"Google Ads refused it: {words}", metadata=metadata), None


def _words(said: Said) -> str:
    """Google's own words, with where in the request and the name of each error."""
    if said.failure is None or not said.failure.errors:
        return f"{said.status.name}: {said.details}"
    parts = []
    for error in said.failure.errors:
        where = ".".join(
            f"{element.field_name}[{element.index}]"
            if element.HasField("index")
            else element.field_name
            for element in error.location.field_path_elements
        )
        at = f" at {where}" if where else ""
        parts.append(f"{error.message} ({_code_of(error.error_code)}{at})")
    return "; ".join(parts)


def _unanswered(changes: bool, words: str, metadata: dict[str, str]) -> ConnectorError:
    if changes:
        return OutcomeUnknown(
            f"Google Ads gave no usable answer to the change: {words}", metadata=metadata
        )
    return PlatformUnavailable(f"Google Ads could not be read: {words}", metadata=metadata)


def _too_many(
    said: Said, words: str, metadata: dict[str, str], *, changes: bool
) -> tuple[ConnectorError, QuotaSignal]:
    details = [error.details.quota_error_details for error in said.failure.errors]
    delay_s = max(
        (detail.retry_delay.ToTimedelta().total_seconds() for detail in details), default=0
    )
    retry_after_s = delay_s if delay_s > 0 else DEFAULT_RETRY_S
    scopes = sorted({detail.rate_name for detail in details if detail.rate_name})
    detail = f"{words}{f' [{scopes[0]}]' if scopes else ''}"
    error = RateLimited(
        f"Google Ads refused it for quota: {words}",
        retry_after_s=retry_after_s,
        metadata=metadata,
        quota_subject="google_ads",
    )
    every_account = any(detail.rate_scope == _DEVELOPER for detail in details)
    # The cost of queries is counted apart from changes, and some buckets are of one method.
    only_reads = not changes and (
        _READS_ALONE.issuperset(said.codes)
        or all(_ONE_METHOD.search(each.rate_name) is not None for each in details)
    )
    return error, QuotaSignal(
        retry_after_s=retry_after_s,
        detail=detail,
        binds=(Traffic.READS,) if details and only_reads else (),
        every_account=every_account,
    )
