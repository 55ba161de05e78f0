"""The breaker against a model that follows time step by step instead of catching up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from smartconnectors_server.circuitbreaker import (
    BreakerSettings,
    CircuitBreaker,
    CircuitOpen,
    Permit,
    State,
)
from smartconnectors_server.clock import ManualClock

SETTINGS = BreakerSettings(
    failure_threshold=3,
    slow_call_ms=5,
    open_s=0.02,
    half_open_probes=2,
    close_after_successes=3,
    permit_max_age_s=0.03,
)


@dataclass(eq=False)
class Ticket:
    """A permit as the model sees it. Times in milliseconds."""

    permit: Permit
    epoch: int
    taken_ms: int
    start_ms: int
    spent: bool = False


@dataclass
class Model:
    state: State = State.CLOSED
    epoch: int = 0
    now_ms: int = 0
    opened_ms: int = 0
    bad: int = 0
    good: int = 0
    probes: list[Ticket] = field(default_factory=list)
    changes: list[State] = field(default_factory=list)

    def become(self, state: State) -> None:
        self.state = state
        self.epoch += 1
        self.bad = self.good = 0
        self.probes = []
        self.changes.append(state)
        if state is State.OPEN:
            self.opened_ms = self.now_ms

    def tick(self) -> None:
        self.now_ms += 1
        if self.state is State.OPEN and self.now_ms - self.opened_ms == 20:
            self.become(State.HALF_OPEN)
        elif any(self.now_ms - ticket.taken_ms == 30 for ticket in self.probes):
            self.become(State.OPEN)

    def admits(self) -> bool:
        return self.state is State.CLOSED or (
            self.state is State.HALF_OPEN and len(self.probes) < 2
        )

    def end(self, ticket: Ticket, how: str) -> None:
        if ticket.spent:
            return
        ticket.spent = True
        if ticket in self.probes:
            self.probes.remove(ticket)
        if ticket.epoch != self.epoch or how == "release":
            return
        if how == "fail" or self.now_ms - ticket.start_ms > 5:
            self.bad += 1
            if self.state is State.HALF_OPEN or self.bad == 3:
                self.become(State.OPEN)
        elif how != "succeed_as_read":
            self.bad = 0
            self.good += 1
            if self.state is State.HALF_OPEN and self.good == 3:
                self.become(State.CLOSED)


class BreakerAgainstModel(RuleBasedStateMachine):
    tickets: Bundle[Ticket] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.changes: list[State] = []
        self.breaker = CircuitBreaker(SETTINGS, self.clock, lambda _, new: self.changes.append(new))
        self.model = Model()

    @rule(milliseconds=st.sampled_from([1, 4, 5, 6, 19, 20, 21, 30, 90]))
    def time_passes(self, milliseconds: int) -> None:
        self.clock.advance_ns(milliseconds * 1_000_000)
        for _ in range(milliseconds):
            self.model.tick()

    @rule(target=tickets)
    def acquire(self) -> Ticket:
        model = self.model
        if not model.admits():
            with pytest.raises(CircuitOpen) as refused:
                self.breaker.acquire()
            assert refused.value.retry_after_s > 0
            spent = CircuitBreaker(SETTINGS, self.clock).acquire()
            spent.release()
            return Ticket(spent, -1, model.now_ms, model.now_ms, spent=True)
        ticket = Ticket(self.breaker.acquire(), model.epoch, model.now_ms, model.now_ms)
        if model.state is State.HALF_OPEN:
            model.probes.append(ticket)
        return ticket

    @rule(
        ticket=tickets,
        how=st.sampled_from(["succeed", "succeed", "succeed_as_read", "fail", "release"]),
    )
    def end(self, ticket: Ticket, how: str) -> None:
        getattr(ticket.permit, how)()
        self.model.end(ticket, how)

    @rule(
        how=st.sampled_from(["succeed", "succeed_as_read", "fail"]),
        times=st.integers(1, 3),
        lasting_ms=st.sampled_from([0, 5, 6]),
    )
    def call_several_times(self, how: str, times: int, lasting_ms: int) -> None:
        for _ in range(times):
            ticket = self.acquire()
            self.time_passes(lasting_ms)
            self.end(ticket, how)

    @rule(then_ms=st.sampled_from([0, 1, 29, 30, 31]))
    def open_and_wait_for_probes(self, then_ms: int) -> None:
        self.call_several_times("fail", 3, 0)
        self.time_passes(20)
        self.acquire()
        self.time_passes(then_ms)

    @rule(ticket=tickets)
    def restart(self, ticket: Ticket) -> None:
        ticket.permit.restart()
        ticket.start_ms = self.model.now_ms

    @rule()
    def look(self) -> None:
        """Looking brings the breaker up to date, so it is a step of its own: it must not matter
        whether anybody looked.
        """
        model = self.model
        assert self.breaker.state is model.state
        assert self.breaker.would_admit() == model.admits()
        assert self.changes == model.changes
        assert self.breaker.open_count == model.changes.count(State.OPEN)
        if model.state is State.OPEN:
            waiting_ms = 20 - (model.now_ms - model.opened_ms)
            assert round(self.breaker.retry_after_s() * 1000) == waiting_ms

    @invariant()
    def never_more_probes_than_allowed(self) -> None:
        assert len(self.breaker._probes) <= SETTINGS.half_open_probes

    def teardown(self) -> None:
        self.look()


TestBreakerAgainstModel = BreakerAgainstModel.TestCase
