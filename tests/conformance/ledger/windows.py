"""Where time comes in: when an amount enters a window, and when it leaves."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.conformance.ledger.bench import (
    BUCKET_NS,
    PLATFORM,
    USD,
    WINDOW_S,
    Bench,
    ask,
    budget,
    commit,
    daily,
    refusal,
    sums,
)

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import Refused


async def an_amount_enters_the_window_when_it_settles(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", 300 * USD))
    bench.clock.advance(WINDOW_S - 1)
    settled = await ledger.settle(hold.hold_id)
    assert settled.updated_ns == ledger.now_ns()
    # Counted from the reserve, it would leave now, and more than the limit would be live at once.
    bench.clock.advance(2)
    await refusal(ledger.reserve(ask("b", 201 * USD)), Refused)
    bench.clock.advance(WINDOW_S - 2)
    await ledger.reserve(ask("b", 500 * USD))


async def the_window_slides_with_the_clock(bench: Bench) -> None:
    ledger = await bench.open()
    for number in range(3):
        await commit(ledger, f"r{number}", 100 * USD)
        bench.clock.advance(100)
    assert sums(ledger.state(PLATFORM)) == (300, 0, 0, 0)
    bench.clock.advance_ns(300 * 10**9 - 1)
    assert sums(ledger.state(PLATFORM)) == (300, 0, 0, 0)
    bench.clock.advance_ns(1 + BUCKET_NS)
    assert sums(ledger.state(PLATFORM)) == (200, 0, 0, 0)
    bench.clock.advance(100)
    assert sums(ledger.state(PLATFORM)) == (100, 0, 0, 0)
    bench.clock.advance(100)
    assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 0)


async def what_shares_a_bucket_leaves_with_the_newest_of_it(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 100 * USD)
    bench.clock.advance_ns(BUCKET_NS - 1)
    await commit(ledger, "b", 100 * USD)
    newest_ns = ledger.now_ns()
    bench.clock.advance_ns(round(WINDOW_S * 1e9) - 1)
    assert ledger.state(PLATFORM).used_micros() >= 100 * USD
    bench.clock.advance_ns(1)
    assert ledger.now_ns() == newest_ns + round(WINDOW_S * 1e9)
    assert ledger.state(PLATFORM).used_micros() == 0


async def the_state_says_when_the_next_amount_leaves(bench: Bench) -> None:
    ledger = await bench.open()
    assert ledger.state(PLATFORM).limits[0].next_release_ns is None
    await commit(ledger, "a", USD)
    leaves_ns = ledger.now_ns() + round(WINDOW_S * 1e9)
    bench.clock.advance(100)
    await commit(ledger, "b", USD)
    assert ledger.state(PLATFORM).limits[0].next_release_ns == leaves_ns
    bench.clock.advance_ns(leaves_ns - ledger.now_ns())
    assert sums(ledger.state(PLATFORM)) == (1, 0, 0, 0)


async def a_calendar_limit_starts_anew_when_its_day_does(bench: Bench) -> None:
    evening = datetime(2026, 3, 3, 22, 0, tzinfo=UTC)
    bench.clock = ManualClock(round(evening.timestamp()) * 10**9)
    ledger = await bench.open(
        budget(PLATFORM, 500 * USD, daily(100 * USD, "Europe/Berlin")),
        budget("total", 500 * USD, daily(100 * USD)),
    )
    both = (PLATFORM, "total")
    await commit(ledger, "a", 100 * USD, budget_ids=both)
    bench.clock.advance(3599)
    await refusal(ledger.reserve(ask("b", USD, budget_ids=(PLATFORM,))), Refused)
    bench.clock.advance(1)  # midnight in Berlin, 23:00 in UTC
    await commit(ledger, "b", USD, budget_ids=(PLATFORM,))
    await refusal(ledger.reserve(ask("c", USD, budget_ids=both)), Refused)
    bench.clock.advance(3600)
    await commit(ledger, "c", USD, budget_ids=both)
    assert ledger.state(PLATFORM).limits[1].committed_micros == 2 * USD
    assert ledger.state("total").limits[1].committed_micros == USD


async def a_step_of_the_wall_clock_changes_nothing(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 500 * USD)
    for step_s in (3600.0, -7200.0):
        before_ns = ledger.now_ns()
        bench.clock.step_wall(step_s)
        assert ledger.now_ns() == before_ns
        await refusal(ledger.reserve(ask("b", USD)), Refused)
    bench.clock.advance(WINDOW_S)
    await ledger.reserve(ask("b", USD))


async def the_count_of_what_was_accepted_slides_too(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", USD)
    bench.clock.advance(10)
    await commit(ledger, "b", USD)
    assert ledger.state(PLATFORM).accepted_count == 2
    bench.clock.advance(WINDOW_S - 10)
    assert ledger.state(PLATFORM).accepted_count == 1
