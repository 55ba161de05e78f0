"""The budgets of shadow mode."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from smartconnectors_server.ledger import TOTAL, Budget, shadow_of


def shadow_budgets(budgets: Iterable[Budget], platforms: Iterable[str]) -> tuple[Budget, ...]:
    """The budgets that bids on these platforms count in while they are in shadow mode: one with the
    same limits for each of theirs, and for the total. None when there are no such platforms.
    """
    shadowed = frozenset(platforms)
    if not shadowed:
        return ()
    return tuple(
        dataclasses.replace(budget, budget_id=shadow_of(budget.budget_id))
        for budget in budgets
        if budget.budget_id == TOTAL or budget.budget_id.partition("/")[0] in shadowed
    )
