"""How near a budget is to its limit, and saying so once when it gets nearer."""

from __future__ import annotations

import enum
import logging

from smartconnectors_server.ledger import BudgetState
from smartconnectors_server.money import format_amount

log = logging.getLogger(__name__)

WARNING_PERCENT = 80
CRITICAL_PERCENT = 95


class AlertLevel(enum.IntEnum):
    """Ordered: a higher one is nearer the limit."""

    NONE = 0
    WARNING = 1
    CRITICAL = 2
    EXHAUSTED = 3


def alert_level(state: BudgetState) -> AlertLevel:
    """The level of a budget, by the fullest of its limits."""
    if state.remaining_micros() == 0:
        return AlertLevel.EXHAUSTED
    level = AlertLevel.NONE
    for index, limit in enumerate(state.limits):
        percent_used = state.used_micros(index) * 100
        if percent_used >= CRITICAL_PERCENT * limit.limit.limit_micros:
            level = max(level, AlertLevel.CRITICAL)
        elif percent_used >= WARNING_PERCENT * limit.limit.limit_micros:
            level = max(level, AlertLevel.WARNING)
    return level


def _fullest(state: BudgetState) -> int:
    """Which limit is nearest to being used up."""

    def per_billion_used(index: int) -> int:
        return state.used_micros(index) * 10**9 // max(1, state.limits[index].limit.limit_micros)

    return max(range(len(state.limits)), key=per_billion_used)


class Alerts:
    """Logs a budget's level when it rises; armed again when it falls."""

    def __init__(self) -> None:
        self._levels: dict[str, AlertLevel] = {}

    def start_from(self, state: BudgetState) -> None:
        """Takes the level that a budget has at start as already told."""
        self._levels[state.budget_id] = alert_level(state)

    def stands(self, budget_id: str) -> bool:
        """True while a level other than NONE was the last one seen."""
        return self._levels.get(budget_id, AlertLevel.NONE) > AlertLevel.NONE

    def see(self, state: BudgetState) -> AlertLevel:
        """Compares with the last level and logs a rise."""
        level = alert_level(state)
        before = self._levels.get(state.budget_id, AlertLevel.NONE)
        self._levels[state.budget_id] = level
        if level > before:
            fullest = _fullest(state)
            log.warning(
                "budget %s is at %s: %s of %s committed, held, deferred or in doubt",
                state.budget_id,
                level.name,
                format_amount(state.used_micros(fullest), state.currency_code),
                format_amount(state.limits[fullest].limit.limit_micros, state.currency_code),
            )
        return level
