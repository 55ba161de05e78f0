"""What a budget is configured to be, as the note of an audit line. Pure.

With these lines the audit ledger alone says which limits held when something was admitted.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from smartconnectors_server.ledger.records import (
    Budget,
    CalendarWindow,
    Entry,
    Limit,
    SlidingWindow,
)

CONFIGURE = "configure"
"""The verb of such a line."""
CONFIGURING = (CONFIGURE, "limit", "pause", "resume")
"""The verbs of all lines that change what a budget is configured to be."""


def described(budget: Budget) -> str:
    """The budget's limits and whether it is paused."""
    limits = [_described(limit) for limit in budget.limits]
    return json.dumps({"limits": limits, "paused": budget.paused}, separators=(",", ":"))


def configured(budget_id: str, currency_code: str, note: str) -> Budget:
    """What `described` was given. Raises ValueError or KeyError for another text."""
    document = json.loads(note)
    limits = tuple(_limit(limit) for limit in document["limits"])
    return Budget(budget_id, currency_code, limits, document["paused"])


def after(budget: Budget | None, entry: Entry) -> Budget:
    """What a budget is configured to be after a line about it: its first is a configuration.

    Raises ValueError when it is not, or when the line is about something else.
    """
    if entry.verb == CONFIGURE:
        (budget_id,) = entry.budget_ids
        return configured(budget_id, entry.currency_code, entry.note)
    if budget is None:
        raise ValueError(f"{entry.budget_ids[0]} was never configured")
    if entry.verb == "limit":
        first = dataclasses.replace(budget.limits[0], limit_micros=entry.amount_micros)
        return dataclasses.replace(budget, limits=(first, *budget.limits[1:]))
    if entry.verb in {"pause", "resume"}:
        return dataclasses.replace(budget, paused=entry.verb == "pause")
    raise ValueError(f"{entry.verb} does not configure a budget")


def _described(limit: Limit) -> dict[str, Any]:
    window = limit.window
    if isinstance(window, SlidingWindow):
        return {"limit_micros": limit.limit_micros, "window_s": window.seconds}
    return {
        "limit_micros": limit.limit_micros,
        "calendar": window.unit,
        "time_zone": window.time_zone,
    }


def _limit(document: dict[str, Any]) -> Limit:
    if "window_s" in document:
        return Limit(document["limit_micros"], SlidingWindow(document["window_s"]))
    window = CalendarWindow(document["calendar"], document["time_zone"])
    return Limit(document["limit_micros"], window)
