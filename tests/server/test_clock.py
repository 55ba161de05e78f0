"""Time: what money is counted in never runs backwards and never jumps while the server runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Between:
    """What happens to the clocks between two lives that are 100 s apart."""

    wall_s: float = 0.0
    monotonic_s: float = 0.0
    reboots: bool = False
    passed_s: float = 100.0
    """What ledger time makes of it."""


@pytest.mark.parametrize("names_boots", [True, False], ids=["boot id", "no boot id"])
@pytest.mark.parametrize(
    "between",
    [
        pytest.param(Between(), id="nothing"),
        pytest.param(Between(wall_s=25), id="wall clock set forward"),
        pytest.param(Between(wall_s=-25, passed_s=75), id="wall clock set back a little"),
        pytest.param(Between(wall_s=-3600), id="wall clock set back by more than has passed"),
        pytest.param(Between(monotonic_s=3600), id="boot clock of another namespace, ahead"),
        pytest.param(Between(monotonic_s=-3600), id="boot clock of another namespace, behind"),
        pytest.param(Between(monotonic_s=-25, passed_s=75), id="boot clock a little behind"),
        pytest.param(
            Between(wall_s=-3600, monotonic_s=-3600, passed_s=0), id="both back: no time at all"
        ),
        pytest.param(Between(reboots=True), id="machine started again"),
        pytest.param(
            Between(reboots=True, wall_s=-3600, passed_s=0), id="machine started again in the past"
        ),
    ],
)
def test_between_two_lives_the_smaller_of_what_both_clocks_say_has_passed(
    between: Between, names_boots: bool
) -> None:
    clock = ManualClock(names_boots=names_boots)
    clock.advance(10_000.0)
    last = LedgerClock(clock).reading()
    clock.advance(100.0)
    if between.reboots:
        clock.reboot(away_s=0.0)
    clock.step_wall(between.wall_s)
    clock.step_monotonic(between.monotonic_s)
    restarted = LedgerClock(clock, last.ledger_ns, last)
    assert restarted.now_ns() - last.ledger_ns == round(between.passed_s * NANOS_PER_SECOND)


def test_the_latest_time_that_was_written_counts_also_when_the_clocks_say_less(
    clock: ManualClock,
) -> None:
    last = LedgerClock(clock).reading()
    clock.advance(1.0)
    ahead_ns = last.ledger_ns + 5 * NANOS_PER_SECOND
    assert LedgerClock(clock, ahead_ns, last).now_ns() == ahead_ns


def test_of_two_boots_with_names_the_monotonic_clock_says_nothing(clock: ManualClock) -> None:
    last = LedgerClock(clock).reading()
    clock.reboot(away_s=500.0)
    clock.step_monotonic(1.0)  # up for longer than the machine was at the reading
    assert LedgerClock(clock, 0, last).now_ns() - last.ledger_ns == 500 * NANOS_PER_SECOND


def test_a_boot_without_a_name_is_never_counted_for_longer_than_the_machine_runs() -> None:
    clock = ManualClock(names_boots=False)
    last = LedgerClock(clock).reading()
    clock.reboot(away_s=500.0)
    clock.step_monotonic(60.0)
    assert LedgerClock(clock, 0, last).now_ns() - last.ledger_ns == 60 * NANOS_PER_SECOND


def test_a_ledger_that_remembers_nothing_catches_up_with_the_wall_clock_and_never_goes_back(
    clock: ManualClock,
) -> None:
    ledger = LedgerClock(clock)
    clock.step_wall(3600.0)
    ledger.catch_up()
    assert ledger.now_ns() == clock.wall_ns()
    clock.step_wall(-3600.0)
    before_ns = ledger.now_ns()
    ledger.catch_up()
    assert ledger.now_ns() == before_ns


_CLOCK_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("advance", "step", "restart", "note")), st.floats(-1e6, 1e6), st.booleans()
    ),
    max_size=30,
)


@given(changes=_CLOCK_CHANGES, wall_is_honest=st.booleans(), names_boots=st.booleans())
def test_ledger_time_never_runs_ahead_of_real_time_while_one_of_the_clocks_is_honest(
    changes: list[tuple[str, float, bool]], wall_is_honest: bool, names_boots: bool
) -> None:
    """The monotonic clock is moved between two lives, the wall clock at any time; never both."""
    clock = ManualClock(names_boots=names_boots)
    ledger = LedgerClock(clock)
    began_ns, real_ns, last = ledger.now_ns(), 0, ledger.reading()
    for what, seconds, reboots in changes:
        if what == "advance":
            clock.advance_ns(nanos := round(abs(seconds) * NANOS_PER_SECOND))
            real_ns += nanos
        elif what == "note":
            last = ledger.reading()
        elif what == "step" and not wall_is_honest:
            clock.step_wall(seconds)
        elif what == "restart":
            if wall_is_honest and reboots:
                clock.reboot(away_s=abs(seconds))
                real_ns += round(abs(seconds) * NANOS_PER_SECOND)
            elif wall_is_honest:
                clock.step_monotonic(seconds)
            ledger = LedgerClock(clock, last.ledger_ns, last)
            last = ledger.reading()
        assert last.ledger_ns <= ledger.now_ns() <= began_ns + real_ns


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
            ledger = LedgerClock(clock, last, ledger.reading())
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


def test_a_boot_id_that_cannot_be_read_is_an_empty_one(tmp_path: Path) -> None:
    boot = tmp_path / "boot_id"
    assert SystemClock(boot).boot_id() == SystemClock(tmp_path).boot_id() == ""
    boot.write_text("3f2a\n")
    assert SystemClock(boot).boot_id() == "3f2a"
    boot.write_bytes(b"\xff")
    assert SystemClock(boot).boot_id() == ""
