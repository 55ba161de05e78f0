"""What an answer of the Graph API means for us. Pure.

| answer | a change | a read |
|---|---|---|
| 2xx with the object as it was to be, or `{"success": true}` | accepted | read |
| 2xx with another value than was sent | OutcomeUnknown | |
| an error of `_THROTTLING`, whatever the status | RateLimited | RateLimited |
| an unknown object: 100/33, 803 | UnknownTarget | UnknownTarget |
| transient: 1, 2, none or negative, `is_transient`, or 5xx | OutcomeUnknown | PlatformUnavailable |
| any other error, those of the token among them | PlatformRejected | PlatformRejected |
| anything that is not the Graph API's JSON | OutcomeUnknown | PlatformUnavailable |

A transient error leaves a change in doubt although Meta answered: "an unknown error" does not say
that nothing was written before it.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smartconnectors_server.connector import QuotaSignal, Traffic
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
from smartconnectors_server.platforms.meta import read_back, usage

BUDGET_CHANGES = (613, 1487632)
"""The daily budget of an ad set was changed too often."""


class _Reach(enum.Enum):
    """What else has to wait after a refusal for quota, beside what was refused."""

    ACCOUNT = "account"
    """What has the same quota: bids of the account after a bid, its reports after a report."""
    EVERY_ACCOUNT = "every account"
    """The same of every account, because it is about the app or the user."""
    REPORTS = "reports"
    """The account's reports, also when something else was refused so."""
    NOTHING = "nothing"
    """It is about another object or use case."""


@dataclass(frozen=True, slots=True)
class _Throttle:
    wait_s: float
    """When no header says how long."""
    reach: _Reach = _Reach.ACCOUNT


# By code. A temporary block is lifted by people.
_THROTTLING: Mapping[int, _Throttle] = {
    4: _Throttle(300.0, _Reach.EVERY_ACCOUNT),  # the app
    17: _Throttle(300.0, _Reach.EVERY_ACCOUNT),  # the user
    32: _Throttle(300.0, _Reach.NOTHING),  # a page
    341: _Throttle(3600.0, _Reach.EVERY_ACCOUNT),  # the app, for a day
    368: _Throttle(3600.0, _Reach.EVERY_ACCOUNT),  # blocked for a time
    613: _Throttle(60.0),  # this kind of call
    80000: _Throttle(300.0, _Reach.REPORTS),  # insights
    80003: _Throttle(300.0, _Reach.NOTHING),  # custom audiences
    80004: _Throttle(300.0),  # ads management
    80014: _Throttle(300.0, _Reach.NOTHING),  # catalog batches
}
# By code and subcode, where the subcode tells more.
_THROTTLING_SUBCODES: Mapping[tuple[int, int], _Throttle] = {
    (17, 2446079): _Throttle(300.0),  # the ad account
    BUDGET_CHANGES: _Throttle(3600.0, _Reach.NOTHING),  # of one ad set, for an hour
    (613, 5044001): _Throttle(1.0),  # more than 100 changes in a second
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
    answered: Answered,
    *,
    changes: bool,
    account_id: str,
    traffic: Traffic = Traffic.BIDS,
    secrets: Iterable[str] = (),
) -> tuple[Any, ConnectorError | None, Sequence[QuotaSignal]]:
    """(what came back, or the error to raise, and what was said of our quota).

    `changes`: the request would have changed something. `account_id`: the ad account that was
    called. `traffic`: BIDS or REPORTS. `secrets` are taken out of every text.
    """
    document = _document(answered.body)
    error = document.get("error") if isinstance(document, dict) else None
    if error is None:
        said_of_quota = usage.signals_of(answered.headers, account_id, traffic, throttled=False)
        signals: Sequence[QuotaSignal] = tuple(said_of_quota.values())
        if document is None or not 200 <= answered.status < 300:
            words = f"status {answered.status}, and not the Graph API's JSON"
            return None, _unanswered(words, {}, changes=changes), signals
        return document, None, signals
    said = _said(error, answered)
    throttle = _throttle(said)
    used_up = throttle is not None and (
        throttle.reach is _Reach.ACCOUNT
        or (throttle.reach is _Reach.REPORTS and traffic is Traffic.REPORTS)
    )
    found = usage.signals_of(answered.headers, account_id, traffic, throttled=used_up)
    if throttle is None:
        translated = _translated(said, answered.status, changes=changes, secrets=secrets)
        return None, translated, tuple(found.values())
    wait_s, signals = _waits(throttle, found, traffic)
    return None, _rate_limited(said, wait_s, secrets), signals


def changed(
    answered: Answered,
    object_id: str,
    form: Mapping[str, str],
    *,
    account_id: str,
    secrets: Iterable[str] = (),
) -> tuple[ConnectorError | None, Sequence[QuotaSignal]]:
    """(the error to raise unless the object was changed so, what was said of our quota)."""
    document, error, signals = read(answered, changes=True, account_id=account_id, secrets=secrets)
    if error is not None:
        return error, signals
    if not isinstance(document, dict):
        return _unanswered("it is not an object", {}, changes=True), signals
    if name := read_back.says_otherwise(form, document):
        words = f"it shows another {name} than was sent"
        return _unanswered(words, {}, changes=True), signals
    if document.get("success", True) is not True or not (
        "success" in document or read_back.says_all(object_id, form, document)
    ):
        return _unanswered("it does not say that it succeeded", {}, changes=True), signals
    return None, signals


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


def _throttle(said: _Said) -> _Throttle | None:
    """What it means for our quota; None: it was not refused for quota."""
    throttle = _THROTTLING.get(said.code)
    return throttle and _THROTTLING_SUBCODES.get((said.code, said.subcode), throttle)


def _waits(
    throttle: _Throttle, found: Mapping[Traffic, QuotaSignal], traffic: Traffic
) -> tuple[float, Sequence[QuotaSignal]]:
    """(seconds that the refused call has to wait, what was said of our quota)."""
    if throttle.reach is _Reach.NOTHING:
        return throttle.wait_s, tuple(found.values())
    if throttle.reach is _Reach.EVERY_ACCOUNT:
        own_s = found[traffic].retry_after_s if traffic in found else 0.0
        order = QuotaSignal(throttle.wait_s, every_account=True)
        return max(throttle.wait_s, own_s), (*found.values(), order)
    bound = Traffic.REPORTS if throttle.reach is _Reach.REPORTS else traffic
    said = found.get(bound, QuotaSignal(binds=() if bound is traffic else (bound,)))
    if not said.retry_after_s:
        said = dataclasses.replace(said, retry_after_s=throttle.wait_s)
    return said.retry_after_s, tuple({**found, bound: said}.values())


def _rate_limited(said: _Said, wait_s: float, secrets: Iterable[str]) -> RateLimited:
    words, metadata = _in_words(said, secrets)
    return RateLimited(
        f"Meta refused it for now: {words}",
        retry_after_s=wait_s,
        metadata={**metadata, "limited_by": "platform"},
        quota_subject="meta/calls",
    )


def _in_words(said: _Said, secrets: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Meta's words and numbers, without the secrets."""
    secrets = tuple(secrets)
    words = hidden(f"{said.message} ({said.code}/{said.subcode})", secrets)
    return words, {key: hidden(value, secrets) for key, value in said.metadata.items()}


def _translated(
    said: _Said, status: int, *, changes: bool, secrets: Iterable[str]
) -> ConnectorError:
    words, metadata = _in_words(said, secrets)
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
