"""What a ledger still knows when it is opened again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping

from tests.conformance.ledger.bench import (
    PLATFORM,
    USD,
    Bench,
    all_entries,
    ask,
    budget,
    commit,
    daily,
    deferred,
    refusal,
    sums,
)

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import (
    ALL,
    EVERY_CAMPAIGN,
    PAUSE_CAMPAIGN,
    RESUME_CAMPAIGN,
    WAS_RUNNING,
    AlertLevel,
    Budget,
    DuplicateRequest,
    HoldState,
    Ledger,
    Limit,
    Pause,
    Paused,
    Refused,
    SlidingWindow,
    StateDirectoryLocked,
    campaign_scope,
    shadow_of,
)
from smartconnectors_server.ledger.audit import Audit

WITH_TOTAL = (PLATFORM, "total")


async def what_was_held_is_in_doubt_afterwards(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", 10 * USD, request=b"sent", before="was"))
    ledger = await bench.restart()
    (found,) = ledger.open_holds()
    assert found.state is HoldState.IN_DOUBT
    assert (found.hold_id, found.request, found.before) == (hold.hold_id, b"sent", "was")
    assert found.dispatched_ns == hold.dispatched_ns
    assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 10)
    await ledger.settle(found.hold_id)
    ledger = await bench.restart()
    assert sums(ledger.state(PLATFORM)) == (10, 0, 0, 0)


async def what_was_deferred_or_in_doubt_stays_so(bench: Bench) -> None:
    ledger = await bench.open()
    waiting = await ledger.reserve(deferred(ledger, "a", USD, target="campaigns/1"))
    doubted = await ledger.reserve(ask("b", 2 * USD, target="campaigns/2"))
    doubted = await ledger.doubt(doubted.hold_id, error="{}", note="timed out")
    ledger = await bench.restart(away_s=30)
    assert set(ledger.open_holds()) == {waiting, doubted}
    assert sums(ledger.state(PLATFORM)) == (0, 0, 1, 2)
    await ledger.reserve(deferred(ledger, "c", 3 * USD, target="campaigns/1"))
    assert sums(ledger.state(PLATFORM)) == (0, 0, 3, 2)


async def what_was_dispatched_from_the_deferred_is_in_doubt_afterwards(bench: Bench) -> None:
    ledger = await bench.open()
    waiting = await ledger.reserve(deferred(ledger, "a", USD))
    held = await ledger.dispatch(waiting.hold_id, target="portfolios/7", before="was")
    ledger = await bench.restart()
    (found,) = ledger.open_holds()
    assert found.state is HoldState.IN_DOUBT
    assert (found.target, found.before) == ("portfolios/7", "was")
    assert found.dispatched_ns == held.dispatched_ns


async def what_was_committed_is_still_in_its_window(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 200 * USD)
    bench.clock.advance(100)
    await commit(ledger, "b", 300 * USD)
    ledger = await bench.restart(away_s=100)
    assert sums(ledger.state(PLATFORM)) == (500, 0, 0, 0)
    assert ledger.state(PLATFORM).accepted_count == 2
    error = await refusal(ledger.reserve(ask("c", 200 * USD)), Refused)
    assert error.fits_at_ns == ledger.now_ns() + 400 * 10**9
    bench.clock.advance(400)
    assert sums(ledger.state(PLATFORM)) == (300, 0, 0, 0)
    bench.clock.advance(100)
    assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 0)


async def what_was_committed_late_is_still_in_its_window(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", 200 * USD))
    await ledger.release(hold.hold_id)
    ledger = await bench.restart(away_s=86_400)
    await ledger.settle(hold.hold_id, late=True)
    ledger = await bench.restart()
    assert sums(ledger.state(PLATFORM)) == (200, 0, 0, 0)


async def every_scope_is_restored(bench: Bench) -> None:
    both = (PLATFORM, "total")
    budgets = (budget(), budget("total", 500 * USD, daily(300 * USD)))
    ledger = await bench.open(*budgets)
    await commit(ledger, "a", 10 * USD, budget_ids=both)
    await commit(ledger, "b", 20 * USD, budget_ids=("total",))
    await ledger.reserve(ask("c", 5 * USD, budget_ids=both))
    ledger = await bench.restart(*budgets)
    assert sums(ledger.state(PLATFORM)) == (10, 0, 0, 5)
    assert sums(ledger.state("total")) == (30, 0, 0, 5)
    assert ledger.state("total").limits[1].committed_micros == 30 * USD
    assert ledger.budget_ids() == both


async def a_total_that_is_configured_later_counts_what_its_platforms_committed(
    bench: Bench,
) -> None:
    ledger = await bench.open(budget(), budget("meta"))
    await commit(ledger, "a", 200 * USD)
    bench.clock.advance(100)
    await commit(ledger, "b", 40 * USD, platform="meta", budget_ids=("meta",))
    both = (budget(), budget("meta"), budget("total", 250 * USD, daily(245 * USD)))
    ledger = await bench.restart(*both)
    assert sums(ledger.state("total")) == (240, 0, 0, 0)
    assert ledger.state("total").limits[1].committed_micros == 240 * USD
    error = await refusal(ledger.reserve(ask("c", 11 * USD, budget_ids=WITH_TOTAL)), Refused)
    assert error.state.budget_id == "total"
    assert ledger.standing("total") is AlertLevel.CRITICAL
    await commit(ledger, "d", 5 * USD, budget_ids=WITH_TOTAL)
    bench.clock.advance(500)
    assert sums(ledger.state("total")) == (45, 0, 0, 0)
    await _audited(ledger, {"total": (45, 245), PLATFORM: (5,), "meta": (40,)})


async def a_total_that_is_taken_out_and_put_back_counts_what_was_committed_meanwhile(
    bench: Bench,
) -> None:
    with_total = (budget(), budget("total", 250 * USD))
    ledger = await bench.open(*with_total)
    await commit(ledger, "a", 100 * USD, budget_ids=WITH_TOTAL)
    ledger = await bench.restart(budget())
    await commit(ledger, "b", 120 * USD)
    ledger = await bench.restart(*with_total)
    assert sums(ledger.state("total")) == (220, 0, 0, 0)
    await refusal(ledger.reserve(ask("c", 31 * USD, budget_ids=WITH_TOTAL)), Refused)
    await commit(ledger, "d", 30 * USD, budget_ids=WITH_TOTAL)
    await _audited(ledger, {"total": (250,), PLATFORM: (250,)})


async def what_is_open_counts_in_a_total_that_is_configured_later(bench: Bench) -> None:
    ledger = await bench.open()
    held = await ledger.reserve(ask("held", 10 * USD))
    waiting = await ledger.reserve(deferred(ledger, "deferred", 20 * USD, target="t"))
    late = await ledger.reserve(ask("late", 3 * USD))
    await ledger.release(late.hold_id)
    ledger = await bench.restart(budget(), budget("total", 50 * USD))
    assert sums(ledger.state("total")) == (0, 0, 20, 10)
    await refusal(ledger.reserve(ask("c", 21 * USD, budget_ids=WITH_TOTAL)), Refused)
    newer = deferred(ledger, "newer", 40 * USD, target="t", budget_ids=WITH_TOTAL)
    await ledger.reserve(newer)  # takes the place of what waits, in the total too
    assert (await ledger.get(waiting.hold_id)).state is HoldState.SUPERSEDED  # type: ignore[union-attr]
    await ledger.settle(held.hold_id)
    await ledger.settle(late.hold_id, late=True)
    assert sums(ledger.state("total")) == (13, 0, 40, 0)
    ledger = await bench.restart(budget(), budget("total", 50 * USD))
    assert sums(ledger.state("total")) == (13, 0, 40, 0)
    await _audited(ledger, {"total": (13,), PLATFORM: (13,)})


async def a_pause_of_a_total_stops_what_was_deferred_before_there_was_one(bench: Bench) -> None:
    ledger = await bench.open()
    waiting = await ledger.reserve(deferred(ledger, "a", USD))
    ledger = await bench.restart(budget(), budget("total"))
    await ledger.set_paused("total", True, "stop")
    await refusal(ledger.dispatch(waiting.hold_id, target="t", before=""), Paused)


async def a_total_counts_no_shadows_and_its_shadow_counts_nothing_else(bench: Bench) -> None:
    shadow = shadow_of(PLATFORM)
    ledger = await bench.open(budget(), budget(shadow))
    await commit(ledger, "a", 7 * USD)
    await commit(ledger, "b", 9 * USD, platform=shadow, budget_ids=(shadow,))
    totals = budget("total"), budget(shadow_of("total"))
    ledger = await bench.restart(budget(), budget(shadow), *totals)
    assert sums(ledger.state("total")) == (7, 0, 0, 0)
    assert sums(ledger.state(shadow_of("total"))) == (9, 0, 0, 0)
    await _audited(ledger, {"total": (7,), shadow_of("total"): (9,)})


async def a_total_counts_platforms_that_are_not_served_any_more(bench: Bench) -> None:
    ledger = await bench.open(budget(), budget("meta"))
    await commit(ledger, "a", 7 * USD, platform="meta", budget_ids=("meta",))
    ledger = await bench.restart(budget(), budget("total"))
    assert sums(ledger.state("total")) == (7, 0, 0, 0)


async def every_limit_that_is_configured_later_counts_what_was_committed_in_its_window(
    bench: Bench,
) -> None:
    campaign, other = (campaign_scope(PLATFORM, one) for one in ("1001", "1002"))
    ledger = await bench.open(budget())
    await commit(ledger, "a", 7 * USD, budget_ids=(PLATFORM, campaign))
    bench.clock.advance(601)
    await commit(ledger, "b", 9 * USD, budget_ids=(PLATFORM, campaign))
    every = budget(campaign_scope(PLATFORM, EVERY_CAMPAIGN), 20 * USD, daily(20 * USD))
    own = budget(other, 20 * USD)
    ledger = await bench.restart(budget(PLATFORM, 500 * USD, daily(400 * USD)), every, own)
    assert ledger.state(PLATFORM).limits[1].committed_micros == 16 * USD
    assert [s.committed_micros for s in ledger.state(campaign).limits] == [9 * USD, 16 * USD]
    error = await refusal(
        ledger.reserve(ask("c", 5 * USD, budget_ids=(PLATFORM, campaign))), Refused
    )
    assert error.state.budget_id == campaign


async def _audited(ledger: Ledger, committed: Mapping[str, tuple[int, ...]]) -> None:
    """The lines alone come to the same: in whole dollars, for each limit."""
    audit = Audit()
    for line in await all_entries(ledger):
        audit.take(line)
    audit.at_ns = ledger.now_ns()
    derived = {
        balance.budget_id: tuple((micros or 0) // USD for micros in balance.committed)
        for balance in audit.balances()
    }
    assert {name: derived[name] for name in committed} == committed


async def a_wider_window_counts_what_a_narrower_one_had_forgotten(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 200 * USD)
    bench.clock.advance(601)
    await commit(ledger, "b", 100 * USD)
    assert sums(ledger.state(PLATFORM)) == (100, 0, 0, 0)
    wide = Budget(PLATFORM, "USD", (Limit(500 * USD, SlidingWindow(3600.0)),))
    ledger = await bench.restart(wide)
    assert sums(ledger.state(PLATFORM)) == (300, 0, 0, 0)


async def an_operators_limit_and_pause_win_over_the_configuration(bench: Bench) -> None:
    ledger = await bench.open()
    await ledger.set_limit(PLATFORM, 50 * USD, "less")
    await ledger.set_paused(PLATFORM, True, "stop")
    configured = budget(PLATFORM, 700 * USD, daily(9 * USD))
    await bench.finish()
    ledger = bench.make(bench.directory, bench.clock)
    (told,) = await ledger.open([configured])
    try:
        assert told.limits == (Limit(50 * USD, SlidingWindow(600.0)), daily(9 * USD))
        assert told.paused
        state = ledger.state(PLATFORM)
        assert [s.limit for s in state.limits] == list(told.limits)
        assert state.paused
        await ledger.set_paused(PLATFORM, False, "go on")
    finally:
        await ledger.close()
    ledger = await bench.open(configured)
    assert not ledger.state(PLATFORM).paused
    assert ledger.state(PLATFORM).limits[0].limit.limit_micros == 50 * USD


async def pauses_of_what_has_no_budget_are_kept(bench: Bench) -> None:
    campaign = campaign_scope(PLATFORM, "1001")
    for scope in (campaign, ALL):
        ledger = await bench.open()
        await ledger.set_paused(scope, True, "too fast")
        at_ns = ledger.now_ns()
        ledger = await bench.restart(away_s=5.0)
        asked = ask(f"on {scope}", USD, budget_ids=(PLATFORM, campaign))
        error = await refusal(ledger.reserve(asked), Paused)
        assert error.pause == Pause(scope, "too fast", at_ns)
        await ledger.set_paused(scope, False, "calm")
        ledger = await bench.restart()
        await ledger.reserve(asked)
        await bench.finish()


async def a_campaign_that_is_paused_stays_so_when_it_gets_and_loses_a_budget(bench: Bench) -> None:
    campaign = campaign_scope(PLATFORM, "1001")
    ledger = await bench.open()
    await ledger.set_paused(campaign, True, "too fast")
    asked = ask("a", USD, budget_ids=(PLATFORM, campaign))
    for budgets in ([budget(), budget(campaign, 50 * USD)], [budget()]):
        ledger = await bench.restart(*budgets)
        await refusal(ledger.reserve(asked), Paused)


async def a_campaign_that_gets_a_budget_has_its_bids_counted(bench: Bench) -> None:
    campaign = campaign_scope(PLATFORM, "1001")
    ledger = await bench.open()
    await commit(ledger, "a", 30 * USD, budget_ids=(PLATFORM, campaign))
    ledger = await bench.restart(budget(), budget(campaign, 50 * USD))
    assert sums(ledger.state(campaign)) == (30, 0, 0, 0)
    await refusal(ledger.reserve(ask("b", 21 * USD, budget_ids=(PLATFORM, campaign))), Refused)


async def campaigns_that_something_was_sent_for_are_known_for_ever(bench: Bench) -> None:
    sent, waiting, dispatched = (campaign_scope(PLATFORM, one) for one in ("1", "2", "3"))
    ledger = await bench.open()
    await commit(ledger, "a", USD, budget_ids=(PLATFORM, sent))
    await ledger.reserve(deferred(ledger, "b", USD, budget_ids=(PLATFORM, waiting)))
    hold = await ledger.reserve(deferred(ledger, "c", USD, budget_ids=(PLATFORM, dispatched)))
    await ledger.dispatch(hold.hold_id, target="t", before="")
    assert await ledger.campaigns() == (sent, dispatched)
    ledger = await bench.restart(away_s=10 * 86_400)
    await commit(ledger, "d", USD)
    bench.clock.advance(3_600)
    await commit(ledger, "e", USD)  # old holds are forgotten by now
    assert await ledger.campaigns() == (sent, dispatched)


async def campaigns_that_were_paused_at_their_platform_are_known(bench: Bench) -> None:
    ours, unseen, resumed = (campaign_scope(PLATFORM, one) for one in ("1", "2", "3"))
    ledger = await bench.open()
    for scope in (ours, resumed):
        ledger.record_campaign(scope, PAUSE_CAMPAIGN, f"{WAS_RUNNING}stop")
    ledger.record_campaign(unseen, PAUSE_CAMPAIGN, "stop")
    ledger.record_campaign(resumed, RESUME_CAMPAIGN, "go on")
    ledger = await bench.restart()
    assert await ledger.paused_campaigns() == {ours: True, unseen: False}
    assert await ledger.campaigns() == (ours, unseen, resumed)


async def a_pause_does_not_fix_the_limit(bench: Bench) -> None:
    ledger = await bench.open()
    await ledger.set_paused(PLATFORM, True, "stop")
    ledger = await bench.restart(budget(PLATFORM, 700 * USD))
    assert ledger.state(PLATFORM).limits[0].limit.limit_micros == 700 * USD
    assert ledger.state(PLATFORM).paused


async def a_known_request_id_stays_known(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "settled", USD)
    held = await ledger.reserve(ask("held", USD))
    await ledger.reserve(deferred(ledger, "deferred", USD))
    for state in (HoldState.REJECTED, HoldState.EXPIRED, HoldState.RELEASED):
        hold = await ledger.reserve(ask(state.value, USD))
        await ledger.release(hold.hold_id, state, error="{}")
    ledger = await bench.restart()
    for name in ("settled", "held", "deferred", "rejected", "expired"):
        error = await refusal(ledger.reserve(ask(name, USD)), DuplicateRequest)
        assert error.hold.request_id == name
        assert error.hold.fingerprint == f"fingerprint of {name}"
    await ledger.reserve(ask("released", USD))
    again = await ledger.get(held.hold_id)
    assert again is not None
    assert again.state is HoldState.IN_DOUBT


async def hold_ids_are_never_given_twice(bench: Bench) -> None:
    seen = set()
    for number in range(4):
        ledger = await bench.restart()
        hold = await ledger.reserve(ask(f"r{number}", USD))
        await ledger.release(hold.hold_id)
        seen.add(hold.hold_id)
    assert len(seen) == 4
    assert sorted(seen) == [min(seen), *sorted(seen)[1:]]


async def answers_survive(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", USD))
    await ledger.settle(hold.hold_id, answer=b"\x00placed\xff", note="naïve €")
    rejected = await ledger.reserve(ask("b", USD))
    await ledger.release(rejected.hold_id, HoldState.REJECTED, error='{"message": "no"}')
    ledger = await bench.restart()
    found, refused = await ledger.find(PLATFORM, "a"), await ledger.get(rejected.hold_id)
    assert found is not None
    assert refused is not None
    assert (found.answer, found.note, found.state) == (
        b"\x00placed\xff",
        "naïve €",
        HoldState.SETTLED,
    )
    assert refused.error == '{"message": "no"}'


async def the_last_hundred_prices_are_restored_in_order(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 10**15))
    for number in range(1, 121):
        await commit(ledger, f"r{number}", USD, ltv_micros=number)
        bench.clock.advance(1)
    await commit(ledger, "no ltv", USD)
    await commit(ledger, "ai", USD, ai_bid_micros=9)
    await ledger.reserve(ask("not settled", USD, ltv_micros=999))
    before = [(h.ltv_micros, h.ai_bid_micros) for h in ledger.recent_settled(PLATFORM)]
    assert before == [(n, 0) for n in range(22, 121)] + [(0, 9)]
    ledger = await bench.restart(budget(PLATFORM, 10**15))
    after = [(h.ltv_micros, h.ai_bid_micros) for h in ledger.recent_settled(PLATFORM)]
    assert after == before
    assert ledger.recent_settled("meta") == ()


async def the_prices_of_each_caller_are_restored_apart(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 10**15))
    for number in range(1, 103):
        await commit(ledger, f"a{number}", USD, ltv_micros=number, actor="a")
        bench.clock.advance(1)
        await commit(ledger, f"b{number}", USD, ltv_micros=1000 + number, actor="b")
        bench.clock.advance(1)
    for _ in range(2):
        for actor, first in (("a", 3), ("b", 1003), ("c", None)):
            ltvs = [hold.ltv_micros for hold in ledger.recent_settled(PLATFORM, actor)]
            assert ltvs == ([] if first is None else list(range(first, first + 100)))
        everybody = [hold.ltv_micros for hold in ledger.recent_settled(PLATFORM)]
        assert everybody == [n + more for n in range(3, 103) for more in (0, 1000)]
        ledger = await bench.restart(budget(PLATFORM, 10**15))


async def the_request_ids_of_each_caller_stay_its_own(bench: Bench) -> None:
    ledger = await bench.open()
    placed = {actor: await commit(ledger, "x", USD, actor=actor) for actor in ("a", "b")}
    waiting = await ledger.reserve(deferred(ledger, "y", USD, actor="a"))
    for _ in range(2):
        assert {actor: await ledger.find(PLATFORM, "x", actor) for actor in "abc"} == {
            **placed,
            "c": None,
        }
        assert await ledger.find(PLATFORM, "y", "a") == waiting
        assert await ledger.find(PLATFORM, "y", "b") is None
        assert await ledger.knows_request(PLATFORM, "x")
        for actor, hold in placed.items():
            error = await refusal(ledger.reserve(ask("x", USD, actor=actor)), DuplicateRequest)
            assert error.hold == hold
        ledger = await bench.restart()


async def ledger_time_never_goes_back(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 500 * USD)
    before_ns = ledger.now_ns()
    await bench.finish()
    bench.clock.step_wall(-7200)
    ledger = await bench.open()
    assert ledger.now_ns() >= before_ns
    await refusal(ledger.reserve(ask("b", USD)), Refused)
    bench.clock.advance(599)
    await refusal(ledger.reserve(ask("b", USD)), Refused)
    bench.clock.advance(1)
    await ledger.reserve(ask("b", USD))


async def a_wall_clock_set_forward_between_two_lives_empties_no_window(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 500 * USD)
    for step_s in (7200, -3600, 30 * 86_400):
        await bench.finish()
        bench.clock.step_wall(step_s)
        bench.clock.advance(100)
        ledger = await bench.open()
        assert sums(ledger.state(PLATFORM)) == (500, 0, 0, 0)
        await refusal(ledger.reserve(ask("b", USD)), Refused)
    bench.clock.advance(300)
    await ledger.reserve(ask("b", USD))


async def without_a_boot_id_a_wall_clock_set_forward_between_two_lives_empties_no_window(
    bench: Bench,
) -> None:
    bench.clock = ManualClock(names_boots=False)
    await _steps_empty_no_window(bench, bench.clock.step_wall)


async def a_boot_clock_of_another_time_namespace_empties_no_window(bench: Bench) -> None:
    await _steps_empty_no_window(bench, bench.clock.step_monotonic)


async def _steps_empty_no_window(bench: Bench, step: Callable[[float], None]) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 500 * USD)
    for step_s in (25, 7200, -3600, 30 * 86_400):
        await bench.finish()
        step(step_s)
        bench.clock.advance(100)
        ledger = await bench.open()
        assert sums(ledger.state(PLATFORM)) == (500, 0, 0, 0)
        await refusal(ledger.reserve(ask("b", USD)), Refused)
    bench.clock.advance(200)
    await ledger.reserve(ask("b", USD))


async def a_crash_long_after_the_start_loses_no_time(bench: Bench) -> None:
    bench.clock = ManualClock(names_boots=False)
    ledger = await bench.open()
    bench.clock.step_wall(-3600)  # as it is set right while the server runs
    bench.clock.advance(7200)
    await commit(ledger, "a", 500 * USD)
    await ledger.flush()
    bench.clock.advance(300)
    crashed = bench.directory.with_name("crashed")
    shutil.copytree(bench.directory, crashed)
    await bench.finish()
    bench.directory = crashed
    ledger = await bench.open()
    await refusal(ledger.reserve(ask("b", USD)), Refused)
    bench.clock.advance(300)
    await ledger.reserve(ask("b", USD))


async def after_the_machine_was_started_again_the_wall_clock_says_how_long_it_was_off(
    bench: Bench,
) -> None:
    ledger = await bench.open()
    bench.clock.advance(5000)
    await commit(ledger, "a", 500 * USD)
    await bench.finish()
    bench.clock.reboot(away_s=400)
    ledger = await bench.open()
    await refusal(ledger.reserve(ask("b", USD)), Refused)
    bench.clock.advance(200)
    await commit(ledger, "b", 500 * USD)
    await bench.finish()
    # Its battery is empty, so it comes up in the past.
    bench.clock.reboot(away_s=-1_000_000)
    ledger = await bench.open()
    await refusal(ledger.reserve(ask("c", USD)), Refused)
    bench.clock.advance(600)
    await ledger.reserve(ask("c", USD))


async def calls_to_platforms_are_remembered(bench: Bench) -> None:
    ledger = await bench.open()
    start_ns = ledger.now_ns()
    for number in range(5):
        await ledger.record_calls(PLATFORM, start_ns + number, number + 1)
    await ledger.record_calls("meta", start_ns, 7)
    ledger = await bench.restart(away_s=1)
    assert await ledger.calls_since(PLATFORM, start_ns + 2) == (
        (start_ns + 3, 4),
        (start_ns + 4, 5),
    )
    assert await ledger.calls_since("meta", 0) == ((start_ns, 7),)
    assert await ledger.calls_since("x", 0) == ()


async def a_second_server_is_refused_and_told_who_has_it(bench: Bench) -> None:
    first = await bench.open()
    second = bench.make(bench.directory, bench.clock)
    error = await refusal(second.open([budget()]), StateDirectoryLocked)
    assert str(os.getpid()) in str(error)
    assert str(bench.directory) in str(error)
    await first.reserve(ask("a", USD))
    ledger = await bench.restart()
    assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 1)
