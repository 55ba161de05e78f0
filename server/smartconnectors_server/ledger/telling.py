"""What a change of the book says: its lines, and those about alerts that follow from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from smartconnectors_server.ledger.alert_lines import Change
from smartconnectors_server.ledger.alerts import AlertLevel, Alerts
from smartconnectors_server.ledger.lines import Lines
from smartconnectors_server.ledger.records import Step
from smartconnectors_server.ledger.scopes import Scopes
from smartconnectors_server.ledger.totals import counted_in


class Telling:
    """Makes steps of what was changed."""

    def __init__(self, scopes: Scopes, lines: Lines, alerts: Alerts) -> None:
        self._scopes = scopes
        self._lines = lines
        self._alerts = alerts

    def about(
        self,
        budget_id: str,
        verb: str,
        amount_micros: int,
        note: str,
        now_ns: int,
        *,
        actor: str = "",
    ) -> Step:
        """One line about a budget. Raises KeyError."""
        budget = self._scopes.budget(budget_id)
        line = self._lines.of_budget(budget, verb, amount_micros, note, now_ns, actor=actor)
        return Step((), (line,))

    def condition(self, change: Change, now_ns: int) -> Step:
        """That a condition begins or ends."""
        return Step((), (self._lines.of_condition(change, now_ns),))

    def told(
        self,
        steps: Sequence[Step],
        before: Mapping[str, AlertLevel],
        now_ns: int,
        budget_ids: Iterable[str] = (),
    ) -> Step:
        """The steps as one, with what is to be told of their budgets, and of `budget_ids`."""
        holds = tuple(hold for step in steps for hold in step.holds)
        entries = [entry for step in steps for entry in step.entries]
        changed = [
            budget_id
            for entry in entries
            for budget_id in counted_in(entry.platform, entry.budget_ids)
        ]
        for crossing in self._alerts.after(dict.fromkeys([*changed, *budget_ids]), before, now_ns):
            budget = self._scopes.budget(crossing.state.budget_id)
            entries.append(
                self._lines.of_budget(
                    budget, crossing.verb, crossing.used_micros, crossing.note, now_ns
                )
            )
        return Step(holds, tuple(entries))
