"""Money: integer micros and an ISO 4217 currency, never a float.

One unit of any currency is 1,000,000 micros, whatever its minor unit is: 1 JPY is 1,000,000 micros
although yen have no cents, and the smallest Kuwaiti coin (0.001 KWD) is 1,000 micros.
"""

from __future__ import annotations

import re

from iso4217 import Currency

MICROS_PER_UNIT = 1_000_000
MAX_MICROS = 10**15

_MICRO_DIGITS = 6
_MAX_UNIT_DIGITS = 10
# A digit on at least one side of the point.
_PLAIN_DECIMAL = re.compile(r"(?P<sign>-?)(?=\.?[0-9])(?P<units>[0-9]*)(?:\.(?P<fraction>[0-9]*))?")
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


class InvalidAmount(ValueError):
    """The text is not an amount of money; the message says what was expected."""


def minor_unit_digits(currency_code: str) -> int:
    """Decimal digits of the currency's minor unit: 2 for USD, 0 for JPY, 3 for KWD.

    Raises:
        InvalidAmount: ISO 4217 has no such currency.
    """
    try:
        digits = Currency(currency_code).exponent
    except ValueError:
        raise InvalidAmount(f"{currency_code!r} is not an ISO 4217 currency code") from None
    return 2 if digits is None else int(digits)


def parse_amount(text: str) -> int:
    """Micros of a decimal amount in currency units, exactly: `"500.00"` is 500,000,000.

    Raises:
        InvalidAmount: not a plain decimal, negative, finer than a micro, or above 10^15 micros.
    """
    # Decimal would also read exponents, underscores and the digits of every script, and it rounds
    # what it multiplies to 28 digits.
    plain = _PLAIN_DECIMAL.fullmatch(text.strip())
    if plain is None:
        raise InvalidAmount(f"{_shown(text)} is not a plain decimal amount such as 500.00")
    sign, units, fraction = plain.group("sign", "units", "fraction")
    units, fraction = units.lstrip("0"), (fraction or "").rstrip("0")
    if not units and not fraction:
        return 0
    if sign:
        raise InvalidAmount(f"{_shown(text)} is negative")
    if len(units) > _MAX_UNIT_DIGITS:
        raise InvalidAmount(f"{_shown(text)} is above the largest amount, 1,000,000,000")
    if len(fraction) > _MICRO_DIGITS:
        raise InvalidAmount(f"{_shown(text)} is finer than one micro (0.000001)")
    micros = int(units or "0") * MICROS_PER_UNIT + int(fraction.ljust(_MICRO_DIGITS, "0"))
    if micros > MAX_MICROS:
        raise InvalidAmount(f"{_shown(text)} is above the largest amount, 1,000,000,000")
    return micros


def _shown(text: str) -> str:
    """The text as a message quotes it, cut where it gets long."""
    return repr(text if len(text) <= 40 else text[:40] + "…")


def format_amount(micros: int, currency_code: str) -> str:
    """An amount for people: `$300.00`, `¥1,500`, `KWD 1.250`. Never rounds: digits are added when
    the amount is finer than the currency's minor unit.
    """
    digits = minor_unit_digits(currency_code)
    sign = "-" if micros < 0 else ""
    units, rest = divmod(abs(micros), MICROS_PER_UNIT)
    fraction = f"{rest:06d}"
    kept = fraction[:digits] + fraction[digits:].rstrip("0")
    symbol = _SYMBOLS.get(currency_code, f"{currency_code} ")
    return f"{sign}{symbol}{units:,}" + (f".{kept}" if kept else "")
