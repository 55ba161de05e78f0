"""Which budgets a line of a platform counts in: those that it names, and the total.

A line names the budgets that there were when its bid was admitted. A total may be configured later,
or be taken out for a while and put back, and then counts what its platforms committed meanwhile:
so it counts every line of every platform, whether or not it is named. Pure.
"""

from __future__ import annotations

from smartconnectors_server.ledger.shadow import SHADOW, is_shadow, shadow_of

TOTAL = "total"
"""The budget that every platform counts in; platforms in shadow mode count in its shadow."""

COUNTS_IN = (
    "(EXISTS (SELECT 1 FROM json_each(budget_ids) WHERE value = :budget_id) OR :budget_id = CASE"  # noqa: S608 - constants
    f" WHEN platform = '' THEN '' WHEN substr(platform, 1, {len(SHADOW)}) = '{SHADOW}'"
    f" THEN '{shadow_of(TOTAL)}' ELSE '{TOTAL}' END)"
)
"""As `counted_in`, for SQL: whether a line about a hold counts in the budget `:budget_id`."""


def counted_in(platform: str, budget_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The budgets that a hold counts in. `budget_ids`: those that it names. `platform`: what it is
    for, in shadow mode its shadow; empty: it is for none, and counts in no total.
    """
    total = shadow_of(TOTAL) if is_shadow(platform) else TOTAL
    return budget_ids if not platform or total in budget_ids else (*budget_ids, total)
