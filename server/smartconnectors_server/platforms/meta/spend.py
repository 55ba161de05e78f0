"""What Meta says it billed: how it is asked, and what its insights say. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from smartconnectors_server.connector import SpendReport, SpendRow
from smartconnectors_server.connector.spend import (
    UnreadableReport,
    currency_of,
    day_of,
    id_of,
    micros_of,
    time_zone_of,
)

ACCOUNT_FIELDS = "currency,timezone_name"
MOST_PAGES = 200

_ROWS_PER_PAGE = 500


def insights_query(since: date, until: date, after: str = "") -> Mapping[str, str]:
    """The parameters of one page of the account's insights, both days included. `after`: the
    cursor of the page before.
    """
    days = {"since": since.isoformat(), "until": until.isoformat()}
    query = {
        "level": "campaign",
        "fields": "campaign_id,spend,account_currency,date_start,date_stop",
        "time_range": json.dumps(days, separators=(",", ":")),
        "time_increment": "1",
        "limit": str(_ROWS_PER_PAGE),
    }
    return {**query, "after": after} if after else query


def account_of(answer: Any) -> tuple[str, str]:
    """(time zone, currency) of an answer to ACCOUNT_FIELDS. Raises UnreadableReport."""
    try:
        return time_zone_of(answer["timezone_name"]), currency_of(answer["currency"])
    except (LookupError, TypeError):
        raise UnreadableReport("an account without time zone or currency") from None


def next_page_of(page: Any) -> str:
    """The cursor of the next page; empty: it is the last. Raises UnreadableReport.

    The cursor and never the URL that stands beside it, so that only our own address is asked.
    """
    try:
        paging = page.get("paging") or {}
        after = paging["cursors"]["after"] if paging.get("next") else ""
    except (LookupError, TypeError, AttributeError):
        raise UnreadableReport("a page that does not say which is the next") from None
    if not isinstance(after, str) or len(after) > 4096:
        raise UnreadableReport("a page that does not say which is the next")
    return after


def report_of(account: tuple[str, str], pages: Sequence[Any]) -> SpendReport:
    """The report of all pages. Raises UnreadableReport."""
    time_zone, currency_code = account
    rows = tuple(_row_of(row, currency_code) for page in pages for row in _data_of(page))
    return SpendReport(time_zone, rows)


def _data_of(page: Any) -> Sequence[Any]:
    data = page.get("data") if isinstance(page, dict) else None
    if not isinstance(data, list):
        raise UnreadableReport("a page without data")
    return data


def _row_of(row: Any, currency_code: str) -> SpendRow:
    try:
        day = day_of(row["date_start"])
        if day_of(row["date_stop"]) != day:
            raise UnreadableReport("a row of more than one day")
        said = currency_of(row.get("account_currency", currency_code))
        return SpendRow(id_of(row["campaign_id"]), day, micros_of(row["spend"]), said)
    except (LookupError, TypeError, AttributeError) as error:
        raise UnreadableReport(f"a row without {error}") from None
