"""What an answer of the Graph API means for us. Pure.

| answer | a change | a read |
|---|---|---|
| 2xx with the object, or `{"success": true}` | accepted | read |
| an error of `_THROTTLING`, whatever the status | RateLimited | RateLimited |
| an unknown object: 100/33, 803 | UnknownTarget | UnknownTarget |
| transient: 1, 2, none or negative, `is_transient`, or 5xx | OutcomeUnknown | PlatformUnavailable |
| any other error, those of the token among them | PlatformRejected | PlatformRejected |
| anything that is not the Graph API's JSON | OutcomeUnknown | PlatformUnavailable |

A transient error leaves a change in doubt although Meta answered: "an unknown error" does not say
that nothing was written before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smartconnectors_server.connector import QuotaSignal
from smartconnectors_server.connector.secrecy import hidden
from smartconnectors_server.errors import (
    ConnectorError,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
    plain,
)
from smartconnectors_server.platforms.meta import usage

BUDGET_CHANGES = (613, 1487632)
"""The daily budget of an ad set was changed too often."""

# Code -> seconds to wait when no header says how long. A temporary block is lifted by people.
_THROTTLING: Mapping[int, float] = {
    4: 300.0,  # the app
    17: 300.0,  # the user
    32: 300.0,  # the page
    341: 3600.0,  # the app, for a day
    368: 3600.0,  # blocked for a time
    613: 60.0,  # this kind of call
    80000: 300.0,  # insights
    80003: 300.0,  # custom audiences
    80004: 300.0,  # ads management
    80014: 300.0,  # catalog batches
}
# Subcode -> the same, where it tells more.
_THROTTLING_SUBCODES: Mapping[int, float] = {
    1487632: 3600.0,  # budget changes of an ad set: blocked for an hour
    5044001: 1.0,  # more than 100 changes in a second
}
_UNKNOWN_OBJECT = frozenset({(100, 33), (803, 0)})
_TRANSIENT = frozenset({1, 2})
_MOST_TRACE_BYTES = 200


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer, or one part of a batch's.

    Attributes:
        status: the HTTP status.
        headers: names in lower case.
        body: as it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | str

    @property
    def trace_id(self) -> str:
        """Meta's name for the request, for its support; empty: it gave none."""
        return plain(self.headers.get("x-fb-trace-id", ""), _MOST_TRACE_BYTES)


@dataclass(frozen=True, slots=True)
class _Said:
    """The error object of an answer."""

    message: str
    code: int
    subcode: int
    is_transient: bool
    metadata: Mapping[str, str]


def is_budget_block(error: ConnectorError) -> bool:
    """True for Meta's own refusal of one more budget change."""
    code, subcode = BUDGET_CHANGES
    said = error.metadata
    return (said.get("platform_code"), said.get("platform_subcode")) == (str(code), str(subcode))


def read(
    answered: Answered, *, changes: bool, secrets: Iterable[str] = ()
) -> tuple[Any, ConnectorError | None, QuotaSignal | None]:
    """(what came back, or the error to raise, and what was said of our quota).

    `changes`: the request would have changed something. `secrets` are taken out of every text.
    """
    document = _document(answered.body)
    error = document.get("error") if isinstance(document, dict) else None
    if error is None:
        signal = usage.signal_of(answered.headers, throttled=False)
        if document is None or not 200 <= answered.status < 300:
            words = f"status {answered.status}, and not the Graph API's JSON"
            return None, _unanswered(words, {}, changes=changes), signal
        return document, None, signal
    said = _said(error, answered)
    wait_s = _wait_s(said)
    signal = usage.signal_of(answered.headers, throttled=wait_s is not None)
    if wait_s is not None:
        signal = _with_wait(signal, said, wait_s)
    translated = _translated(said, answered.status, signal, changes=changes, secrets=secrets)
    return None, translated, signal


def changed(
    answered: Answered, *, secrets: Iterable[str] = ()
) -> tuple[ConnectorError | None, QuotaSignal | None]:
    """(the error to raise unless one node was changed, what was said of our quota)."""
    document, error, signal = read(answered, changes=True, secrets=secrets)
    if error is None and not (isinstance(document, dict) and document.get("success") is True):
        error = _unanswered("it does not say that it succeeded", {}, changes=True)
    return error, signal


def _document(body: bytes | str) -> Any:
    """The JSON object or array in the body; None when there is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict | list) else None


def _said(error: Any, answered: Answered) -> _Said:
    if not isinstance(error, dict):
        return _Said(str(error), 0, 0, is_transient=True, metadata={})
    code, subcode = _integer(error.get("code")), _integer(error.get("error_subcode"))
    words = [str(error.get("message", ""))]
    words += [str(error[key]) for key in ("error_user_title", "error_user_msg") if error.get(key)]
    metadata = {"platform_status": str(answered.status), "platform_code": str(code)}
    if subcode:
        metadata["platform_subcode"] = str(subcode)
    trace_id = error.get("fbtrace_id") or answered.trace_id
    if trace_id:
        metadata["platform_request_id"] = str(trace_id)
    return _Said(" ".join(words), code, subcode, error.get("is_transient") is True, metadata)


def _integer(value: Any) -> int:
    """0 for what is no integer: no code of Meta's is 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _wait_s(said: _Said) -> float | None:
    """Seconds to wait if no header tells; None: it was not refused for quota."""
    wait_s = _THROTTLING.get(said.code)
    return wait_s if wait_s is None else _THROTTLING_SUBCODES.get(said.subcode, wait_s)


def _with_wait(signal: QuotaSignal | None, said: _Said, wait_s: float) -> QuotaSignal | None:
    """The signal with a time to wait, its own if it has one.

    Refused budget changes of one ad set say nothing about calls, so they slow down nothing else.
    """
    if (said.code, said.subcode) == BUDGET_CHANGES:
        return signal
    if signal is None:
        return QuotaSignal(retry_after_s=wait_s)
    if signal.retry_after_s > 0:
        return signal
    return QuotaSignal(wait_s, signal.usage_percent, signal.detail)


def _translated(
    said: _Said,
    status: int,
    signal: QuotaSignal | None,
    *,
    changes: bool,
    secrets: Iterable[str],
) -> ConnectorError:
    words = hidden(f"{said.message} ({said.code}/{said.subcode})", secrets)
    metadata = {key: hidden(value, secrets) for key, value in said.metadata.items()}
    wait_s = _wait_s(said)
    if wait_s is not None:
        if signal is not None and signal.retry_after_s > 0:
            wait_s = signal.retry_after_s
        return RateLimited(
            f"Meta refused it for now: {words}",
            retry_after_s=wait_s,
            metadata={**metadata, "limited_by": "platform"},
            quota_subject="meta/calls",
        )
    if (said.code, said.subcode) in _UNKNOWN_OBJECT:
        return UnknownTarget(f"Meta does not know it: {words}", metadata=metadata)
    if said.is_transient or said.code in _TRANSIENT or said.code <= 0 or status >= 500:
        return _unanswered(words, metadata, changes=changes)
    return PlatformRejected(f"Meta refused it: {words}", metadata=metadata)


def _unanswered(words: str, metadata: dict[str, str], *, changes: bool) -> ConnectorError:
    if changes:
        return OutcomeUnknown(
            f"Meta gave no usable answer to the change: {words}", metadata=metadata
        )
    return PlatformUnavailable(f"Meta could not be read: {words}", metadata=metadata)
