"""Reading fields of a bid request, whoever wrote it. Pure.

A field that is null counts as absent. What exchanges are known to send is read where that cannot
cost money: numbers and flags as texts, a text or a number for a list of one, ids as integers,
currencies in lower case. Every function raises Declined with OpenRTB's number for an invalid
request when a field is there and cannot be read even so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

NBR_UNKNOWN = 0
"""OpenRTB 2.5 has no number for a rule that a bid would break."""
NBR_INVALID_REQUEST = 2

_MAX_INTEGER = 2**53
_MAX_SHOWN = 40
_NUMBER = re.compile(r"[0-9]{1,16}(\.[0-9]{1,18})?")

Object = Mapping[str, Any]


class Declined(Exception):
    """No bid, and why.

    Attributes:
        rule: one word for the rule: `request`, `test`, `time`, `currency`, `seat`, `category`,
            `advertiser`, `app`, `floor`, `deal`, `quantity`, `secure`, `kind`, `size`, `format`,
            `attribute`, `creative`, `macro`.
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


def is_there(parent: Object, key: str) -> bool:
    """True when the field says something."""
    return parent.get(key) is not None


def an_object(value: Any, where: str) -> Object:
    """The value as an object."""
    if not isinstance(value, dict):
        raise invalid(where, "is not an object")
    return value


def child(parent: Object, key: str, where: str) -> Object | None:
    """An object; None: there is none."""
    value = parent.get(key)
    return None if value is None else an_object(value, f"{where}.{key}")


def entries(parent: Object, key: str, where: str) -> list[tuple[Any, str]]:
    """(entry, where it is) of a list that should be of objects, each to be read by itself; empty
    when there is none.
    """
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(f"{where}.{key}", "is not a list")
    return [
        (entry, f"{where}.{key}[{index}]") for index, entry in enumerate(value) if entry is not None
    ]


def children(parent: Object, key: str, where: str) -> list[tuple[Object, str]]:
    """(object, where it is) of a list; empty when there is none."""
    return [(an_object(entry, at), at) for entry, at in entries(parent, key, where)]


def text(parent: Object, key: str, where: str) -> str:
    """A text, or a number as one; empty when there is none."""
    value = parent.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise invalid(f"{where}.{key}", "is not a text")
    return value if isinstance(value, str) else str(value)


def identifier(parent: Object, key: str) -> str:
    """An id: a text, or an integer as one; empty when it has none of these."""
    value = parent.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value)


def currency(parent: Object, key: str, where: str) -> str:
    """A currency's code in capitals; empty when there is none."""
    return text(parent, key, where).strip().upper()


def texts(parent: Object, key: str, where: str) -> tuple[str, ...]:
    """A list of texts, or of integers as texts."""
    values = _list(parent, key, where)
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
        raise invalid(f"{where}.{key}", "is not a list of texts")
    return tuple(str(value) for value in values)


def names(parent: Object, key: str, where: str) -> tuple[str, ...]:
    """A list of whom or what something is for or closed to, without entries that name nothing: a
    list of these alone counts as absent.
    """
    values = [value for value in _list(parent, key, where) if value not in (None, "")]
    return texts({key: values}, key, where)


def currencies(parent: Object, key: str, where: str) -> tuple[str, ...]:
    """A list of currencies, in capitals."""
    return tuple(value.strip().upper() for value in texts(parent, key, where))


def number(parent: Object, key: str, where: str) -> Decimal | None:
    """A number that is not negative, also as a text; None: there is none."""
    value = parent.get(key)
    if isinstance(value, str):
        value = value.strip()
        if value and not _NUMBER.fullmatch(value):
            raise invalid(f"{where}.{key}", "is not a number")
        value = Decimal(value) if value else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise invalid(f"{where}.{key}", "is not a number")
    # Compared before it is made a Decimal: an int may have thousands of digits.
    if value < 0 or value > _MAX_INTEGER:
        raise invalid(f"{where}.{key}", "is negative or larger than any that is meant seriously")
    return Decimal(value)


def integer(parent: Object, key: str, where: str) -> int | None:
    """A whole number that is not negative, also as a text; None: there is none."""
    value = number(parent, key, where)
    if value is None:
        return None
    if value != value.to_integral_value():
        raise invalid(f"{where}.{key}", "is not a whole number")
    return int(value)


def integers(parent: Object, key: str, where: str) -> tuple[int, ...]:
    """A list of whole numbers that are not negative, also as texts."""
    found = [integer({key: value}, key, where) for value in _list(parent, key, where)]
    # Left out, a null would turn "only this" into "anything".
    if None in found:
        raise invalid(f"{where}.{key}", "is not a list of numbers")
    return tuple(value for value in found if value is not None)


def flag(parent: Object, key: str, where: str) -> bool | None:
    """OpenRTB's 0 or 1, also as a text or as a JSON boolean; None: there is none."""
    value = parent.get(key)
    if isinstance(value, bool):
        return value
    number = integer(parent, key, where)
    if number is None:
        return None
    if number not in (0, 1):
        raise invalid(f"{where}.{key}", "is neither 0 nor 1")
    return number == 1


def _list(parent: Object, key: str, where: str) -> list[Any]:
    """A list; of what is no list, one of it alone, but not of several names in one text."""
    value = parent.get(key)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, dict) or (isinstance(value, str) and "," in value):
        raise invalid(f"{where}.{key}", "is not a list")
    return [value]
