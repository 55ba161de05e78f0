"""A read may show that a platform is sick, never that its changes are well."""

from __future__ import annotations

from smartconnectors_server.circuitbreaker import BreakerSettings, CircuitBreaker, State
from smartconnectors_server.clock import ManualClock


def test_a_good_read_between_bad_changes_does_not_hide_them(clock: ManualClock) -> None:
    breaker = CircuitBreaker(BreakerSettings(), clock)
    for _ in range(3):
        breaker.acquire().succeed_as_read()
        breaker.acquire().fail()
    assert breaker.state is State.OPEN


def test_good_reads_alone_do_not_close_a_half_open_breaker(clock: ManualClock) -> None:
    breaker = CircuitBreaker(BreakerSettings(open_s=30.0), clock)
    for _ in range(3):
        breaker.acquire().fail()
    clock.advance(30.0)
    for _ in range(5):
        breaker.acquire().succeed_as_read()
    assert breaker.state is State.HALF_OPEN


def test_slow_reads_count_as_bad(clock: ManualClock) -> None:
    breaker = CircuitBreaker(BreakerSettings(slow_call_ms=500), clock)
    for _ in range(3):
        permit = breaker.acquire()
        clock.advance(0.501)
        permit.succeed_as_read()
    assert breaker.state is State.OPEN
