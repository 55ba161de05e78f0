"""Time: what money is counted in never runs backwards and never jumps while the server runs."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartconnectors_server.clock import NANOS_PER_SECOND, LedgerClock, ManualClock, SystemClock


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 10 * 365 * 86_400.0, -10 * 365 * 86_400.0])
def test_a_step_of_the_wall_clock_moves_ledger_time_neither_way(
    clock: ManualClock, step_s: float
) -> None:
    ledger = LedgerClock(clock)
    before = ledger.now_ns()
    clock.step_wall(step_s)
    assert ledger.now_ns() == before
    clock.advance(5.0)
    assert ledger.now_ns() == before + 5 * NANOS_PER_SECOND


def test_ledger_time_starts_at_the_wall_clock_when_nothing_is_persisted(clock: ManualClock) -> None:
    assert LedgerClock(clock).now_ns() == clock.wall_ns()


def test_a_restart_with_the_wall_clock_set_back_goes_on_where_the_ledger_was(
    clock: ManualClock,
) -> None:
    persisted = LedgerClock(clock).now_ns()
    clock.step_wall(-86_400.0)
    restarted = LedgerClock(clock, persisted)
    assert restarted.now_ns() == persisted
    clock.advance(1.0)
    assert restarted.now_ns() == persisted + NANOS_PER_SECOND


def test_a_restart_after_a_pause_counts_the_pause(clock: ManualClock) -> None:
    persisted = LedgerClock(clock).now_ns()
    clock.advance(600.0)
    assert LedgerClock(clock, persisted).now_ns() == persisted + 600 * NANOS_PER_SECOND


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("advance"), st.floats(0, 1e5)),
            st.tuples(st.just("step"), st.floats(-1e8, 1e8)),
            st.tuples(st.just("restart"), st.just(0.0)),
        )
    )
)
def test_ledger_time_never_runs_backwards_whatever_the_clocks_do(
    happenings: list[tuple[str, float]],
) -> None:
    clock = ManualClock()
    ledger = LedgerClock(clock)
    last = ledger.now_ns()
    for what, seconds in happenings:
        if what == "advance":
            clock.advance(seconds)
        elif what == "step":
            clock.step_wall(seconds)
        else:
            ledger = LedgerClock(clock, last)
        assert ledger.now_ns() >= last
        last = ledger.now_ns()


async def test_a_manual_clock_wakes_sleepers_in_the_order_of_their_time(clock: ManualClock) -> None:
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    tasks = [
        asyncio.create_task(sleeper(name, seconds))
        for name, seconds in (("late", 3.0), ("early", 1.0), ("also early", 1.0), ("never", 99.0))
    ]
    await asyncio.sleep(0)
    clock.advance(0.999)
    await asyncio.sleep(0)
    assert woken == []
    clock.advance(10.0)
    await asyncio.gather(*tasks[:3])
    assert woken == ["early", "also early", "late"]
    tasks[3].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[3]
    clock.advance(100.0)
    assert woken == ["early", "also early", "late"]


async def test_a_manual_clock_never_wakes_a_sleeper_before_its_time(clock: ManualClock) -> None:
    task = asyncio.create_task(clock.sleep(1.1))
    await asyncio.sleep(0)
    clock.advance_ns(1_100_000_000 - 1)
    await asyncio.sleep(0)
    assert not task.done()
    clock.advance_ns(1)
    await task


@pytest.mark.parametrize("seconds", [0.0, -1.0])
@pytest.mark.parametrize("clock", [ManualClock(), SystemClock()], ids=type)
async def test_no_time_to_sleep_is_no_sleep(
    clock: ManualClock | SystemClock, seconds: float
) -> None:
    await clock.sleep(seconds)


def test_the_systems_monotonic_clock_only_grows() -> None:
    clock = SystemClock()
    readings = [clock.monotonic_ns() for _ in range(1000)]
    assert readings == sorted(readings)


def test_the_systems_wall_clock_counts_from_the_epoch() -> None:
    assert SystemClock().wall_ns() > 1_700_000_000 * NANOS_PER_SECOND


def test_the_time_that_a_machine_is_awake_stands_still_while_it_is_suspended() -> None:
    clock = ManualClock()
    before_ns = clock.awake_ns()
    clock.advance(2)
    clock.suspend(3_600)
    assert clock.awake_ns() - before_ns == 2 * NANOS_PER_SECOND
    assert clock.monotonic_ns() - before_ns == 3_602 * NANOS_PER_SECOND
