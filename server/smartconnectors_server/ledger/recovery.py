"""What a store holds -> the book as it was when the last process ended, and what is to be said now.

What was held then may have been sent, so it is in doubt from here on.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.ledger.alerts import ALERT, ALERT_END
from smartconnectors_server.ledger.bindings import Binding
from smartconnectors_server.ledger.book import Book
from smartconnectors_server.ledger.configured import CONFIGURE, CONFIGURING, after
from smartconnectors_server.ledger.forgetting import kept_for_s
from smartconnectors_server.ledger.records import (
    Budget,
    Entry,
    HoldState,
    Pause,
    SlidingWindow,
    Step,
)
from smartconnectors_server.ledger.store import Store

_CALENDAR_SECONDS = {"hour": 3_600, "day": 86_400 + 3_600, "month": 32 * 86_400}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """A book that goes on, and the steps of it that are still to be made durable."""

    book: Book
    budgets: tuple[Budget, ...]
    """As operators last changed them."""
    longest_window_s: float
    steps: tuple[Step, ...]


def remembers_nothing(store: Store, budgets: Sequence[Budget], now_ns: int) -> bool:
    """True when no bid and no call is as young as anything that is forgotten with time, and nothing
    is open: then time may go on from elsewhere. Raises sqlite3.Error.
    """
    kept_s = kept_for_s(_longest_s(budgets))
    idle_ns = now_ns - store.last_activity_ns()
    return idle_ns > kept_s * NANOS_PER_SECOND and not store.open_holds()


def recover(
    store: Store, budgets: Sequence[Budget], now_ns: int, bindings: Sequence[Binding] = ()
) -> Recovered:
    """Rebuilds the book. Raises sqlite3.Error."""
    book = Book(first_sequence=store.last_sequence() + 1)
    for budget in budgets:
        book.configure(budget)
    opened = store.open_holds()
    # Campaigns that got a budget because they had none get it again, with what was committed.
    known = {*store.campaigns(), *(scope for hold in opened for scope in hold.budget_ids)}
    given = [b for b in budgets if b.budget_id in book.budget_ids()]
    given += book.lacking(sorted(known))
    effective = tuple(_as_operators_left_it(store, budget) for budget in given)
    for budget in effective:
        book.configure(budget)
    for scope, (_, paused) in store.limits().items():
        if paused:
            book.replay_pause(_pause_of(store, scope))
    for budget in effective:
        alert = _last(store, budget.budget_id, (ALERT, ALERT_END))
        if alert:
            book.replay_alert(budget.budget_id, alert[-1].note, alert[-1].at_ns)
        since_ns = now_ns - round(_length_s(budget) * NANOS_PER_SECOND)
        _warn_of_other_currencies(store, budget, since_ns)
        for at_ns, amount_micros in store.settled_since(budget.budget_id, since_ns):
            book.replay_settled(at_ns, amount_micros, (budget.budget_id,))
    places = {place for binding in bindings for place in binding.places}
    for hold in store.recent_settled():
        if not places or hold.place in places:  # other accounts' prices are no prices of these
            book.replay_hold(hold)
    for hold in opened:
        book.replay_hold(hold)
    steps = [
        book.record_configuration(budget.budget_id, now_ns)
        for budget in effective
        if _on_record(store, budget.budget_id) != budget
    ]
    note = "found held at start: it may have been sent"
    steps += [
        book.doubt(hold.hold_id, now_ns, note=note)
        for hold in opened
        if hold.state is HoldState.HELD
    ]
    steps.append(book.look_at_alerts(now_ns))
    return Recovered(book, effective, _longest_s(effective), tuple(steps))


def _longest_s(budgets: Sequence[Budget]) -> float:
    """The longest window of all budgets; 0: there is none."""
    return max((_length_s(budget) for budget in budgets), default=0.0)


def _length_s(budget: Budget) -> float:
    """The longest of a budget's windows."""
    return max(
        w.seconds if isinstance(w, SlidingWindow) else _CALENDAR_SECONDS[w.unit]
        for w in (limit.window for limit in budget.limits)
    )


def _warn_of_other_currencies(store: Store, budget: Budget, since_ns: int) -> None:
    """Says that a budget counts amounts which it cannot convert."""
    others = store.currencies_since(budget.budget_id, since_ns) - {budget.currency_code}
    if others:
        log.warning(
            "%s is in %s, but was committed to in %s inside its window; these amounts count "
            "number for number until they leave it",
            budget.budget_id,
            budget.currency_code,
            ", ".join(sorted(others)),
        )


def _as_operators_left_it(store: Store, budget: Budget) -> Budget:
    """The configured budget with the first limit and the pause that the ledger has."""
    changed = store.limits().get(budget.budget_id)
    if changed is None:
        return budget
    limit_micros, paused = changed
    limits = budget.limits
    if limit_micros is not None and limit_micros != limits[0].limit_micros:
        log.warning(
            "%s: the ledger says %d micros, the configuration %d; the ledger wins",
            budget.budget_id,
            limit_micros,
            limits[0].limit_micros,
        )
        first = dataclasses.replace(limits[0], limit_micros=limit_micros)
        limits = (first, *limits[1:])
    return dataclasses.replace(budget, limits=limits, paused=paused)


def _pause_of(store: Store, scope: str) -> Pause:
    """A pause, as the last line about it says it."""
    line = store.last_about(scope, "pause")
    return Pause(scope, "", 0) if line is None else Pause(scope, line.note, line.at_ns, line.actor)


def _on_record(store: Store, budget_id: str) -> Budget | None:
    """What the audit ledger says that a budget is configured to be."""
    recorded: Budget | None = None
    for line in _last(store, budget_id, CONFIGURING):
        if recorded is not None or line.verb == CONFIGURE:
            recorded = after(recorded, line)
    return recorded


def _last(store: Store, budget_id: str, verbs: Sequence[str]) -> list[Entry]:
    """The last line of each verb about a budget, oldest first."""
    found = (store.last_about(budget_id, verb) for verb in verbs)
    return sorted((line for line in found if line is not None), key=lambda line: line.sequence)
