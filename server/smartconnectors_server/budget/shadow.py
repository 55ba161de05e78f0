"""What the ledger calls things in shadow mode.

A platform in shadow mode has a book of its own, `shadow/<platform>`, in which its holds stand and
its budgets count. Everything that the ledger keeps by platform is apart by that name alone: what is
committed, which request ids are taken, which targets are blocked or wait, the history that prices
and intervals come from. So nothing of it counts, answers, blocks or teaches once the platform is
live, nor the other way round.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from smartconnectors_server.ledger import Budget

SHADOW = "shadow/"
TOTAL = "total"


def shadow_of(name: str) -> str:
    """The shadow of a platform or of a budget: `shadow/google_ads`, `shadow/total`."""
    return SHADOW + name


def is_shadow(name: str) -> bool:
    """Whether it is the name of a shadow."""
    return name.startswith(SHADOW)


def platform_of(book: str) -> str:
    """The platform that a book is about."""
    return book.removeprefix(SHADOW)


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
