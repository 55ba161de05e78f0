"""What the circuit breaker promises, one sentence at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smartconnectors_server.circuitbreaker import (
    BreakerSettings,
    CircuitBreaker,
    CircuitOpen,
    Permit,
    State,
)
from smartconnectors_server.clock import ManualClock

SLOW_S = 0.501


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(BreakerSettings(), clock)


def stands(breaker: CircuitBreaker, state: State) -> bool:
    return breaker.state is state


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.acquire().fail()


def succeed_after(breaker: CircuitBreaker, clock: ManualClock, seconds: float) -> None:
    permit = breaker.acquire()
    clock.advance(seconds)
    permit.succeed()


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    fail(breaker, 3)
    assert stands(breaker, State.OPEN)
    return breaker


def half_open(breaker: CircuitBreaker, clock: ManualClock) -> CircuitBreaker:
    opened(breaker)
    clock.advance(30.0)
    assert stands(breaker, State.HALF_OPEN)
    return breaker


def test_three_failures_in_a_row_open_it(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert stands(breaker, State.CLOSED)
    assert breaker.bad_in_a_row == 2
    fail(breaker)
    assert stands(breaker, State.OPEN)
    assert breaker.open_count == 1
    with pytest.raises(CircuitOpen, match=r"open for another 30\.000 s") as refused:
        breaker.acquire()
    assert refused.value.retry_after_s == 30.0


def test_three_slow_calls_in_a_row_open_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    for _ in range(3):
        succeed_after(breaker, clock, SLOW_S)
    assert stands(breaker, State.OPEN)


def test_slow_calls_and_failures_count_together(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    succeed_after(breaker, clock, SLOW_S)
    fail(breaker)
    assert stands(breaker, State.OPEN)


def test_a_call_of_exactly_the_limit_is_not_slow(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    for _ in range(10):
        succeed_after(breaker, clock, 0.5)
    assert stands(breaker, State.CLOSED)


def test_one_good_call_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.acquire().succeed()
    fail(breaker, 2)
    assert stands(breaker, State.CLOSED)


def test_a_call_is_timed_from_its_restart_not_from_its_permit(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    for _ in range(3):
        permit = breaker.acquire()
        clock.advance(10.0)
        permit.restart()
        clock.advance(0.4)
        permit.succeed()
    assert stands(breaker, State.CLOSED)


def test_a_released_permit_says_nothing_of_the_platform(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.acquire().release()
    assert breaker.bad_in_a_row == 2
    for _ in range(10):
        breaker.acquire().release()
    assert stands(breaker, State.CLOSED)


def test_it_stays_open_for_its_time_to_the_nanosecond(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    opened(breaker)
    clock.advance_ns(30 * 10**9 - 1)
    assert stands(breaker, State.OPEN)
    assert not breaker.would_admit()
    assert breaker.retry_after_s() == pytest.approx(1e-9)
    clock.advance_ns(1)
    assert stands(breaker, State.HALF_OPEN)
    assert breaker.would_admit()
    assert breaker.retry_after_s() == 0.0


def test_two_good_probes_close_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    half_open(breaker, clock)
    breaker.acquire().succeed()
    assert stands(breaker, State.HALF_OPEN)
    breaker.acquire().succeed()
    assert stands(breaker, State.CLOSED)
    fail(breaker, 2)
    assert stands(breaker, State.CLOSED)


def test_one_failed_probe_opens_it_for_the_whole_time_again(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    half_open(breaker, clock)
    breaker.acquire().succeed()
    breaker.acquire().fail()
    assert stands(breaker, State.OPEN)
    assert breaker.retry_after_s() == 30.0
    assert breaker.open_count == 2
    clock.advance(30.0)
    breaker.acquire().succeed()
    assert stands(breaker, State.HALF_OPEN), "the probe before the failure no longer counts"


def test_one_slow_probe_opens_it_again(breaker: CircuitBreaker, clock: ManualClock) -> None:
    half_open(breaker, clock)
    succeed_after(breaker, clock, SLOW_S)
    assert stands(breaker, State.OPEN)


def test_only_so_many_probes_are_under_way_at_once(clock: ManualClock) -> None:
    breaker = CircuitBreaker(BreakerSettings(half_open_probes=2, close_after_successes=3), clock)
    half_open(breaker, clock)
    first, second = breaker.acquire(), breaker.acquire()
    clock.advance(0.1)
    assert not breaker.would_admit()
    with pytest.raises(CircuitOpen) as refused:
        breaker.acquire()
    assert refused.value.retry_after_s == 0.4, "by then the oldest probe is back or slow"
    first.succeed()
    third = breaker.acquire()
    with pytest.raises(CircuitOpen):
        breaker.acquire()
    second.release()
    third.succeed()
    breaker.acquire().succeed()
    assert stands(breaker, State.CLOSED)


def test_a_released_probe_comes_back_and_proves_nothing(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    half_open(breaker, clock)
    for _ in range(5):
        breaker.acquire().release()
    assert stands(breaker, State.HALF_OPEN)
    assert breaker.would_admit()


@pytest.mark.parametrize("end", [Permit.succeed, Permit.fail, Permit.release])
def test_only_the_first_word_of_a_permit_counts(
    breaker: CircuitBreaker, clock: ManualClock, end: object
) -> None:
    permit = breaker.acquire()
    permit.release()
    for _ in range(5):
        assert callable(end)
        end(permit)
        permit.fail()
    assert stands(breaker, State.CLOSED)
    assert breaker.bad_in_a_row == 0


@pytest.mark.parametrize("first", [Permit.succeed, Permit.succeed_as_read, Permit.fail])
def test_a_permit_that_has_spoken_says_no_more(
    breaker: CircuitBreaker, first: Callable[[Permit], None]
) -> None:
    permit = breaker.acquire()
    first(permit)
    heard = breaker.bad_in_a_row
    for _ in range(5):
        permit.fail()
    assert stands(breaker, State.CLOSED)
    assert breaker.bad_in_a_row == heard


def test_a_permit_carries_how_often_the_state_had_changed(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    assert breaker.acquire().generation == 0
    half_open(breaker, clock)
    assert breaker.acquire().generation == 2


def test_results_of_an_earlier_state_are_ignored(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    late_good, late_bad, late_nothing = (breaker.acquire() for _ in range(3))
    half_open(breaker, clock)
    probe = breaker.acquire()
    late_bad.fail()
    assert stands(breaker, State.HALF_OPEN)
    late_good.succeed()
    late_nothing.release()
    assert not breaker.would_admit(), "the probe is still under way"
    probe.succeed()
    breaker.acquire().succeed()
    assert stands(breaker, State.CLOSED)


def test_calls_that_were_under_way_when_it_opened_do_not_open_it_again(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    permits = [breaker.acquire() for _ in range(10)]
    for permit in permits:
        clock.advance(0.01)
        permit.fail()
    assert breaker.open_count == 1
    assert breaker.retry_after_s() == pytest.approx(30.0 - 0.07)


def test_a_probe_that_never_comes_back_counts_as_failed_when_it_is_too_old(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    half_open(breaker, clock)
    lost = breaker.acquire()
    clock.advance_ns(60 * 10**9 - 1)
    assert stands(breaker, State.HALF_OPEN)
    clock.advance_ns(1)
    assert stands(breaker, State.OPEN)
    assert breaker.open_count == 2
    lost.succeed()
    assert stands(breaker, State.OPEN)
    clock.advance(30.0)
    assert breaker.would_admit()


def test_a_lost_probe_is_noticed_late_as_of_when_it_was_due(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    half_open(breaker, clock)
    breaker.acquire()
    clock.advance(60.0 + 29.0)
    assert breaker.retry_after_s() == pytest.approx(1.0)
    clock.advance(1.0)
    assert stands(breaker, State.HALF_OPEN)


def test_a_closed_breaker_waits_for_its_permits_for_ever(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    for _ in range(10):
        breaker.acquire()
    clock.advance(3600.0)
    assert stands(breaker, State.CLOSED)


def test_a_step_of_the_wall_clock_changes_nothing(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    opened(breaker)
    clock.step_wall(3600.0)
    assert stands(breaker, State.OPEN)
    clock.step_wall(-7200.0)
    clock.advance(30.0)
    assert stands(breaker, State.HALF_OPEN)


def test_every_change_is_told_once_and_the_new_state_is_there_to_be_read(
    clock: ManualClock,
) -> None:
    told: list[tuple[State, State]] = []

    def listen(old: State, new: State) -> None:
        assert stands(watched, new)
        told.append((old, new))

    watched = CircuitBreaker(BreakerSettings(), clock, listen)
    half_open(watched, clock)
    watched.acquire().succeed()
    watched.acquire().succeed()
    assert told == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
    ]


def test_when_it_opened_is_known_once_it_has(breaker: CircuitBreaker, clock: ManualClock) -> None:
    assert breaker.opened_at_ns is None
    clock.advance(5.0)
    opened(breaker)
    assert breaker.opened_at_ns == clock.monotonic_ns()


@pytest.mark.parametrize("name", BreakerSettings.__dataclass_fields__)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_settings_that_are_not_positive_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        BreakerSettings(**{name: value})  # type: ignore[arg-type] # one of them is wrong on purpose


def test_a_closed_breaker_admits_at_once(breaker: CircuitBreaker) -> None:
    assert breaker.would_admit()
    assert breaker.retry_after_s() == 0.0


def test_after_it_has_closed_it_takes_three_failures_again(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    half_open(breaker, clock)
    breaker.acquire().succeed()
    breaker.acquire().succeed()
    assert stands(breaker, State.CLOSED)
    fail(breaker, 3)
    assert stands(breaker, State.OPEN)


def test_after_a_good_call_it_takes_three_failures_again(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.acquire().succeed()
    fail(breaker, 3)
    assert stands(breaker, State.OPEN)


def test_the_first_call_after_its_time_is_a_probe_though_nobody_asked_before(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    opened(breaker)
    clock.advance(31.0)
    breaker.acquire()
    with pytest.raises(CircuitOpen):
        breaker.acquire()


def test_a_slow_probe_keeps_others_away_a_millisecond_at_a_time(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    half_open(breaker, clock)
    breaker.acquire()
    clock.advance(10.0)
    assert breaker.retry_after_s() == 0.001


def test_a_lost_probe_counts_as_an_opening_whoever_asks_first(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    half_open(breaker, clock)
    breaker.acquire()
    due_ns = clock.monotonic_ns() + 60 * 10**9
    clock.advance(61.0)
    assert breaker.opened_at_ns == due_ns
    clock.advance(29.0)
    breaker.acquire()
    clock.advance(61.0)
    assert breaker.open_count == 3


def test_a_lost_probe_that_comes_back_has_opened_it_when_it_was_due(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    half_open(breaker, clock)
    lost = breaker.acquire()
    clock.advance(61.0)
    lost.succeed()
    assert breaker.retry_after_s() == 29.0
