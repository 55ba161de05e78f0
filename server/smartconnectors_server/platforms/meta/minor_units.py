"""Micros and what Meta calls minor units: exact both ways, or refused. Pure.

Meta counts bids and budgets in the smallest unit of the account's currency, by a table of offsets
of its own. It mostly agrees with ISO 4217, and where it does not, ISO's digits would bid a hundred
times too much, or a tenth. So a currency that the table lacks is refused: nobody can know what an
amount in it would mean to Meta.
"""

from __future__ import annotations

import re

from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.money import MICROS_PER_UNIT

SOURCE = "https://developers.facebook.com/documentation/ads-commerce/marketing-api/currencies"

# Meta's table, read 2026-11-30: offset 1 is no digits, 100 is two. It has no other offset.
_CODE = re.compile("[A-Z]{3}")
_WHOLE_UNITS = frozenset(_CODE.findall("CLP COP CRC HUF IDR ISK JPY KRW PYG TWD VND"))
_HUNDREDTHS = frozenset(
    _CODE.findall(
        """
        AED ARS AUD BDT BGN BHD BOB BRL CAD CHF CNY CZK DKK DZD EGP EUR GBP GTQ HKD HNL HRK ILS
        INR JOD KES LTL LVL MOP MXN MYR NGN NIO NOK NZD PEN PHP PKR PLN QAR RON RSD RUB SAR SEK
        SGD SKK THB TRY UAH USD UYU VEF VES ZAR
        """
    )
)


class UndocumentedCurrency(ValueError):
    """Meta does not say in which unit it counts amounts of this currency."""

    def __init__(self, currency_code: str) -> None:
        super().__init__(
            f"Meta's table of currencies does not list {currency_code}, so the unit that it counts "
            f"amounts in is not known; use an ad account in a currency that it lists, see {SOURCE}"
        )


def digits_of(currency_code: str) -> int:
    """Decimal digits of the smallest unit that Meta counts in. Raises UndocumentedCurrency."""
    if currency_code in _WHOLE_UNITS:
        return 0
    if currency_code in _HUNDREDTHS:
        return 2
    raise UndocumentedCurrency(currency_code)


def check(field: str, currency_code: str) -> None:
    """Raises InvalidBid naming `field` for a currency that Meta's table lacks."""
    try:
        digits_of(currency_code)
    except UndocumentedCurrency as error:
        raise InvalidBid.of(field, str(error)) from None


def unit_micros(currency_code: str) -> int:
    """Micros of one minor unit. Raises UndocumentedCurrency."""
    return int(MICROS_PER_UNIT // 10 ** digits_of(currency_code))


def from_micros(micros: int, currency_code: str) -> int | None:
    """Minor units of an amount; None when it is finer than one. Raises UndocumentedCurrency."""
    units, rest = divmod(micros, unit_micros(currency_code))
    return None if rest else units


def to_micros(units: int, currency_code: str) -> int:
    """Micros of an amount in minor units. Raises UndocumentedCurrency."""
    return units * unit_micros(currency_code)
