"""The fallback price: median of recent LTVs times the platform's multiplier, then a cap. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HISTORY_LENGTH = 100
THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """One settled bid. Micros; 0: it had none."""

    ltv_micros: int
    ai_bid_micros: int


@dataclass(frozen=True, slots=True)
class FallbackPrice:
    """A price, in micros, and what it was before the cap."""

    bid_micros: int
    uncapped_micros: int


def median_micros(values: Sequence[int]) -> int:
    """The median, rounded down to a whole micro. `values` must not be empty."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) // 2


def fallback_price(
    history: Sequence[Sample],
    *,
    predicted_ltv_micros: int,
    ai_bid_micros: int,
    multiplier_milli: int,
    capped: bool,
    min_samples: int = 1,
) -> FallbackPrice | None:
    """What to bid without the AI; None when there is nothing to price from.

    Args:
        history: the caller's settled bids, oldest first; the LTVs of the last 100 count.
        predicted_ltv_micros: stands in when the history has too few LTVs; 0: none.
        ai_bid_micros: the caller's own bid, which caps the price; 0: none, then the largest AI bid
            of the last 100 settled bids does.
        multiplier_milli: in thousandths.
        capped: False gives the bare formula.
        min_samples: fewer LTVs than this are no history. At least 1.
    """
    recent = history[-HISTORY_LENGTH:]
    ltvs = [s.ltv_micros for s in recent if s.ltv_micros > 0]
    base = median_micros(ltvs) if len(ltvs) >= min_samples else predicted_ltv_micros
    uncapped = base * multiplier_milli // THOUSAND
    if uncapped <= 0:
        return None
    cap = ai_bid_micros or max((s.ai_bid_micros for s in recent), default=0)
    bid = min(uncapped, cap) if capped and cap > 0 else uncapped
    return FallbackPrice(bid, uncapped)
