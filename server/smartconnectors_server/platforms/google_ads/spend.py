"""What Google Ads says it billed: how it is asked, and what its rows say. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from smartconnectors_server.connector import SpendReport, SpendRow
from smartconnectors_server.connector.spend import (
    UnreadableReport,
    currency_of,
    day_of,
    id_of,
    time_zone_of,
    whole_micros_of,
)

ACCOUNT_QUERY = "SELECT customer.currency_code, customer.time_zone FROM customer LIMIT 1"

_FIELDS = (
    "campaign.id",
    "customer.currency_code",
    "customer.time_zone",
    "segments.date",
    "metrics.cost_micros",
)


def spend_query(since: date, until: date) -> str:
    """Every campaign that was billed on these days, removed ones included; both days belong to
    it.
    """
    days = f"segments.date BETWEEN '{since}' AND '{until}'"
    return " ".join(("SELECT", ", ".join(_FIELDS), "FROM campaign WHERE", days))


def account_of(rows: Sequence[Any]) -> tuple[str, str]:
    """(time zone, currency) of an answer to ACCOUNT_QUERY. Raises UnreadableReport."""
    try:
        customer = rows[0]["customer"]
        return time_zone_of(customer["timeZone"]), currency_of(customer["currencyCode"])
    except (LookupError, TypeError):
        raise UnreadableReport("an account without time zone or currency") from None


def report_of(account: tuple[str, str], rows: Sequence[Any]) -> SpendReport:
    """The report of an answer to `spend_query`. Raises UnreadableReport."""
    return SpendReport(account[0], tuple(_row_of(row, account) for row in rows))


def _row_of(row: Any, account: tuple[str, str]) -> SpendRow:
    try:
        customer = row["customer"]
        campaign_id, day = id_of(row["campaign"]["id"]), day_of(row["segments"]["date"])
        micros = whole_micros_of(row["metrics"]["costMicros"])
        said = time_zone_of(customer["timeZone"]), currency_of(customer["currencyCode"])
    except (LookupError, TypeError) as error:
        raise UnreadableReport(f"a row without {error}") from None
    if said != account:
        raise UnreadableReport("a row of another time zone or currency than the account")
    return SpendRow(campaign_id, day, micros, said[1])
