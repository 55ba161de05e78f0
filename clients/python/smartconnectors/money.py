"""Amounts: the service counts integer micros, people write decimals. Nothing here is a float."""

from __future__ import annotations

import re
from decimal import Decimal

MICROS_PER_UNIT = 1_000_000
"""1,000,000 micros are one unit of any currency, whatever its coins are."""
MOST_MICROS = 10**15
"""The most that the service takes."""

_MICRO_DIGITS = 6
_PLAIN_DECIMAL = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,6}))?")


def to_micros(amount: str | Decimal | int) -> int:
    """Micros of an amount in currency units, exactly: `"75.00"` is 75,000,000.

    Raises:
        ValueError: not a plain decimal, negative, finer than a micro, or above 10^15 micros.
        TypeError: a float, which seldom is the amount that it looks like.
    """
    if isinstance(amount, float):
        raise TypeError(f"{amount!r} is a float; write the amount as text or as a Decimal")
    text = format(amount, "f") if isinstance(amount, Decimal) else str(amount)
    plain = _PLAIN_DECIMAL.fullmatch(_without_trailing_zeros(text))
    if plain is None:
        raise ValueError(f"{text[:40]!r} is not a plain decimal amount such as 75.00")
    units, fraction = plain.group(1), plain.group(2) or ""
    micros = int(units) * MICROS_PER_UNIT + int(fraction.ljust(_MICRO_DIGITS, "0"))
    if micros > MOST_MICROS:
        raise ValueError(f"{text[:40]!r} is above the largest amount, 1000000000")
    return micros


def to_decimal(micros: int) -> Decimal:
    """The amount in currency units, exactly, with at least two digits after the point: 75,000,000
    is `Decimal("75.00")`.
    """
    sign = "-" if micros < 0 else ""
    units, rest = divmod(abs(micros), MICROS_PER_UNIT)
    fraction = f"{rest:06d}"
    return Decimal(f"{sign}{units}.{fraction[:2]}{fraction[2:].rstrip('0')}")


def _without_trailing_zeros(text: str) -> str:
    """Zeros after the sixth digit change no amount."""
    units, point, fraction = text.partition(".")
    return f"{units}{point}{fraction[:_MICRO_DIGITS]}{fraction[_MICRO_DIGITS:].rstrip('0')}"
