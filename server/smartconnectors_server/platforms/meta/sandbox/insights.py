"""What the sandbox reports of spend: insights of an account by campaign and day."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from smartconnectors_server.connector.sandbox import Billed
from smartconnectors_server.platforms.meta.minor_units import digits_of
from smartconnectors_server.platforms.meta.sandbox.accounts import Node, World
from smartconnectors_server.platforms.meta.sandbox.failures import invalid

_FIELDS = frozenset({"campaign_id", "spend", "account_currency", "date_start", "date_stop"})
_ROWS_AT_MOST = 500
_DEFAULT_ROWS = 25


def page(
    world: World, account: Node, parameters: Mapping[str, str], billed: Billed
) -> dict[str, Any]:
    """One page. Only by campaign and day; anything else is refused. Raises Refused."""
    wanted = parameters.get("fields", "").split(",")
    if unknown := [name for name in wanted if name not in _FIELDS]:
        raise invalid(f"(#100) {unknown[0]} is not valid for fields param")
    if parameters.get("level") != "campaign" or parameters.get("time_increment") != "1":
        raise invalid("the sandbox reports by campaign and day alone")
    since, until = _days(parameters.get("time_range", ""))
    currency = str(account.values["currency"])
    rows = [
        {
            "campaign_id": campaign.values["id"],
            "spend": _decimal(micros, currency),
            "account_currency": currency,
            "date_start": day.isoformat(),
            "date_stop": day.isoformat(),
        }
        for campaign in world.children(str(account.values["id"]), "campaign")
        for day, micros in billed.between(str(campaign.values["id"]), since, until)
    ]
    return _page(rows, wanted, parameters)


def _page(
    rows: list[dict[str, Any]], wanted: list[str], parameters: Mapping[str, str]
) -> dict[str, Any]:
    try:
        begin = int(parameters.get("after", "0"))
        size = min(int(parameters.get("limit", _DEFAULT_ROWS)), _ROWS_AT_MOST)
    except ValueError:
        raise invalid("Invalid cursor or limit") from None
    end = begin + size
    # Meta always adds the days, asked for or not.
    shown = {*wanted, "date_start", "date_stop"}
    data = [{name: row[name] for name in row if name in shown} for row in rows[begin:end]]
    paging: dict[str, Any] = {"cursors": {"before": str(begin), "after": str(end)}}
    if end < len(rows):
        paging["next"] = f"https://graph.facebook.com/next?after={end}"
    return {"data": data, "paging": paging} if data else {"data": []}


def _days(text: str) -> tuple[date, date]:
    try:
        given = json.loads(text)
        return date.fromisoformat(given["since"]), date.fromisoformat(given["until"])
    except (ValueError, LookupError, TypeError):
        raise invalid("(#100) param time_range must be non-empty") from None


def _decimal(micros: int, currency: str) -> str:
    """As Meta writes it: currency units with as many decimals as the currency has."""
    return f"{Decimal(micros) / 1_000_000:.{digits_of(currency)}f}"
