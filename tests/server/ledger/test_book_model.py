"""The rules of the ledger against the model, after every step of every life Hypothesis invents."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.server.ledger.model import Model, bucket_ns, campaigns_in, counts_in

from smartconnectors_server.ledger import (
    ALL,
    Budget,
    CalendarWindow,
    DuplicateRequest,
    Hold,
    HoldNotOpen,
    HoldState,
    Limit,
    Pause,
    Paused,
    Refused,
    Reservation,
    SlidingWindow,
    TargetBlocked,
)
from smartconnectors_server.ledger.book import Book
from smartconnectors_server.ledger.records import Step

PLATFORM, CAMPAIGN, TOTAL = SCOPES = ("meta", "meta/campaigns/1", "total")
BARE = "meta/campaigns/2"
"""A campaign without a budget."""
PAUSABLE = (*SCOPES, BARE, ALL)
START_NS = 1_700_000_000 * 10**9
CLOSED = (HoldState.RELEASED, HoldState.REJECTED, HoldState.EXPIRED, HoldState.SUPERSEDED)
GIVEN_BACK = frozenset(CLOSED)

amounts = st.one_of(
    st.sampled_from([10, 20, 50]), st.integers(0, 60), st.sampled_from([1, 100, 101])
)
targets = st.sampled_from(["t1", "t2", "t3"])
scopes = st.sampled_from(
    [(PLATFORM,), (PLATFORM, TOTAL), SCOPES, (TOTAL, CAMPAIGN), (PLATFORM, BARE, TOTAL)]
)
# From inside a bucket to past every window.
pauses_ns = st.one_of(
    st.integers(0, 2_000_000),
    st.integers(0, 2 * 10**9),
    st.sampled_from([10**6, 10**9 - 1, 10 * 10**9, 60 * 10**9 - 1, 60 * 10**9, 3600 * 10**9]),
)


def budgets() -> dict[str, Budget]:
    return {
        PLATFORM: Budget(
            PLATFORM,
            "USD",
            (Limit(100, SlidingWindow(10.0)), Limit(150, SlidingWindow(60.0))),
        ),
        CAMPAIGN: Budget(CAMPAIGN, "USD", (Limit(80, SlidingWindow(10.0)),)),
        TOTAL: Budget(
            TOTAL, "USD", (Limit(120, SlidingWindow(30.0)), Limit(200, CalendarWindow("hour")))
        ),
    }


class BookAgainstModel(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.now_ns = START_NS
        self.book = Book()
        self.budgets = budgets()
        for budget in self.budgets.values():
            self.book.configure(budget)
        self.model = Model(
            {name: list(b.limits) for name, b in self.budgets.items()},
            dict.fromkeys(PAUSABLE, False),
        )
        self.asked = 0
        self.reserved = self.given_back = 0
        self.sequence = 0

    # What happens

    @rule(nanos=pauses_ns)
    def time_passes(self, nanos: int) -> None:
        self.now_ns += nanos

    @rule(
        amount=amounts,
        budget_ids=scopes,
        on=targets,
        kind=st.sampled_from(["live", "live", "deferred", "exempt"]),
    )
    def reserve(self, amount: int, budget_ids: tuple[str, ...], on: str, kind: str) -> None:
        self.asked += 1
        asked = Reservation(
            platform=PLATFORM,
            request_id=f"r{self.asked}",
            fingerprint="f",
            method="m",
            target=on,
            budget_ids=budget_ids,
            amount_micros=0 if kind == "exempt" else amount,
            currency_code="USD",
            source="ai",
            exempt=kind == "exempt",
            defer_until_ns=self.now_ns + 10**9 if kind == "deferred" else None,
        )
        older = self.model.deferred_on(on, budget_ids)
        before = copy.deepcopy(self.book)
        try:
            step = self.book.reserve(asked, self.now_ns)
        except Paused as error:
            self.check_paused(error)
        except TargetBlocked:
            assert kind != "deferred"
            assert self.model.in_doubt_on(on)
        except Refused as error:
            assert not self.fits(asked, older, late=True), "refused, though it fits"
            self.check_retry_time(before, asked, error)
        else:
            self.check_admission(asked, older)
            self.take(step)
            self.reserved += step.hold.amount_micros

    def check_paused(self, error: Paused) -> None:
        assert self.model.paused[error.pause.scope]

    def fits(self, asked: Reservation, older: Hold | None, *, late: bool) -> bool:
        return self.model.fits(asked.budget_ids, asked.amount_micros, older, self.now_ns, late=late)

    def check_admission(self, asked: Reservation, older: Hold | None) -> None:
        if asked.defer_until_ns is None:
            assert not self.model.in_doubt_on(asked.target), "sent to a target in doubt"
        if not asked.exempt:
            assert self.fits(asked, older, late=False), "admitted, though it does not fit"
            assert not any(self.model.paused[b] for b in (ALL, *asked.budget_ids))

    def check_retry_time(self, book: Book, asked: Reservation, error: Refused) -> None:
        """At the retry time it succeeds when nobody else acts, and before it does not."""
        if error.fits_at_ns is None:
            assert error.blocked_by in {"limit", "holds"}
            later_ns = self.now_ns + 10**15
            with pytest.raises(Refused):
                copy.deepcopy(book).check(asked, later_ns)
            return
        assert error.blocked_by == ""
        assert error.fits_at_ns > self.now_ns
        with pytest.raises(Refused):
            copy.deepcopy(book).check(asked, error.fits_at_ns - 1)
        book.check(asked, error.fits_at_ns)

    @rule(data=st.data(), late=st.booleans())
    def settle(self, data: st.DataObject, late: bool) -> None:
        hold = self.some_hold(data)
        allowed = GIVEN_BACK if late else {HoldState.HELD, HoldState.IN_DOUBT}
        step = self.verb(
            hold, allowed, lambda: self.book.settle(hold.hold_id, self.now_ns, late=late)
        )
        if step is not None:
            self.model.settled.append((self.now_ns, hold.amount_micros, hold.budget_ids))
            if late:
                self.given_back -= hold.amount_micros

    @rule(data=st.data(), state=st.sampled_from(CLOSED))
    def release(self, data: st.DataObject, state: HoldState) -> None:
        hold = self.some_hold(data)
        allowed = {HoldState.HELD, HoldState.DEFERRED, HoldState.IN_DOUBT}
        self.verb(hold, allowed, lambda: self.book.release(hold.hold_id, state, self.now_ns))

    @rule(data=st.data(), percent=st.sampled_from([0, 50, 100]))
    def defer(self, data: st.DataObject, percent: int) -> None:
        hold = self.some_hold(data)
        amount = hold.amount_micros * percent // 100
        step = self.verb(
            hold,
            {HoldState.HELD},
            lambda: self.book.defer(
                hold.hold_id,
                self.now_ns,
                amount_micros=amount,
                until_ns=self.now_ns + 10**9,
                source="fallback",
                uncapped_micros=0,
                note="",
            ),
        )
        if step is not None and step.hold.state is HoldState.DEFERRED:
            self.given_back += hold.amount_micros - amount

    @rule(data=st.data(), on=targets)
    def dispatch(self, data: st.DataObject, on: str) -> None:
        hold = self.some_hold(data)
        try:
            step = self.verb(
                hold,
                {HoldState.DEFERRED},
                lambda: self.book.dispatch(hold.hold_id, self.now_ns, target=on, before=""),
            )
        except TargetBlocked:
            assert self.model.in_doubt_on(on)
        except Paused as error:
            self.check_paused(error)
        else:
            assert step is None or not self.model.in_doubt_on(on)
            paused = any(self.model.paused[b] for b in (ALL, TOTAL, *hold.budget_ids))
            assert step is None or not hold.amount_micros or not paused

    @rule(data=st.data())
    def doubt(self, data: st.DataObject) -> None:
        hold = self.some_hold(data)
        self.verb(hold, {HoldState.HELD}, lambda: self.book.doubt(hold.hold_id, self.now_ns))

    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        hold = self.some_hold(data)
        asked = Reservation(
            PLATFORM, hold.request_id, "f", "m", "t9", (TOTAL,), 0, "USD", "ai", exempt=True
        )
        if hold.state is not HoldState.RELEASED:
            with pytest.raises(DuplicateRequest):
                self.book.reserve(asked, self.now_ns)

    @rule(budget_id=st.sampled_from(SCOPES), limit=st.sampled_from([100, 140, 50, 0]))
    def change_the_limit(self, budget_id: str, limit: int) -> None:
        self.take(self.book.set_limit(budget_id, limit, "", self.now_ns))
        first, *rest = self.model.limits[budget_id]
        self.model.limits[budget_id] = [dataclasses.replace(first, limit_micros=limit), *rest]

    @rule(scope=st.sampled_from(PAUSABLE), paused=st.sampled_from([False, False, False, True]))
    def pause_or_resume(self, scope: str, paused: bool) -> None:
        self.take(self.book.set_paused(scope, paused, "", self.now_ns))
        self.model.paused[scope] = paused

    @rule()
    def restart(self) -> None:
        """As a store does it: budgets, then what was settled, then open holds."""
        self.book = Book(first_sequence=self.sequence + 1)
        for budget_id in SCOPES:
            as_left = dataclasses.replace(
                self.budgets[budget_id],
                limits=tuple(self.model.limits[budget_id]),
                paused=self.model.paused[budget_id],
            )
            self.book.configure(as_left)
            for at_ns, amount, budget_ids in self.model.settled:
                if counts_in(budget_id, budget_ids):
                    self.book.replay_settled(at_ns, amount, (budget_id,))
        for scope in (BARE, ALL):
            if self.model.paused[scope]:
                self.book.replay_pause(Pause(scope, "", self.now_ns))
        for hold in self.model.holds.values():
            if hold.state.is_open:
                self.book.replay_hold(hold)
            else:
                self.book.recall(hold)
                if hold.state is not HoldState.RELEASED:
                    self.book._by_request[hold.key] = hold.hold_id
        for hold in self.book.open_holds(HoldState.HELD):
            self.take(self.book.doubt(hold.hold_id, self.now_ns))

    # What must be so after every step

    @invariant()
    def the_sums_are_those_of_the_model(self) -> None:
        for budget_id in SCOPES:
            state = self.book.state(budget_id, self.now_ns)
            assert state.held_micros == self.model.open(budget_id, {HoldState.HELD})
            assert state.deferred_micros == self.model.open(budget_id, {HoldState.DEFERRED})
            assert state.in_doubt_micros == self.model.open(budget_id, {HoldState.IN_DOUBT})
            for limit, said in zip(self.model.limits[budget_id], state.limits, strict=True):
                assert said.limit == limit
                exact = self.model.committed(budget_id, limit, self.now_ns)
                late = self.model.committed(budget_id, limit, self.now_ns, bucket_ns(limit))
                assert exact <= said.committed_micros <= late

    @invariant()
    def what_was_reserved_is_settled_given_back_or_open(self) -> None:
        still_open = sum(h.amount_micros for h in self.book.open_holds())
        settled = sum(amount for _, amount, _ in self.model.settled)
        assert self.reserved == settled + self.given_back + still_open

    @invariant()
    def one_bid_at_most_of_each_campaign_is_deferred_on_a_target(self) -> None:
        waiting = self.book.open_holds(HoldState.DEFERRED)
        deferred = [(h.target, *campaigns_in(h.budget_ids)) for h in waiting]
        assert len(deferred) == len(set(deferred))

    # Parts

    def some_hold(self, data: st.DataObject) -> Hold:
        if not self.model.holds:
            return Hold("h0", PLATFORM, "r0", "", "", "", (), 0, "", "", HoldState.RELEASED, 0, 0)
        hold_id = data.draw(st.sampled_from(sorted(self.model.holds)))
        return self.model.holds[hold_id]

    def verb(self, hold: Hold, allowed: object, act: Callable[[], Step]) -> Step | None:
        """Does it, or sees it refused because the hold is in another state."""
        assert isinstance(allowed, set | frozenset)
        known = hold.hold_id in self.model.holds
        if known and hold.state in allowed:
            step = act()
            self.take(step)
            return step
        with pytest.raises(HoldNotOpen):
            act()
        return None

    def take(self, step: Step) -> None:
        """What the step says it changed is what the model knows from now on."""
        for hold in step.holds:
            before = self.model.holds.get(hold.hold_id)
            if before is not None and before.state.is_open and hold.state in GIVEN_BACK:
                self.given_back += before.amount_micros
            self.model.holds[hold.hold_id] = hold
        for entry in step.entries:
            assert entry.sequence > self.sequence
            self.sequence = entry.sequence


BookAgainstModel.TestCase.settings = settings(
    max_examples=max(250, settings().max_examples),
    stateful_step_count=60,
    # For the mutation table it matters that it fails, not how shortly that can be shown.
    phases=[Phase.generate] if "MUTANT" in os.environ else settings().phases,
)
TestBookAgainstModel = BookAgainstModel.TestCase
