"""Whether the answer to a change has the values that were sent. Pure.

By default The Trade Desk answers 200 to a change of a property that it does not know or that is
read-only, and ignores it. So an id and a status say nothing: only the returned values do.

| what the answer has | what it means |
|---|---|
| every value as it was sent | applied |
| every value as it was before | not applied: PlatformRejected |
| a value missing, or any other | not known: OutcomeUnknown |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from smartconnectors_server.errors import OutcomeUnknown, PlatformRejected
from smartconnectors_server.platforms.trade_desk import amounts

_MISSING = object()
_MOST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Expected:
    """A property that a change sets.

    Attributes:
        path: where it is in the entity, for example `("RTBAttributes", "BaseBidCPM", "Amount")`.
        sent: its value in the change.
        before: its value before the change, as it was read; None: it had none.
    """

    path: tuple[str, ...]
    sent: Any
    before: Any


def is_confirmed(entity: Mapping[str, Any], expected: Sequence[Expected]) -> bool:
    """True when the entity has every value that was sent."""
    return all(_same(_value_in(entity, one.path), one.sent) for one in expected)


def check(entity: Mapping[str, Any], expected: Sequence[Expected]) -> None:
    """Returns when the entity has every value that was sent.

    Raises PlatformRejected when it provably has the values from before, OutcomeUnknown when it
    has neither.
    """
    found = [(one, _value_in(entity, one.path)) for one in expected]
    wrong = [(one, value) for one, value in found if not _same(value, one.sent)]
    if not wrong:
        return
    one, value = wrong[0]
    name = ".".join(one.path)
    if value is _MISSING:
        raise OutcomeUnknown(
            f"The Trade Desk answered the change without {name}: whether it was applied is not "
            "known."
        )
    changed = [(each, now) for each, now in found if not _same(each.sent, each.before)]
    if len(wrong) == len(changed) and all(_same(now, each.before) for each, now in changed):
        raise PlatformRejected(
            f"The Trade Desk accepted the request and did not apply it: {name} is still "
            f"{_shown(value)}, and {_shown(one.sent)} was sent. The property may be read-only for "
            "this entity or this API user."
        )
    raise OutcomeUnknown(
        f"The Trade Desk answered the change with {_shown(value)} for {name}, and "
        f"{_shown(one.sent)} was sent: whether the change was applied is not known."
    )


def _value_in(entity: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = entity
    for key in path:
        if value is None:
            return None  # what is null has no parts
        if not isinstance(value, Mapping) or key not in value:
            return _MISSING
        value = value[key]
    return value


def _same(first: Any, second: Any) -> bool:
    """Amounts are the same to the micro, as they are read."""
    return bool(_comparable(first) == _comparable(second))


def _comparable(value: Any) -> Any:
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        try:
            return amounts.micros_of(value) or None  # no amount and an amount of 0 are the same
        except ValueError:
            return _MISSING
    # So that neither false nor a text is ever the same as an amount.
    return value if value is None else (type(value), value)


def _shown(value: Any) -> str:
    text = amounts.write(value) if isinstance(value, Decimal) else ascii(value)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."
