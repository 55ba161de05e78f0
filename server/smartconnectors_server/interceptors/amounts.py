"""What is counted is what is set: the amount that a caller names, the one that its setting is
worth, and the largest that may be set.
"""

from __future__ import annotations

from typing import Any

from smartconnectors_server.access import ANYBODY, Role
from smartconnectors_server.call import Call
from smartconnectors_server.connector import Stated
from smartconnectors_server.errors import InvalidBid, StepTooLarge, Violation
from smartconnectors_server.interceptors._base import PlatformRuntime
from smartconnectors_server.money import (
    MAX_MICROS,
    MICROS_PER_UNIT,
    format_amount,
    minor_unit_digits,
)


def asked_micros(request: Any, call: Call, runtime: PlatformRuntime) -> int:
    """What the caller bids: its amount, or what its setting is worth. 0: it names neither.

    Raises:
        InvalidBid: it names both, and they do not agree; or what the setting is worth cannot be
            told. Callers that may name both at will are spared that, as is a reduction, which
            counts nothing.
        StepTooLarge: the amount, or one that the setting names or stands for, is above the largest
            that may be set; a reduction is spared this too.
    """
    bid = request.bid
    stated = runtime.platform.stated(request)
    micros: int = bid.bid_micros if bid.HasField("bid_micros") else stated.micros
    if call.reduce_only:
        return min(micros, MAX_MICROS)
    check_bid(micros, call.currency_code, runtime)
    _check_parts(stated, call.currency_code, runtime)
    if not may_differ(call, runtime):
        _check_agreement(stated, bid, micros, call.currency_code)
    if micros > MAX_MICROS:
        raise InvalidBid.of(
            stated.field, "stands for a bid above the largest amount, 1,000,000,000"
        )
    return micros


def may_differ(call: Call, runtime: PlatformRuntime) -> bool:
    """Whether a caller may name an amount and a setting that do not agree. Without access control
    the configuration alone decides: there every caller would pass for an operator.
    """
    operates = call.caller is not ANYBODY and call.caller.role >= Role.OPERATE
    return operates or runtime.settings.amount_may_differ


def check_bid(bid_micros: int, currency_code: str, runtime: PlatformRuntime) -> None:
    """Raises StepTooLarge for a bid above the largest that may be set."""
    most = runtime.settings.max_bid
    if most is not None and bid_micros > most:
        raise StepTooLarge(
            f"{runtime.name}: a bid of {format_amount(bid_micros, currency_code)} is above the "
            f"largest that may be set, {format_amount(most, currency_code)}. Platform setting "
            "unchanged.",
            metadata={"bid_micros": str(bid_micros), "max_bid_micros": str(most)},
        )


def _check_parts(stated: Stated, currency_code: str, runtime: PlatformRuntime) -> None:
    most = runtime.settings.max_bid
    if most is None:
        return
    named = [(part.field, "of", part.micros) for part in (*stated.ceilings, *stated.parts)]
    for field, says, micros in (*named, (stated.field, "for a bid of", stated.micros)):
        if micros <= most:
            continue
        raise StepTooLarge(
            f"{runtime.name}: {field} {says} {format_amount(micros, currency_code)} is above the "
            f"largest bid that may be set, {format_amount(most, currency_code)}. Platform setting "
            "unchanged.",
            metadata={
                "field": field,
                "setting_micros": str(micros),
                "max_bid_micros": str(most),
            },
        )


def _check_agreement(stated: Stated, bid: Any, micros: int, currency_code: str) -> None:
    if stated.needs:
        raise _disagreement(
            stated.needs,
            f"needed beside {stated.field}: the bid that is counted is LTV / ROAS. Give it, or "
            f"leave {stated.field} out",
        )
    unit = MICROS_PER_UNIT // 10 ** minor_unit_digits(currency_code)
    named = bid.HasField("bid_micros")
    if named and stated.field and not stated.agrees(micros, unit):
        worth = format_amount(stated.micros, currency_code)
        raise _disagreement(
            stated.field,
            f"stands for a bid of {worth}, and bid.bid_micros says "
            f"{format_amount(micros, currency_code)}; what is counted must be what is set. Give "
            "one of the two, or both so that they agree",
            bid_micros=str(micros),
            setting_micros=str(stated.micros),
        )
    for ceiling in stated.ceilings:
        if 0 < micros < ceiling.micros:
            raise _disagreement(
                ceiling.field,
                f"{format_amount(ceiling.micros, currency_code)} is above the bid that is "
                f"counted, {format_amount(micros, currency_code)}; it must not be",
                bid_micros=str(micros),
                setting_micros=str(ceiling.micros),
            )


def _disagreement(field: str, description: str, **metadata: str) -> InvalidBid:
    return InvalidBid(
        f"{field}: {description}",
        violations=(Violation(field, description),),
        metadata={"field": field, **metadata},
    )
