"""The rules of the ledger, without storage: pure, synchronous, with the time handed in.

Every verb either raises and changes nothing, or changes everything it has to and returns a `Step`:
the holds and audit lines that a store must make durable together. One thread calls it, so each verb
is one atomic step.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from smartconnectors_server.ledger.alerts import ALERT
from smartconnectors_server.ledger.bindings import Binding
from smartconnectors_server.ledger.configured import CONFIGURE, described
from smartconnectors_server.ledger.erasing import erase_in, erased
from smartconnectors_server.ledger.figures import Figures
from smartconnectors_server.ledger.lines import Lines
from smartconnectors_server.ledger.prices import Prices
from smartconnectors_server.ledger.records import (
    OPEN_STATES,
    Budget,
    Hold,
    HoldState,
    Pause,
    RequestKey,
    Reservation,
    Step,
)
from smartconnectors_server.ledger.refusals import (
    DuplicateRequest,
    HoldNotOpen,
    TargetBlocked,
)
from smartconnectors_server.ledger.targets import TargetIndex
from smartconnectors_server.ledger.telling import Telling
from smartconnectors_server.plain_text import printable

REMEMBERED_CLOSED_HOLDS = 10_000
"""About 2 KiB each. An older one is read from the store when its request is sent again."""

_LATE_STATES = frozenset(
    {HoldState.RELEASED, HoldState.REJECTED, HoldState.EXPIRED, HoldState.SUPERSEDED}
)


class Book(Figures):
    """Budgets, holds and what is remembered of closed ones."""

    def __init__(self, *, first_sequence: int = 1) -> None:
        super().__init__()
        self._lines = Lines(first_sequence, self._scopes)
        self.telling = telling = Telling(self._scopes, self._lines, self._alerts)
        self._about, self._told = telling.about, telling.told
        self._open: dict[str, Hold] = {}
        self._closed: OrderedDict[str, Hold] = OrderedDict()
        self._by_request: dict[RequestKey, str] = {}
        self._targets = TargetIndex()
        self._prices = Prices()

    # Looking

    def open_holds(self, state: HoldState | None = None) -> tuple[Hold, ...]:
        """Open holds, oldest first."""
        return tuple(h for h in self._open.values() if state is None or h.state is state)

    def get(self, hold_id: str) -> Hold | None:
        """The hold, open or remembered."""
        return self._open.get(hold_id) or self._closed.get(hold_id)

    def find(self, platform: str, request_id: str, actor: str = "") -> Hold | None:
        """The hold that binds this caller's request id, if it is remembered here."""
        hold_id = self._by_request.get((platform, actor, request_id))
        return None if hold_id is None else self.get(hold_id)

    def remembers(self, platform: str, request_id: str) -> bool:
        """True when a caller with a price history is known here to have used this id. False: not
        known here.
        """
        return any(
            (platform, actor, request_id) in self._by_request
            for actor in self._prices.actors(platform)
        )

    def recent_settled(self, platform: str, actor: str | None = None) -> tuple[Hold, ...]:
        """The last settled holds of a caller, and of all callers without `actor`, that carry an LTV
        or an AI bid, oldest first.
        """
        return self._prices.of(platform, actor)

    # Configuring and recovering

    def configure(self, budget: Budget) -> None:
        """Adds a budget, empty. What was committed before is added by `replay_settled`."""
        self._scopes.configure(budget, self._lines.next_sequence - 1)

    def replay_settled(self, at_ns: int, amount_micros: int, budget_ids: Iterable[str]) -> None:
        """Enters an old commitment; called in the order of `at_ns`, before any other verb."""
        self._scopes.commit(at_ns, amount_micros, budget_ids)

    def replay_hold(self, hold: Hold) -> None:
        """Restores an open hold, or the memory of a settled one."""
        if hold.state.is_open:
            self._scopes.count_open(hold, +1)
            self._open[hold.hold_id] = hold
            self._by_request[hold.key] = hold.hold_id
            self._targets.add(hold)
        elif hold.state is HoldState.SETTLED:
            self._prices.add(hold)

    def replay_alert(self, budget_id: str, note: str, at_ns: int) -> None:
        """Restores what was told of a budget, from its last line about alerts."""
        self._alerts.restore(budget_id, note, at_ns)

    def recall(self, hold: Hold) -> None:
        """Remembers a closed hold again that was forgotten here but not by the store."""
        self._remember_closed(hold)

    def set_limit(
        self, budget_id: str, limit_micros: int, note: str, now_ns: int, *, actor: str = ""
    ) -> Step:
        """Changes the first limit. Raises KeyError."""
        before = self._alerts.before((budget_id,), now_ns)
        self._scopes.set_limit(budget_id, limit_micros)
        changed = self._about(budget_id, "limit", limit_micros, note, now_ns, actor=actor)
        return self._told([changed], before, now_ns)

    def replay_pause(self, pause: Pause) -> None:
        """Restores a pause."""
        self._scopes.pause(pause)

    def set_paused(
        self, scope: str, paused: bool, note: str, now_ns: int, *, actor: str = ""
    ) -> Step:
        """Pauses or resumes a scope: a budget, a campaign without one, or ALL."""
        if paused:
            self._scopes.pause(Pause(scope, printable(note), now_ns, actor))
        else:
            self._scopes.resume(scope)
        verb = "pause" if paused else "resume"
        return Step((), (self._lines.of_scope(scope, verb, note, now_ns, actor=actor),))

    def record_campaign(
        self, scope: str, verb: str, note: str, now_ns: int, *, actor: str = ""
    ) -> Step:
        """Puts on record what was done to a campaign at its platform."""
        return Step((), (self._lines.of_scope(scope, verb, note, now_ns, actor=actor),))

    def record_configuration(self, budget_id: str, now_ns: int) -> Step:
        """Puts on record what the budget is configured to be. Raises KeyError."""
        budget = self._scopes.budget(budget_id)
        most_micros, note = budget.limits[0].limit_micros, described(budget)
        return self._about(budget_id, CONFIGURE, most_micros, note, now_ns)

    def record_binding(self, binding: Binding, verb: str, now_ns: int, *, actor: str = "") -> Step:
        """Puts on record what a platform is bound to."""
        note = binding.described()
        line = self._lines.of_platform(binding.platform, verb, note, now_ns, actor=actor)
        return Step((), (line,))

    def look_at_alerts(self, now_ns: int) -> Step:
        """What is to be told of all budgets, though nothing but time and settings has changed."""
        budget_ids = self._scopes.budget_ids()
        return self._told([], self._alerts.before(budget_ids, now_ns), now_ns, budget_ids)

    def look_at_standing(self, now_ns: int) -> Step:
        """The same of the budgets of which a level stands: it may have ended with time."""
        budget_ids = self._alerts.standing_ids()
        return self._told([], self._alerts.before(budget_ids, now_ns), now_ns, budget_ids)

    def tell_over(
        self, budget_id: str, platform: str, spend_micros: int, note: str, now_ns: int
    ) -> Step:
        """That a platform reports more than was committed. Raises KeyError."""
        step = self._about(budget_id, ALERT, spend_micros, note, now_ns)
        return Step((), tuple(dataclasses.replace(e, platform=platform) for e in step.entries))

    def erase(self, customer: str) -> Step:
        """Takes out of holds what tells who a customer is: now, or of open ones when they close."""
        return erase_in(customer, self._open, self._closed, self._prices)

    def record_erasure(self, customer: str, note: str, now_ns: int, *, actor: str = "") -> Step:
        """Puts an erasure on record."""
        return Step((), (self._lines.of_customer(customer, note, now_ns, actor=actor),))

    # The verbs

    def check(self, asked: Reservation, now_ns: int) -> Hold | None:
        """Raises what `reserve` would raise, and changes nothing.

        Returns the older deferred hold whose place this one would take, if there is one.
        """
        if asked.defer_until_ns is None:
            self._check_target(asked.platform, asked.target)
        older_id = self._targets.deferred_beside(asked)
        older = None if older_id is None else self._open[older_id]
        if not asked.exempt:
            lacking = self._scopes.lacking(asked.budget_ids)
            with self._scopes.supposing(lacking, self._lines.next_sequence):
                self._scopes.check_fits(asked, older, now_ns)
        return older

    def reserve(self, asked: Reservation, now_ns: int) -> Step:
        """Admits and holds in every scope, or raises and changes nothing."""
        known = self.find(asked.platform, asked.request_id, asked.actor)
        if known is not None:
            raise DuplicateRequest(known)
        deferring = asked.defer_until_ns is not None
        older = self.check(asked, now_ns)
        steps = []
        for budget in self._scopes.lacking(asked.budget_ids):
            self.configure(budget)
            steps.append(self.record_configuration(budget.budget_id, now_ns))
        before = self._alerts.before(asked.budget_ids, now_ns)
        if older is not None:
            steps.append(self._supersede(older, asked, now_ns))
        hold = Hold.begun(asked, f"h{self._lines.next_sequence:012d}", now_ns)
        self._open[hold.hold_id] = hold
        self._by_request[hold.key] = hold.hold_id
        self._scopes.count_open(hold, +1)
        self._targets.add(hold)
        verb = "defer" if deferring else "reserve"
        entry = self._lines.of_hold(hold, verb, now_ns, asked.actor)
        return self._told([*steps, Step((hold,), (entry,))], before, now_ns)

    def settle(
        self,
        hold_id: str,
        now_ns: int,
        *,
        answer: bytes = b"",
        note: str = "",
        late: bool = False,
        actor: str = "",
    ) -> Step:
        """Commits the full amount at `now_ns`."""
        hold = self.get(hold_id)
        allowed = _LATE_STATES if late else {HoldState.HELD, HoldState.IN_DOUBT}
        if hold is None or hold.state not in allowed:
            raise HoldNotOpen(hold, hold_id)
        before = self._alerts.before(hold.counts_in, now_ns)
        self._scopes.commit(now_ns, hold.amount_micros, hold.counts_in)
        verb = "settle_late" if late else "settle"
        step = self._close(
            hold, HoldState.SETTLED, verb, now_ns, answer=answer, note=note, actor=actor
        )
        # A later attempt under the same request id keeps the id.
        self._by_request.setdefault(hold.key, hold_id)
        self._prices.add(step.hold)
        return self._told([step], before, now_ns)

    def release(
        self,
        hold_id: str,
        state: HoldState,
        now_ns: int,
        *,
        answer: bytes = b"",
        error: str = "",
        note: str = "",
        actor: str = "",
    ) -> Step:
        """Gives the amount back."""
        hold = self._open_hold(hold_id, OPEN_STATES)
        verb = {
            HoldState.RELEASED: "release",
            HoldState.REJECTED: "reject",
            HoldState.EXPIRED: "expire",
            HoldState.SUPERSEDED: "supersede",
        }[state]
        before = self._alerts.before(hold.counts_in, now_ns)
        step = self._close(
            hold, state, verb, now_ns, answer=answer, error=error, note=note, actor=actor
        )
        return self._told([step], before, now_ns)

    def defer(
        self,
        hold_id: str,
        now_ns: int,
        *,
        amount_micros: int,
        until_ns: int,
        source: str,
        uncapped_micros: int,
        note: str,
    ) -> Step:
        """A held hold becomes deferred, for at most what it held; superseded, when a newer one of
        its campaign is deferred on its target already.
        """
        hold = self._open_hold(hold_id, {HoldState.HELD})
        if not 0 <= amount_micros <= hold.amount_micros:
            raise ValueError(f"a hold of {hold.amount_micros} cannot become {amount_micros}")
        before = self._alerts.before(hold.counts_in, now_ns)
        steps = []
        waiting_id = self._targets.deferred_beside(hold)
        if waiting_id is not None:
            waiting = self._open[waiting_id]
            if waiting_id > hold_id:  # ids grow: it came while this one was tried
                step = self._supersede(hold, waiting, now_ns)
                return self._told([step], before, now_ns)
            steps.append(self._supersede(waiting, hold, now_ns))
        changed = dataclasses.replace(
            hold,
            state=HoldState.DEFERRED,
            amount_micros=amount_micros,
            expires_ns=until_ns,
            source=source,
            uncapped_micros=uncapped_micros,
            note=printable(note),
            updated_ns=now_ns,
            dispatched_ns=0,
        )
        steps.append(self._move(hold, changed, "defer", now_ns))
        return self._told(steps, before, now_ns)

    def dispatch(
        self, hold_id: str, now_ns: int, *, target: str, before: str, actor: str = ""
    ) -> Step:
        """A deferred hold becomes held, about to be sent."""
        hold = self._open_hold(hold_id, {HoldState.DEFERRED})
        self._check_target(hold.platform, target)
        if hold.amount_micros:
            self._scopes.check_paused(hold.counts_in)
        changed = dataclasses.replace(
            hold,
            state=HoldState.HELD,
            target=target,
            before=before,
            updated_ns=now_ns,
            dispatched_ns=now_ns,
        )
        return self._move(hold, changed, "dispatch", now_ns, actor)

    def doubt(self, hold_id: str, now_ns: int, *, error: str = "", note: str = "") -> Step:
        """A held hold becomes in doubt."""
        hold = self._open_hold(hold_id, {HoldState.HELD})
        changed = dataclasses.replace(
            hold,
            state=HoldState.IN_DOUBT,
            error=error,
            note=printable(note),
            updated_ns=now_ns,
        )
        return self._move(hold, changed, "doubt", now_ns)

    def veto(self, budget_ids: Sequence[str], now_ns: int) -> None:
        """Counts a refusal."""
        self._scopes.veto(budget_ids, now_ns, self._lines.next_sequence)

    # Parts

    def _check_target(self, platform: str, target: str) -> None:
        blocking = self._targets.in_doubt_on(platform, target)
        if blocking is not None:
            raise TargetBlocked(self._open[blocking])

    def _open_hold(self, hold_id: str, states: Iterable[HoldState]) -> Hold:
        hold = self._open.get(hold_id)
        if hold is None or hold.state not in states:
            raise HoldNotOpen(self.get(hold_id), hold_id)
        return hold

    def _supersede(self, older: Hold, newer: Hold | Reservation, now_ns: int) -> Step:
        """The older one's caller reads the note, and another caller's request id is not for it."""
        note = "a newer bid of another caller took its place"
        if newer.actor == older.actor:
            note = f"a newer bid took its place: {newer.request_id}"
        return self._close(older, HoldState.SUPERSEDED, "supersede", now_ns, note=note)

    def _close(
        self,
        hold: Hold,
        state: HoldState,
        verb: str,
        now_ns: int,
        *,
        answer: bytes = b"",
        error: str = "",
        note: str = "",
        actor: str = "",
    ) -> Step:
        changed = dataclasses.replace(
            hold,
            state=state,
            answer=answer,
            error=error,
            note=printable(note) or hold.note,
            updated_ns=now_ns,
        )
        return self._move(hold, changed, verb, now_ns, actor)

    def _move(self, hold: Hold, changed: Hold, verb: str, now_ns: int, actor: str = "") -> Step:
        """Replaces `hold` by `changed` in every index and sum."""
        if hold.state.is_open:
            self._targets.remove(hold)
            self._scopes.count_open(hold, -1)
        self._closed.pop(hold.hold_id, None)
        line = self._lines.of_hold(changed, verb, now_ns, actor)
        if hold.erase and not changed.state.is_open:
            changed = erased(changed)
        if changed.state.is_open:
            self._open[changed.hold_id] = changed
            self._scopes.count_open(changed, +1)
            self._targets.add(changed)
        else:
            self._open.pop(changed.hold_id, None)
            self._remember_closed(changed)
        return Step((changed,), (line,))

    def _remember_closed(self, hold: Hold) -> None:
        self._closed[hold.hold_id] = hold
        key = hold.key
        if hold.state is HoldState.RELEASED and self._by_request.get(key) == hold.hold_id:
            del self._by_request[key]
        while len(self._closed) > REMEMBERED_CLOSED_HOLDS:
            old_id, old = self._closed.popitem(last=False)
            if self._by_request.get(old.key) == old_id:
                del self._by_request[old.key]
