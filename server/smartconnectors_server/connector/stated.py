"""What a bid's request says of its setting in money, beside `bid_micros`. Pure.

A caller that names a setting (a ROAS, a CPM) and an amount must not have one set and the other
counted. A platform says here what the setting is worth; the chain compares, or takes the worth for
the amount when the caller names none.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of money in a request, and the path of its field."""

    field: str
    micros: int


@dataclass(frozen=True, slots=True)
class Stated:
    """What a request says of its setting.

    Attributes:
        field: the field that says how much is bid; empty: the setting follows from the amount.
        worth: the bid that it stands for, in micros; None: it cannot be told without `needs`.
        needs: the field that is missing for that.
        least, most: the bids that are the same setting after the platform's own rounding.
        ceilings: amounts that must not be above the bid.
        parts: further amounts that the setting names.
    """

    field: str = ""
    worth: Fraction | None = None
    needs: str = ""
    least: int = 0
    most: int = 0
    ceilings: tuple[Amount, ...] = ()
    parts: tuple[Amount, ...] = ()

    @property
    def micros(self) -> int:
        """The worth in whole micros, rounded up, so that never less is counted than is set. 0: it
        cannot be told.
        """
        return 0 if self.worth is None else -(-self.worth.numerator // self.worth.denominator)

    def agrees(self, bid_micros: int, minor_unit_micros: int) -> bool:
        """Whether a bid is what the setting is worth: after the platform's rounding of the setting,
        or after the caller's of the amount, to a micro or to the currency's minor unit.
        """
        if self.worth is None:
            return False
        unit = 1 if bid_micros % minor_unit_micros else minor_unit_micros
        return self.least <= bid_micros <= self.most or abs(bid_micros - self.worth) < unit


def by_amount(field: str, micros: int, *parts: Amount) -> Stated:
    """The setting is the bid itself."""
    return Stated(field, Fraction(micros), least=micros, most=micros, parts=parts)


def by_roas(
    field: str,
    roas: int,
    *,
    scale: int,
    ltv_micros: int,
    ceilings: tuple[Amount, ...] = (),
) -> Stated:
    """An explicit ROAS stands for the bid LTV / ROAS. `roas`: as the platform keeps it, in
    `scale`-ths, above 0. `ltv_micros`: 0: there is none.
    """
    if ltv_micros <= 0:
        return Stated(field, needs="bid.predicted_ltv_micros", ceilings=ceilings)
    doubled = 2 * ltv_micros * scale
    return Stated(
        field,
        Fraction(ltv_micros * scale, roas),
        least=doubled // (2 * roas + 1) + 1,
        most=doubled // (2 * roas - 1),
        ceilings=ceilings,
    )
