"""Reading fields of a bid request, whoever wrote it. Pure.

Every function raises Declined with OpenRTB's number for an invalid request when a field is there
and is not what OpenRTB 2.5 says it is. A field that is null counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

NBR_UNKNOWN = 0
"""OpenRTB 2.5 has no number for a rule that a bid would break."""
NBR_INVALID_REQUEST = 2

_MAX_INTEGER = 2**53
_MAX_SHOWN = 40

Object = Mapping[str, Any]


class Declined(Exception):
    """No bid, and why.

    Attributes:
        rule: one word for the rule: `request`, `currency`, `seat`, `category`, `advertiser`, `app`,
            `floor`, `deal`, `secure`, `kind`, `size`, `format`, `attribute`, `creative`.
        reason: a sentence.
        nbr: OpenRTB 2.5's number.
    """

    def __init__(self, rule: str, reason: str, nbr: int = NBR_UNKNOWN) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason
        self.nbr = nbr


def invalid(where: str, what: str) -> Declined:
    """The bid request is not one."""
    return Declined("request", f"{where} {what}", NBR_INVALID_REQUEST)


def shown(text: str) -> str:
    """Somebody else's text as a message quotes it: short, and of printable ASCII."""
    cut = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
    return ascii(cut)


def child(parent: Object, key: str, where: str) -> Object | None:
    """An object; None: there is none."""
    value = parent.get(key)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid(f"{where}.{key}", "is not an object")
    return value


def children(parent: Object, key: str, where: str) -> list[Object]:
    """A list of objects; empty when there is none."""
    values = _list(parent, key, where)
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise invalid(f"{where}.{key}[{index}]", "is not an object")
    return values


def text(parent: Object, key: str, where: str) -> str:
    """A text; empty when there is none."""
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(f"{where}.{key}", "is not a text")
    return value


def texts(parent: Object, key: str, where: str) -> tuple[str, ...]:
    """A list of texts."""
    values = _list(parent, key, where)
    if not all(isinstance(value, str) for value in values):
        raise invalid(f"{where}.{key}", "is not a list of texts")
    return tuple(values)


def number(parent: Object, key: str, where: str) -> Decimal | None:
    """A number that is not negative; None: there is none."""
    value = parent.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise invalid(f"{where}.{key}", "is not a number")
    # Compared before it is made a Decimal: an int may have thousands of digits.
    if value < 0 or value > _MAX_INTEGER:
        raise invalid(f"{where}.{key}", "is negative or larger than any that is meant seriously")
    return Decimal(value)


def integer(parent: Object, key: str, where: str) -> int | None:
    """A whole number that is not negative; None: there is none."""
    value = number(parent, key, where)
    if value is None:
        return None
    if value != value.to_integral_value():
        raise invalid(f"{where}.{key}", "is not a whole number")
    return int(value)


def integers(parent: Object, key: str, where: str) -> tuple[int, ...]:
    """A list of whole numbers that are not negative."""
    found = [integer({key: value}, key, where) for value in _list(parent, key, where)]
    # Left out, a null would turn "only this" into "anything".
    if None in found:
        raise invalid(f"{where}.{key}", "is not a list of numbers")
    return tuple(value for value in found if value is not None)


def flag(parent: Object, key: str, where: str) -> bool | None:
    """OpenRTB's 0 or 1; None: there is none."""
    value = integer(parent, key, where)
    if value is None:
        return None
    if value not in (0, 1):
        raise invalid(f"{where}.{key}", "is neither 0 nor 1")
    return value == 1


def _list(parent: Object, key: str, where: str) -> list[Any]:
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(f"{where}.{key}", "is not a list")
    return value
