"""Money between micros and the decimals of JSON, exactly, and JSON that keeps them so. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NoReturn

_MICROS = Decimal(1_000_000)
_MAX_DIGITS = 30


def decimal_of(micros: int) -> Decimal:
    """Currency units, exactly: 1,230,000 micros are 1.23."""
    return Decimal(micros) / _MICROS


def micros_of(amount: Decimal | int) -> int:
    """Micros of an amount in currency units, to the nearest micro.

    Raises:
        ValueError: it is not a number that money could be.
    """
    value = Decimal(amount)
    if not value.is_finite() or abs(value.adjusted()) > _MAX_DIGITS:
        raise ValueError(f"{amount} is not an amount of money")
    return int((value * _MICROS).to_integral_value(ROUND_HALF_EVEN))


def parse(text: str | bytes) -> Any:
    """A JSON document, decimals as Decimal.

    Raises:
        ValueError: it is not JSON, or nested deeper or longer than any that is meant seriously.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except (RecursionError, ArithmeticError):
        raise ValueError("nested too deeply, or a number beyond any") from None


def write(value: Any) -> str:
    """The JSON text of a document, decimals digit by digit: never an exponent, never a float's
    rounding. ASCII, without blanks.
    """
    match value:
        case Decimal():
            return _plain(value)
        case Mapping():
            members = (f"{json.dumps(str(key))}:{write(item)}" for key, item in value.items())
            return "{" + ",".join(members) + "}"
        case list() | tuple():
            return "[" + ",".join(write(item) for item in value) + "]"
        case _:
            return json.dumps(value, allow_nan=False)


def _plain(value: Decimal) -> str:
    digits = format(value, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
