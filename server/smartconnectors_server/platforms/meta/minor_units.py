"""Micros and what Meta calls minor units: exact both ways, or refused. Pure.

Meta counts bids and budgets in the smallest unit of the account's currency, by a table of offsets
of its own. It mostly agrees with ISO 4217, and where it does not, ISO's digits would bid a hundred
times too much, or a tenth.
"""

from __future__ import annotations

from smartconnectors_server.money import MICROS_PER_UNIT, minor_unit_digits

# Currencies whose offset in Meta's table is not ISO's: 1 where ISO has cents, 100 where ISO has
# thousandths. Read 2026-11-24, see README.md.
_META_DIGITS = {
    "COP": 0,
    "CRC": 0,
    "HUF": 0,
    "IDR": 0,
    "TWD": 0,
    "BHD": 2,
    "JOD": 2,
}


def digits_of(currency_code: str) -> int:
    """Decimal digits of the smallest unit that Meta counts in.

    Raises InvalidAmount when ISO 4217 has no such currency.
    """
    given = _META_DIGITS.get(currency_code)
    return minor_unit_digits(currency_code) if given is None else given


def unit_micros(currency_code: str) -> int:
    """Micros of one minor unit. Never less than 1: no currency is finer than a micro."""
    return int(MICROS_PER_UNIT // 10 ** digits_of(currency_code))


def from_micros(micros: int, currency_code: str) -> int | None:
    """Minor units of an amount; None when it is finer than one."""
    units, rest = divmod(micros, unit_micros(currency_code))
    return None if rest else units


def to_micros(units: int, currency_code: str) -> int:
    """Micros of an amount in minor units."""
    return units * unit_micros(currency_code)
