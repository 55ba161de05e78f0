"""What limits permit a day: the figure that a short window hides. Pure.

"$500 in 10 minutes" sounds small and permits $72,000 a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from smartconnectors_server.budget.refusal import duration_text
from smartconnectors_server.ledger import TOTAL, Budget, Limit, SlidingWindow
from smartconnectors_server.money import format_amount

SECONDS_PER_DAY = 86_400
_TIMES_A_DAY = {"hour": 24, "day": 1, "month": 1}


@dataclass(frozen=True, slots=True)
class DayLimit:
    """One limit of one budget, and the most that it lets through in a day, in micros."""

    budget_id: str
    currency_code: str
    limit: Limit
    day_micros: int

    @property
    def name(self) -> str:
        """`google_ads: $500.00 in 10 min`."""
        return f"{self.budget_id}: {self._limit_text()}"

    @property
    def sentence(self) -> str:
        """`$500.00 in 10 min permits $72,000.00 a day`."""
        return f"{self._limit_text()} permits {self.day_text} a day"

    @property
    def day_text(self) -> str:
        """`$72,000.00`."""
        return format_amount(self.day_micros, self.currency_code)

    def _limit_text(self) -> str:
        amount = format_amount(self.limit.limit_micros, self.currency_code)
        window = self.limit.window
        if isinstance(window, SlidingWindow):
            return f"{amount} in {duration_text(window.seconds)}"
        return f"{amount} in one calendar {window.unit} ({window.time_zone})"


def day_micros(limit: Limit) -> int:
    """The most that one limit lets through in 24 hours, or in one day of its calendar.

    A sliding window can be filled whenever it has emptied, and a day that is not a whole number of
    windows has room for one more filling.
    """
    window = limit.window
    if not isinstance(window, SlidingWindow):
        return limit.limit_micros * _TIMES_A_DAY[window.unit]
    return limit.limit_micros * max(1, int(-(-SECONDS_PER_DAY // window.seconds)))


def day_limits(budgets: Iterable[Budget]) -> tuple[DayLimit, ...]:
    """Every limit of every budget, in their order."""
    return tuple(
        DayLimit(budget.budget_id, budget.currency_code, limit, day_micros(limit))
        for budget in budgets
        for limit in budget.limits
    )


def tightest(limits: Iterable[DayLimit]) -> Mapping[str, DayLimit]:
    """For each budget but the total, which limit is the tightest over a day of all those that a
    bid in it counts in: its own, its platform's and the total's.
    """
    limits = tuple(limits)
    found = {}
    for budget_id in dict.fromkeys(limit.budget_id for limit in limits):
        if budget_id == TOTAL:
            continue
        scope = {budget_id, budget_id.partition("/")[0], TOTAL}
        found[budget_id] = min(
            (limit for limit in limits if limit.budget_id in scope),
            key=lambda limit: limit.day_micros,
        )
    return found
