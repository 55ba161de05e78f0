"""The numbering of audit lines, and what a line says of a hold or of a budget."""

from __future__ import annotations

from smartconnectors_server.ledger.alert_lines import Change
from smartconnectors_server.ledger.records import ALL, Budget, Entry, Hold
from smartconnectors_server.ledger.scopes import Scopes
from smartconnectors_server.plain_text import printable


class Lines:
    """Makes lines, each with the next number."""

    def __init__(self, first_sequence: int, scopes: Scopes) -> None:
        self.next_sequence = first_sequence
        self._scopes = scopes

    def of_hold(self, hold: Hold, verb: str, now_ns: int, actor: str = "") -> Entry:
        """What was done to a hold, by somebody or, with no actor, by the server itself."""
        return Entry(
            at_ns=now_ns,
            verb=verb,
            budget_ids=hold.budget_ids,
            hold_id=hold.hold_id,
            platform=hold.platform,
            request_id=hold.request_id,
            amount_micros=hold.amount_micros,
            currency_code=hold.currency_code,
            note=printable(hold.note),
            actor=actor,
            customer=hold.customer,
            sequence=self._take(hold.counts_in),
        )

    def of_budget(
        self,
        budget: Budget,
        verb: str,
        amount_micros: int,
        note: str,
        now_ns: int,
        *,
        actor: str = "",
    ) -> Entry:
        """What was done to a budget, or is to be told of it."""
        return Entry(
            at_ns=now_ns,
            verb=verb,
            budget_ids=(budget.budget_id,),
            hold_id="",
            platform="",
            request_id="",
            amount_micros=amount_micros,
            currency_code=budget.currency_code,
            note=printable(note),
            actor=actor,
            sequence=self._take((budget.budget_id,)),
        )

    def of_scope(self, scope: str, verb: str, note: str, now_ns: int, *, actor: str = "") -> Entry:
        """What was done to a scope, which need not have a budget."""
        known = self._scopes.knows(scope)
        return Entry(
            at_ns=now_ns,
            verb=verb,
            budget_ids=(scope,),
            hold_id="",
            platform="",
            request_id="",
            amount_micros=0,
            currency_code=self._scopes.budget(scope).currency_code if known else "",
            note=printable(note),
            actor=actor,
            sequence=self._take(self._scopes.budget_ids() if scope == ALL else (scope,)),
        )

    def of_condition(self, change: Change, now_ns: int) -> Entry:
        """What is to be told of something else than a budget."""
        return Entry(
            at_ns=now_ns,
            verb=change.verb,
            budget_ids=change.budget_ids,
            hold_id="",
            platform=change.subject.platform,
            request_id=change.subject.request_id,
            amount_micros=change.amount_micros,
            currency_code=change.currency_code,
            note=printable(change.note),
            actor=change.subject.caller,
            sequence=self._take(change.budget_ids),
        )

    def of_customer(self, customer: str, note: str, now_ns: int, *, actor: str = "") -> Entry:
        """That what told who a customer is was erased."""
        return Entry(
            at_ns=now_ns,
            verb="erase",
            budget_ids=(),
            hold_id="",
            platform="",
            request_id="",
            amount_micros=0,
            currency_code="",
            note=printable(note),
            actor=actor,
            customer=customer,
            sequence=self._take(()),
        )

    def of_platform(
        self, platform: str, verb: str, note: str, now_ns: int, *, actor: str = ""
    ) -> Entry:
        """What a platform is bound to."""
        return Entry(
            at_ns=now_ns,
            verb=verb,
            budget_ids=(),
            hold_id="",
            platform=platform,
            request_id="",
            amount_micros=0,
            currency_code="",
            note=printable(note),
            actor=actor,
            sequence=self._take(()),
        )

    def _take(self, budget_ids: tuple[str, ...]) -> int:
        sequence = self.next_sequence
        self.next_sequence += 1
        self._scopes.touch(budget_ids, sequence)
        return sequence
