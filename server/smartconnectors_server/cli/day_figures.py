"""What `check-config` says that the configured limits permit a day."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smartconnectors_server.ledger import Budget


def document_of(budgets: Iterable[Budget]) -> dict[str, Any]:
    """For `--json`: each limit with what it permits, and which one is the tightest of those that a
    bid counts in. Amounts are texts and micros.
    """
    from smartconnectors_server.budget import day_limits, tightest

    limits = day_limits(budgets)
    return {
        "permits_a_day": [
            {
                "budget": limit.budget_id,
                "text": limit.sentence,
                "limit_micros": limit.limit.limit_micros,
                "day_micros": limit.day_micros,
                "currency_code": limit.currency_code,
            }
            for limit in limits
        ],
        "at_most_a_day": {
            budget_id: {"amount": by.day_text, "day_micros": by.day_micros, "by": by.name}
            for budget_id, by in tightest(limits).items()
        },
    }


def print_tables(budgets: Iterable[Budget]) -> None:
    """For people: the same as two tables."""
    from smartconnectors_server.budget import day_limits, tightest
    from smartconnectors_server.cli import output

    limits = day_limits(budgets)
    output.print_table(
        ("budget", "what its limits permit a day"),
        [[limit.budget_id, limit.sentence] for limit in limits],
        empty="",
    )
    output.print_table(
        ("bids in", "at most a day", "by the tightest limit"),
        [[budget_id, by.day_text, by.name] for budget_id, by in tightest(limits).items()],
        empty="",
    )
