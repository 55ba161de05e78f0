"""What a book can be asked without changing it: budgets, their figures, pauses and alerts."""

from __future__ import annotations

from collections.abc import Iterable

from smartconnectors_server.ledger.alerts import AlertLevel, Alerts
from smartconnectors_server.ledger.records import Budget, BudgetState, Pause
from smartconnectors_server.ledger.scopes import Scopes


class Figures:
    """The budgets of a book."""

    def __init__(self) -> None:
        self._scopes = Scopes()
        self._alerts = Alerts(self._scopes)

    def budget_ids(self) -> tuple[str, ...]:
        """All budgets, sorted."""
        return self._scopes.budget_ids()

    def budget(self, budget_id: str) -> Budget:
        """The budget as it is configured now. Raises KeyError."""
        return self._scopes.budget(budget_id)

    def lacking(self, budget_ids: Iterable[str]) -> list[Budget]:
        """The budgets of these campaigns that they are to get and do not have yet."""
        return self._scopes.lacking(budget_ids)

    def standing(self, budget_id: str) -> AlertLevel:
        """The alert level that was told last and stands."""
        return self._alerts.standing(budget_id)

    def state(self, budget_id: str, now_ns: int) -> BudgetState:
        """One budget now. Raises KeyError."""
        return self._scopes.state(budget_id, now_ns)

    def pause_of(self, scopes: Iterable[str]) -> Pause | None:
        """The pause that stops bids in these scopes; None: there is none."""
        return self._scopes.pause_of(scopes)
