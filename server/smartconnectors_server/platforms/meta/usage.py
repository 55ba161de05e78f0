"""What Meta's usage headers say of our quota. Pure.

    X-Business-Use-Case-Usage: {"<account>": [{"type": "ads_management", "call_count": 3,
                               "total_cputime": 1, "total_time": 2,
                               "estimated_time_to_regain_access": 0}]}       percent; minutes
    X-Ad-Account-Usage: {"acc_id_util_pct": 3.1, "reset_time_duration": 120} percent; seconds

Each business use case has a quota of its own for each account: bids are limited by `ads_management`
of their account, reports by `ads_insights` of theirs. What the first header says of other use cases
and of other objects, such as another company's that the app works for, is ignored. So is
`X-App-Usage`: the Marketing API is excluded from the limits of the Graph API that it is about.

Nonsense in a header says nothing: it is no reason to fail a call that Meta accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from smartconnectors_server.connector import QuotaSignal, Traffic
from smartconnectors_server.errors import plain

BUSINESS = "x-business-use-case-usage"
AD_ACCOUNT = "x-ad-account-usage"

USE_CASES: Mapping[Traffic, str] = {
    Traffic.BIDS: "ads_management",
    Traffic.REPORTS: "ads_insights",
}

_PERCENTAGES = ("call_count", "total_cputime", "total_time", "acc_id_util_pct")
_LARGEST = 1e9
_SECONDS_PER_MINUTE = 60
_FULL = 100.0


def signals_of(
    headers: Mapping[str, str], account_id: str, traffic: Traffic, *, throttled: bool
) -> dict[Traffic, QuotaSignal]:
    """What the headers (names in lower case) of an answer say, by the traffic that it binds.

    `account_id`: whose quota it is, with or without `act_`. `traffic`: what was answered, BIDS or
    REPORTS. `throttled`: the answer was a refusal for the account's quota. Meta always says when an
    account's quota begins again, so that is an order to wait only then, or when it is used up.
    """
    spoken_of = {traffic, Traffic.REPORTS}
    found = {}
    for one in sorted(spoken_of, key=lambda each: each.value):
        usages = list(_of_use_case(headers.get(BUSINESS, ""), account_id, USE_CASES[one]))
        names = [BUSINESS] if usages else []
        if one is traffic and AD_ACCOUNT in headers:
            usages += _usages(headers[AD_ACCOUNT])
            names.append(AD_ACCOUNT)
        signal = _signal_of(usages, throttled=throttled and one is traffic)
        if signal is not None:
            detail = "; ".join(f"{name}: {headers[name]}" for name in names)
            binds = () if one is traffic else (one,)
            found[one] = QuotaSignal(*signal, detail=detail, binds=binds)
    return found


def _signal_of(
    usages: Sequence[Mapping[str, Any]], *, throttled: bool
) -> tuple[float, float | None] | None:
    """(seconds to wait, percent used); None: nothing is said."""
    percents: list[float] = []
    waits_s: list[float] = []
    for usage in usages:
        used = [_number(usage.get(key)) for key in _PERCENTAGES]
        known = [each for each in used if each is not None]
        percents += known
        waits_s.append(
            _SECONDS_PER_MINUTE * (_number(usage.get("estimated_time_to_regain_access")) or 0.0)
        )
        if throttled or max(known, default=0.0) >= _FULL:
            waits_s.append(_number(usage.get("reset_time_duration")) or 0.0)
    if not percents and not waits_s:
        return None
    return max(waits_s, default=0.0), max(percents, default=None)


def _of_use_case(text: str, account_id: str, use_case: str) -> Iterator[Mapping[str, Any]]:
    """The usages of one use case of the account."""
    document = _document(text)
    listed = document.get(account_id.removeprefix("act_")) if isinstance(document, dict) else None
    for usage in listed if isinstance(listed, list) else ():
        if isinstance(usage, dict) and usage.get("type") == use_case:
            yield usage


def tier_of(headers: Mapping[str, str]) -> str:
    """Which quota the headers (names in lower case) say that we have; empty: they do not say."""
    for name in (BUSINESS, AD_ACCOUNT):
        for usage in _usages(headers.get(name, "")):
            tier = usage.get("ads_api_access_tier")
            if isinstance(tier, str) and tier:
                return plain(tier, 100)
    return ""


def _usages(text: str) -> Iterator[Mapping[str, Any]]:
    """The usage objects in a header, wherever they are in it."""
    document = _document(text)
    waiting = [] if document is None else [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            nested = [each for each in value.values() if isinstance(each, list | dict)]
            waiting += nested
            if not nested:
                yield value


def _document(text: str) -> Any:
    """The JSON in a header; None when there is none."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def _number(value: Any) -> float | None:
    """A number that is not negative and that something can be counted with, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 <= number <= _LARGEST else None
