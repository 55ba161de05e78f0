"""What the platforms' reports of spend have in common: days, amounts, currencies, checked. Pure."""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.money import InvalidAmount, minor_unit_digits
from smartconnectors_server.zones import UnknownZone, zone_of

_MICROS = Decimal(1_000_000)
_MOST_UNITS = 10**12
"""Of any currency: as micros it is still an integer of 64 bits."""


class UnreadableReport(Exception):
    """A report is not of the form that was asked for; the message says what is wrong with it."""


def day_of(value: Any) -> date:
    """A day as `YYYY-MM-DD`. Raises UnreadableReport."""
    try:
        if isinstance(value, str) and len(value) == len("2026-11-24"):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise UnreadableReport("a day that is none")


def micros_of(value: Any) -> int:
    """Micros of decimal currency units, to the nearest; a correction may be below zero. Raises
    UnreadableReport.
    """
    try:
        if isinstance(value, str) and value.isascii() and "_" not in value:
            amount = Decimal(value)
            if amount.is_finite() and abs(amount) <= _MOST_UNITS:
                return int((amount * _MICROS).to_integral_value(ROUND_HALF_EVEN))
    except InvalidOperation:
        pass
    raise UnreadableReport("an amount that is none")


def whole_micros_of(value: Any) -> int:
    """Micros that are written as an integer. Raises UnreadableReport."""
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.removeprefix("-").isdigit():
        raise UnreadableReport("an amount that is none")
    micros = int(text[:32])
    if abs(micros) > _MOST_UNITS * 10**6:
        raise UnreadableReport("an amount beyond any")
    return micros


def currency_of(value: Any) -> str:
    """An ISO 4217 code. Raises UnreadableReport."""
    try:
        if isinstance(value, str):
            minor_unit_digits(value)
            return value
    except InvalidAmount:
        pass
    raise UnreadableReport("a currency that is none")


def time_zone_of(value: Any) -> str:
    """An IANA name. Raises UnreadableReport."""
    try:
        if isinstance(value, str):
            return zone_of(value).key
    except UnknownZone as error:
        raise UnreadableReport(f"a time zone that cannot be looked up: {error}") from None
    raise UnreadableReport("a time zone that is none")


def today_in(time_zone: str, wall_ns: int) -> date:
    """The day in a time zone. Raises UnreadableReport."""
    zone = zone_of(time_zone_of(time_zone))
    return datetime.fromtimestamp(wall_ns / NANOS_PER_SECOND, zone).date()


def id_of(value: Any) -> str:
    """A campaign's id. Raises UnreadableReport."""
    if isinstance(value, str | int) and not isinstance(value, bool) and 0 < len(str(value)) <= 64:
        return str(value)
    raise UnreadableReport("a row without a campaign")
