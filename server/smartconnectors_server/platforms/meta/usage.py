"""What Meta's three usage headers say of our quota. Pure.

    X-Business-Use-Case-Usage: {"<account>": [{"call_count": 3, "total_cputime": 1, "total_time": 2,
                               "estimated_time_to_regain_access": 0}]}       percent; minutes
    X-App-Usage: {"call_count": 3, "total_cputime": 1, "total_time": 2}      percent
    X-Ad-Account-Usage: {"acc_id_util_pct": 3.1, "reset_time_duration": 120} percent; seconds

Nonsense in a header says nothing: it is no reason to fail a call that Meta accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from smartconnectors_server.connector import QuotaSignal
from smartconnectors_server.errors import plain

BUSINESS = "x-business-use-case-usage"
APP = "x-app-usage"
AD_ACCOUNT = "x-ad-account-usage"

_PERCENTAGES = ("call_count", "total_cputime", "total_time", "acc_id_util_pct")
_LARGEST = 1e9
_SECONDS_PER_MINUTE = 60
_FULL = 100.0


def signal_of(headers: Mapping[str, str], *, throttled: bool) -> QuotaSignal | None:
    """What the headers (names in lower case) say; None: nothing.

    `throttled`: the answer was a refusal for quota. Meta always says when an account's quota starts
    anew, so that is an order to wait only then, or when the quota is used up.
    """
    percents: list[float] = []
    waits_s: list[float] = []
    for name in (BUSINESS, APP, AD_ACCOUNT):
        for usage in _usages(headers.get(name, "")):
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
    said = "; ".join(
        f"{name}: {headers[name]}" for name in (BUSINESS, APP, AD_ACCOUNT) if name in headers
    )
    return QuotaSignal(
        retry_after_s=max(waits_s, default=0.0),
        usage_percent=max(percents, default=None),
        detail=said,
    )


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
    try:
        waiting = [json.loads(text)] if text else []
    except (ValueError, RecursionError):
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            nested = [each for each in value.values() if isinstance(each, list | dict)]
            waiting += nested
            if not nested:
                yield value


def _number(value: Any) -> float | None:
    """A number that is not negative and that something can be counted with, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 <= number <= _LARGEST else None
