"""How near a budget is to its limit, and which nearness has been told. Pure.

A level is told once when it is reached, stands for a minute at least, and is armed again when the
budget has fallen 10 points below it. Both are lines of the audit ledger, written with the change
that caused them, so that a restart neither tells twice nor forgets to tell.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.ledger.records import BudgetState
from smartconnectors_server.ledger.scopes import Scopes
from smartconnectors_server.money import format_amount

ALERT, ALERT_END = "alert", "alert_end"
"""The verbs of the two kinds of lines."""
REARM_POINTS = 10
LEAST_STANDING_NS = 60 * NANOS_PER_SECOND
"""A level that was told stands for so long, however the budget moves meanwhile."""


class AlertLevel(enum.IntEnum):
    """Ordered: a higher one is nearer the limit."""

    NONE = 0
    WARNING = 1
    CRITICAL = 2
    EXHAUSTED = 3


PERCENT: Mapping[AlertLevel, int] = {
    AlertLevel.NONE: 0,
    AlertLevel.WARNING: 80,
    AlertLevel.CRITICAL: 95,
    AlertLevel.EXHAUSTED: 100,
}
"""From how much of the limit on a level is reached."""

_LOWEST_PERCENT = PERCENT[AlertLevel.WARNING]


def _reaches(state: BudgetState, percent: int) -> bool:
    return any(
        state.used_micros(index) * 100 >= percent * limit.limit.limit_micros
        for index, limit in enumerate(state.limits)
    )


def alert_level(state: BudgetState) -> AlertLevel:
    """The level of a budget, by the fullest of its limits."""
    return max(level for level in AlertLevel if _reaches(state, PERCENT[level]))


def _fallen(standing: AlertLevel, state: BudgetState) -> AlertLevel:
    """What is left of a level that was told."""
    while standing and not _reaches(state, PERCENT[standing] - REARM_POINTS):
        standing = AlertLevel(standing - 1)
    return standing


@dataclass(frozen=True, slots=True)
class Crossing:
    """A budget has reached a level, or has fallen below the one that stood."""

    state: BudgetState
    verb: str
    level: AlertLevel
    """What stands from now on."""

    @property
    def used_micros(self) -> int:
        """What counts against the fullest limit."""
        return self.state.used_micros(self._fullest())

    @property
    def note(self) -> str:
        """The level, and the figures of the fullest limit."""
        currency = self.state.currency_code
        limit = self.state.limits[self._fullest()].limit
        return (
            f"{self.level.name}: {format_amount(self.used_micros, currency)} of "
            f"{format_amount(limit.limit_micros, currency)} committed, held, deferred or in doubt"
        )

    def _fullest(self) -> int:
        state = self.state

        def per_billion_used(index: int) -> int:
            return (
                state.used_micros(index) * 10**9 // max(1, state.limits[index].limit.limit_micros)
            )

        return max(range(len(state.limits)), key=per_billion_used)


class Alerts:
    """Which level of which budget has been told and stands."""

    def __init__(self, scopes: Scopes) -> None:
        self._scopes = scopes
        self._standing: dict[str, AlertLevel] = {}
        self._told_ns: dict[str, int] = {}
        """When the level of a budget was told last."""

    def standing_ids(self) -> tuple[str, ...]:
        """The budgets of which a level stands."""
        return tuple(budget_id for budget_id, level in self._standing.items() if level)

    def standing(self, budget_id: str) -> AlertLevel:
        """The level that was told last and stands."""
        return self._standing.get(budget_id, AlertLevel.NONE)

    def restore(self, budget_id: str, note: str, at_ns: int) -> None:
        """Takes up what stood before, from the budget's last line about alerts."""
        self._standing[budget_id] = AlertLevel[note.partition(":")[0]]
        self._told_ns[budget_id] = at_ns

    def before(self, budget_ids: Iterable[str], now_ns: int) -> dict[str, AlertLevel]:
        """What still stands of these budgets, of those that have any, before they change: a window
        may have emptied since, and what rises from there is told anew.
        """
        return {
            budget_id: self._left(budget_id, self._standing[budget_id], now_ns)
            for budget_id in budget_ids
            if self._standing.get(budget_id) and self._scopes.knows(budget_id)
        }

    def _left(self, budget_id: str, stood: AlertLevel, now_ns: int) -> AlertLevel:
        if self._is_new(budget_id, now_ns):
            return stood
        return _fallen(stood, self._scopes.state(budget_id, now_ns))

    def _is_new(self, budget_id: str, now_ns: int) -> bool:
        """True: it was told so lately that it stands whatever the budget does."""
        told_ns = self._told_ns.get(budget_id)
        return told_ns is not None and now_ns - told_ns < LEAST_STANDING_NS

    def after(
        self, budget_ids: Iterable[str], before: Mapping[str, AlertLevel], now_ns: int
    ) -> list[Crossing]:
        """What is to be told of these budgets now that they have changed."""
        crossings = []
        for budget_id in filter(self._scopes.knows, budget_ids):
            stood = self.standing(budget_id)
            # Nearly always nothing is to be told, and every bid asks several times.
            if not stood and not self._scopes.reaches(budget_id, _LOWEST_PERCENT, now_ns):
                continue
            state = self._scopes.state(budget_id, now_ns)
            left = before.get(budget_id, stood)
            if not self._is_new(budget_id, now_ns):
                left = _fallen(left, state)
            if left < stood:
                crossings.append(Crossing(state, ALERT_END, left))
            level = alert_level(state)
            if level > left:
                crossings.append(Crossing(state, ALERT, level))
                self._told_ns[budget_id] = now_ns
            self._standing[budget_id] = max(left, level)
        return crossings
