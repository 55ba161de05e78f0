"""What budgets, campaigns and all of them together are called, and which a bid counts in. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from smartconnectors_server.errors import NotFound
from smartconnectors_server.ledger import (
    ALL,
    TOTAL,
    campaign_scope,
    is_shadow,
    platform_and_campaign,
    shadow_of,
)


def scopes_of(book: str, campaign_id: str, budget_ids: Sequence[str]) -> tuple[str, ...]:
    """Every scope that a bid on a campaign counts in: the budgets that there are, and the
    campaign's scope, which can be paused without one. `book`: a platform or its shadow.
    """
    known = tuple(budget_ids)
    scopes = [book, shadow_of(TOTAL) if is_shadow(book) else TOTAL]
    if campaign_id:
        scopes.insert(1, campaign := campaign_scope(book, campaign_id))
        known = (*known, campaign)
    return tuple(scope for scope in scopes if scope in known)


def check_scope(scope: str, budget_ids: Sequence[str]) -> None:
    """Raises NotFound unless it is ALL, a budget, or a campaign of a platform that there is."""
    if scope == ALL or scope in budget_ids:
        return
    campaign = platform_and_campaign(scope)
    if campaign is not None and campaign[0] in budget_ids and campaign[0] != TOTAL:
        if scope.isprintable():
            return
        raise NotFound(f"{scope!r} has a line break or a control character, so it is no campaign")
    raise NotFound(
        f"no budget is called {scope!r}; there are: {', '.join(budget_ids)}. A campaign is called "
        f"PLATFORM/campaigns/ID, and all of them together {ALL!r}."
    )
