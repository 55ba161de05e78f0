"""The smallest amount that Google bills in a currency, which Google says itself. Pure."""

from __future__ import annotations

import re

from smartconnectors_server.errors import CurrencyMismatch
from smartconnectors_server.platforms.google_ads.state import Row, query, read_row

_CODE = re.compile(r"[A-Z]{3}")
_FIELDS = ("currency_constant.code", "currency_constant.billable_unit_micros")


def unit_query(currency_code: str) -> str:
    """Reads the currency. Raises CurrencyMismatch for what is no currency code."""
    if not _CODE.fullmatch(currency_code):
        raise unknown(currency_code)
    return query(_FIELDS, "currency_constant", (f"currency_constant.code = '{currency_code}'",))


def unit_of(row: Row) -> int:
    """The billable unit in a row of `unit_query`, in micros. Raises UnreadableRow."""
    return read_row(_unit_of, row)


def _unit_of(row: Row) -> int:
    unit_micros = int(row["currencyConstant"]["billableUnitMicros"])
    if unit_micros <= 0:
        raise ValueError("a billable unit that is not above 0")
    return unit_micros


def unknown(currency_code: str) -> CurrencyMismatch:
    """The error for a currency that Google does not have."""
    return CurrencyMismatch(
        f"Google Ads does not bill in {currency_code}", metadata={"currency": currency_code}
    )
