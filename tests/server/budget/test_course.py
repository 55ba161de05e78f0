"""The steps of a chart: what was committed in the window, step by step, also before a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conformance.ledger.bench import USD, ask, budget

from smartconnectors_server.budget import Courses
from smartconnectors_server.budget.course import span_ns
from smartconnectors_server.clock import NANOS_PER_SECOND, ManualClock
from smartconnectors_server.ledger import CalendarWindow, SlidingWindow
from smartconnectors_server.ledger.sqlite import SqliteLedger

Commit = Callable[[str, int], Awaitable[None]]


def at(text: str) -> int:
    """Local time with its offset."""
    return int(datetime.fromisoformat(text).timestamp()) * NANOS_PER_SECOND


@pytest.fixture
async def ledger(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteLedger]:
    one = SqliteLedger(tmp_path, clock, gather_ms=1)
    await one.open([budget(), budget("meta")])
    yield one
    await one.close()


@pytest.fixture
def courses(ledger: SqliteLedger) -> Courses:
    one = Courses(ledger, ["google_ads", "meta"])
    one.begin()
    return one


@pytest.fixture
def commit(ledger: SqliteLedger, courses: Courses) -> Commit:
    async def one(request_id: str, amount_micros: int) -> None:
        hold = await ledger.reserve(ask(request_id, amount_micros))
        courses.settled(await ledger.settle(hold.hold_id))

    return one


async def test_what_is_committed_stands_in_the_last_step(courses: Courses, commit: Commit) -> None:
    await commit("a", 20 * USD)
    course = courses.of("google_ads")
    assert course.micros == (*[0] * 59, 20 * USD)
    assert (course.step_ns, course.steps) == (10 * NANOS_PER_SECOND, 60)
    assert sum(courses.of("meta").micros) == 0


async def test_steps_move_to_the_left_as_time_goes_by_until_they_are_gone(
    courses: Courses, commit: Commit, clock: ManualClock
) -> None:
    await commit("a", 20 * USD)
    clock.advance(50)
    await commit("b", 30 * USD)
    micros = courses.of("google_ads").micros
    assert (micros[-6], micros[-1]) == (20 * USD, 30 * USD)
    clock.advance(560)
    assert sum(courses.of("google_ads").micros) == 30 * USD
    clock.advance(60)
    assert sum(courses.of("google_ads").micros) == 0


async def test_what_was_committed_before_a_restart_is_recalled_and_counted_once(
    ledger: SqliteLedger, courses: Courses, commit: Commit, clock: ManualClock
) -> None:
    await commit("a", 20 * USD)
    clock.advance(30)
    again = Courses(ledger, ["google_ads"])
    again.begin()
    until_ns = ledger.now_ns()
    clock.advance(1)
    hold = await ledger.reserve(ask("b", 30 * USD))
    again.settled(await ledger.settle(hold.hold_id))
    await ledger.flush()
    await again.recall(until_ns)
    assert sum(again.of("google_ads").micros) == 50 * USD


@pytest.mark.parametrize(
    ("unit", "now", "begins", "ends"),
    [
        ("hour", "2026-11-29T08:31:15+05:30", "2026-11-29T08:00+05:30", "2026-11-29T09:00+05:30"),
        ("day", "2026-11-29T08:31:15+05:30", "2026-11-29T00:00+05:30", "2026-11-30T00:00+05:30"),
        ("month", "2026-02-28T23:59:59+05:30", "2026-02-01T00:00+05:30", "2026-03-01T00:00+05:30"),
        ("month", "2026-12-01T00:00:00+05:30", "2026-12-01T00:00+05:30", "2027-01-01T00:00+05:30"),
    ],
)
def test_a_calendar_window_begins_and_ends_with_its_unit(
    unit: str, now: str, begins: str, ends: str
) -> None:
    window = CalendarWindow(unit, "Asia/Kolkata")
    assert span_ns(window, at(now)) == (at(begins), at(ends))


@given(
    st.integers(1_577_836_800, 2_208_988_800),
    st.sampled_from(["hour", "day", "month"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]),
)
def test_a_window_holds_the_moment_that_it_is_asked_for(now_s: int, unit: str, zone: str) -> None:
    now_ns = now_s * NANOS_PER_SECOND
    begins_ns, ends_ns = span_ns(CalendarWindow(unit, zone), now_ns)
    assert begins_ns <= now_ns < ends_ns
    assert span_ns(SlidingWindow(600), now_ns) == (now_ns - 600 * NANOS_PER_SECOND, now_ns)
