"""Who is admitted: exactly what fits in every scope, in one step; and what a refusal says."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tests.conformance.ledger.bench import (
    BUCKET_NS,
    PLATFORM,
    USD,
    WINDOW_S,
    Bench,
    admitted_of,
    ask,
    budget,
    commit,
    daily,
    deferred,
    refusal,
    sums,
)

from smartconnectors_server.ledger import (
    ALL,
    DuplicateRequest,
    HoldState,
    Limit,
    Pause,
    Paused,
    Refused,
    SlidingWindow,
    TargetBlocked,
    Unavailable,
    campaign_scope,
)

CAMPAIGN = f"{PLATFORM}/campaigns/1001"
SCOPES = (PLATFORM, CAMPAIGN, "meta")


async def what_fits_is_admitted_to_the_last_micro(bench: Bench) -> None:
    ledger = await bench.open()
    await ledger.reserve(ask("a", 500 * USD - 1))
    await refusal(ledger.reserve(ask("b", 2)), Refused)
    await ledger.reserve(ask("c", 1))
    await refusal(ledger.reserve(ask("d", 1)), Refused)
    assert ledger.state(PLATFORM).remaining_micros() == 0


async def an_amount_has_to_fit_every_budget_in_scope(bench: Bench) -> None:
    small = {PLATFORM: 50, CAMPAIGN: 60, "meta": 70}
    ledger = await bench.open(*(budget(name, limit * USD) for name, limit in small.items()))
    for number, scope in enumerate(SCOPES):
        others = tuple(name for name in SCOPES if name != scope)
        for budget_ids in (SCOPES, (scope, *others)):
            error = await refusal(
                ledger.reserve(ask(f"{number}", 51 * USD, budget_ids=budget_ids)), Refused
            )
            assert error.state.budget_id == PLATFORM
    await commit(ledger, "fits", 50 * USD, budget_ids=SCOPES)
    assert [sums(ledger.state(name))[0] for name in SCOPES] == [50, 50, 50]


async def a_refusal_leaves_no_trace_in_any_scope(bench: Bench) -> None:
    ledger = await bench.open(
        budget(PLATFORM), budget(CAMPAIGN, 500 * USD), budget("meta", 10 * USD)
    )
    await refusal(ledger.reserve(ask("a", 11 * USD, budget_ids=SCOPES)), Refused)
    assert [sums(ledger.state(name)) for name in SCOPES] == [(0, 0, 0, 0)] * 3
    assert ledger.open_holds() == ()
    assert await ledger.find(PLATFORM, "a") is None
    await ledger.reserve(ask("a", 10 * USD, budget_ids=SCOPES))


async def every_limit_of_a_budget_binds(bench: Bench) -> None:
    short = Limit(20 * USD, SlidingWindow(60.0))
    ledger = await bench.open(budget(PLATFORM, 100 * USD, short, daily(30 * USD)))
    await commit(ledger, "a", 20 * USD)
    assert (await refusal(ledger.reserve(ask("b", USD)), Refused)).limit_index == 1
    bench.clock.advance(61)
    await commit(ledger, "c", 10 * USD)
    assert (await refusal(ledger.reserve(ask("d", USD)), Refused)).limit_index == 2


async def two_hundred_at_once_never_exceed_the_limit(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 1000 * USD))
    asked = [ask(f"r{n}", 15 * USD) for n in range(200)]
    admitted = await admitted_of(ledger, asked)
    assert len(admitted) == 66
    assert ledger.state(PLATFORM).held_micros == 66 * 15 * USD
    await asyncio.gather(*(ledger.settle(hold.hold_id) for hold in admitted))
    assert sums(ledger.state(PLATFORM)) == (990, 0, 0, 0)


async def two_hundred_at_once_never_exceed_the_tighter_of_two_scopes(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 1000 * USD), budget("total", 100 * USD))
    asked = [ask(f"r{n}", 15 * USD, budget_ids=(PLATFORM, "total")) for n in range(200)]
    assert len(await admitted_of(ledger, asked)) == 6
    assert sums(ledger.state(PLATFORM)) == sums(ledger.state("total")) == (0, 90, 0, 0)


async def of_one_request_id_at_once_one_is_admitted(bench: Bench) -> None:
    ledger = await bench.open()
    admitted = await admitted_of(ledger, [ask("same", USD) for _ in range(50)])
    assert len(admitted) == 1
    assert sums(ledger.state(PLATFORM)) == (0, 1, 0, 0)


async def a_refusal_names_the_scope_that_stays_shut_longest(bench: Bench) -> None:
    ledger = await bench.open(*(budget(name, 100 * USD) for name in SCOPES))
    await commit(ledger, "a", 60 * USD, budget_ids=(PLATFORM,))
    bench.clock.advance(100)
    await commit(ledger, "b", 60 * USD, budget_ids=("meta",))
    bench.clock.advance(100)
    await commit(ledger, "c", 60 * USD, budget_ids=(CAMPAIGN,))
    error = await refusal(ledger.reserve(ask("d", 50 * USD, budget_ids=SCOPES)), Refused)
    assert error.state.budget_id == CAMPAIGN


async def a_refusal_for_ever_names_the_smallest_limit(bench: Bench) -> None:
    ledger = await bench.open(
        budget(PLATFORM, 50 * USD), budget(CAMPAIGN, 20 * USD), budget("meta", 40 * USD)
    )
    for budget_ids in (SCOPES, SCOPES[::-1]):
        asked = ask("a", 60 * USD, budget_ids=budget_ids)
        error = await refusal(ledger.reserve(asked), Refused)
        assert (error.state.budget_id, error.blocked_by) == (CAMPAIGN, "limit")


async def what_is_above_the_limit_never_fits(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 100 * USD)
    error = await refusal(ledger.reserve(ask("b", 501 * USD)), Refused)
    assert (error.blocked_by, error.fits_at_ns) == ("limit", None)


async def what_only_open_holds_keep_out_has_no_retry_time(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", 300 * USD))
    await commit(ledger, "b", 100 * USD)
    error = await refusal(ledger.reserve(ask("c", 300 * USD)), Refused)
    assert (error.blocked_by, error.fits_at_ns) == ("holds", None)
    assert error.state.held_micros == 300 * USD
    await ledger.release(hold.hold_id)
    await ledger.reserve(ask("c", 300 * USD))


async def it_fits_at_the_retry_time_and_not_a_bucket_earlier(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD), budget("total", 90 * USD))
    both = (PLATFORM, "total")
    for number in range(4):
        await commit(ledger, f"old{number}", 20 * USD, budget_ids=both)
        bench.clock.advance(30)
    await ledger.reserve(ask("open", 5 * USD, budget_ids=both))
    error = await refusal(ledger.reserve(ask("new", 40 * USD, budget_ids=both)), Refused)
    # 35 dollars have to leave `total`: the first two of the four.
    assert error.fits_at_ns == ledger.now_ns() + round((WINDOW_S - 90) * 1e9)
    bench.clock.advance_ns(error.fits_at_ns - ledger.now_ns() - BUCKET_NS)
    again = await refusal(ledger.reserve(ask("new", 40 * USD, budget_ids=both)), Refused)
    assert again.fits_at_ns == error.fits_at_ns
    bench.clock.advance_ns(BUCKET_NS)
    await ledger.reserve(ask("new", 40 * USD, budget_ids=both))


async def the_retry_time_is_that_of_the_slowest_scope(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD, daily(100 * USD)))
    await commit(ledger, "a", 60 * USD)
    error = await refusal(ledger.reserve(ask("b", 50 * USD)), Refused)
    day_ns = 86_400 * 10**9
    assert error.fits_at_ns == (ledger.now_ns() // day_ns + 1) * day_ns
    bench.clock.advance_ns(error.fits_at_ns - ledger.now_ns() - 1)
    await refusal(ledger.reserve(ask("b", 50 * USD)), Refused)
    bench.clock.advance_ns(1)
    await ledger.reserve(ask("b", 50 * USD))


async def the_state_in_a_refusal_is_that_of_the_instant(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 200 * USD)
    await ledger.reserve(ask("b", 100 * USD))
    await ledger.reserve(deferred(ledger, "c", 50 * USD))
    doubted = await ledger.reserve(ask("d", 25 * USD))
    await ledger.doubt(doubted.hold_id)
    error = await refusal(ledger.reserve(ask("e", 126 * USD)), Refused)
    assert error.amount_micros == 126 * USD
    assert sums(error.state) == (200, 100, 50, 25)
    assert error.state.at_ns == ledger.now_ns()


async def a_paused_budget_admits_nothing(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM), budget("total", 500 * USD))
    await ledger.set_paused("total", True, "spending too fast")
    both = (PLATFORM, "total")
    error = await refusal(ledger.reserve(ask("a", USD, budget_ids=both)), Paused)
    assert error.pause.scope == "total"
    await refusal(ledger.reserve(deferred(ledger, "a", USD, budget_ids=both)), Paused)
    assert ledger.state("total").paused
    await ledger.reserve(ask("b", USD, budget_ids=(PLATFORM,)))
    await ledger.set_paused("total", False, "mended")
    await ledger.reserve(ask("a", USD, budget_ids=both))


async def a_campaign_without_a_budget_can_be_paused(bench: Bench) -> None:
    ledger = await bench.open()
    paused, other = ((PLATFORM, campaign_scope(PLATFORM, c)) for c in ("1001", "1002"))
    await ledger.set_paused(paused[1], True, "too fast")
    error = await refusal(ledger.reserve(ask("a", USD, budget_ids=paused)), Paused)
    assert error.pause == Pause(paused[1], "too fast", ledger.now_ns())
    await refusal(ledger.check(ask("a", USD, budget_ids=paused)), Paused)
    await ledger.reserve(ask("b", USD, budget_ids=other))
    assert not ledger.state(PLATFORM).paused
    await ledger.set_paused(paused[1], False, "calm")
    await ledger.reserve(ask("a", USD, budget_ids=paused))


async def a_pause_of_everything_stops_every_budget(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM), budget("meta"))
    await ledger.set_paused(ALL, True, "stop")
    for platform in (PLATFORM, "meta"):
        asked = ask("a", USD, platform=platform, budget_ids=(platform,))
        error = await refusal(ledger.reserve(asked), Paused)
        assert error.pause.scope == ALL
        assert ledger.state(platform).paused
    await ledger.set_paused(PLATFORM, False, "not this one")
    await refusal(ledger.reserve(ask("a", USD)), Paused)
    await ledger.set_paused(ALL, False, "calm")
    await ledger.reserve(ask("a", USD))


async def a_resumed_platform_leaves_its_campaigns_paused(bench: Bench) -> None:
    ledger = await bench.open()
    campaign = campaign_scope(PLATFORM, "1001")
    await ledger.set_paused(campaign, True, "this one")
    await ledger.set_paused(PLATFORM, True, "and all of it")
    await ledger.set_paused(PLATFORM, False, "calm")
    await refusal(ledger.reserve(ask("a", USD, budget_ids=(PLATFORM, campaign))), Paused)


async def what_is_exempt_passes_an_exhausted_and_a_paused_budget(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 500 * USD)
    for scope in (PLATFORM, campaign_scope(PLATFORM, "1001"), ALL):
        await ledger.set_paused(scope, True, "stop")
    scopes = (PLATFORM, campaign_scope(PLATFORM, "1001"))
    hold = await ledger.reserve(ask("lower", 0, exempt=True, budget_ids=scopes))
    await ledger.settle(hold.hold_id)
    assert sums(ledger.state(PLATFORM)) == (500, 0, 0, 0)


async def a_known_request_id_is_not_admitted_again(bench: Bench) -> None:
    ledger = await bench.open()
    first = await ledger.reserve(ask("a", USD))
    error = await refusal(ledger.reserve(ask("a", 2 * USD, fingerprint="other")), DuplicateRequest)
    assert error.hold == first
    await ledger.settle(first.hold_id)
    error = await refusal(ledger.reserve(ask("a", USD)), DuplicateRequest)
    assert error.hold.state is HoldState.SETTLED
    await ledger.reserve(ask("a", USD, platform="meta"))


async def a_target_in_doubt_takes_nothing_more(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", USD, target="campaigns/1"))
    await ledger.doubt(hold.hold_id)
    error = await refusal(ledger.reserve(ask("b", USD, target="campaigns/1")), TargetBlocked)
    assert error.hold.hold_id == hold.hold_id
    blocked = ask("c", 0, target="campaigns/1", exempt=True)
    await refusal(ledger.reserve(blocked), TargetBlocked)
    await ledger.reserve(ask("d", USD, target="campaigns/2"))
    await ledger.reserve(ask("e", USD, target="campaigns/1", platform="meta"))
    await ledger.release(hold.hold_id)
    await ledger.reserve(ask("b", USD, target="campaigns/1"))


async def a_target_is_free_when_its_last_doubt_is_resolved(bench: Bench) -> None:
    ledger = await bench.open()
    holds = [await ledger.reserve(ask(name, USD, target="campaigns/1")) for name in "ab"]
    for hold in holds:
        await ledger.doubt(hold.hold_id)
    await ledger.settle(holds[0].hold_id)
    await refusal(ledger.reserve(ask("c", USD, target="campaigns/1")), TargetBlocked)
    await ledger.settle(holds[1].hold_id)
    await ledger.reserve(ask("c", USD, target="campaigns/1"))


async def a_look_says_what_a_reserve_would_and_holds_nothing(bench: Bench) -> None:
    ledger = await bench.open()
    await ledger.check(ask("a", 500 * USD))
    await refusal(ledger.check(ask("a", 501 * USD)), Refused)
    hold = await ledger.reserve(ask("b", USD, target="campaigns/1"))
    await ledger.doubt(hold.hold_id)
    await refusal(ledger.check(ask("c", USD, target="campaigns/1")), TargetBlocked)
    await ledger.set_paused(PLATFORM, True, "stop")
    await refusal(ledger.check(ask("d", USD)), Paused)
    assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 1)


async def who_stops_waiting_for_a_reserve_holds_nothing(bench: Bench) -> None:
    ledger = await bench.open()
    for number in range(20):  # so that what they wait for then is the disk alone
        assert await ledger.find(PLATFORM, f"r{number}") is None
    waiting: list[asyncio.Task[Any]] = [
        asyncio.ensure_future(ledger.reserve(ask(f"r{n}", 5 * USD))) for n in range(20)
    ]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    admitted = sum(not isinstance(r, BaseException) for r in results)
    assert sums(ledger.state(PLATFORM)) == (0, 5 * admitted, 0, 0)
    assert len(ledger.open_holds()) == admitted


async def a_lower_limit_holds_at_once(bench: Bench) -> None:
    ledger = await bench.open()
    await commit(ledger, "a", 100 * USD)
    hold = await ledger.reserve(ask("b", 100 * USD))
    await ledger.set_limit(PLATFORM, 150 * USD, "less")
    await refusal(ledger.reserve(ask("c", USD)), Refused)
    await ledger.settle(hold.hold_id)
    state = ledger.state(PLATFORM)
    assert (state.used_micros(), state.remaining_micros()) == (200 * USD, 0)
    await ledger.set_limit(PLATFORM, 201 * USD, "more")
    await ledger.reserve(ask("c", USD))


async def several_limits_change_together(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM), budget("total", 500 * USD))
    with contextlib.suppress(KeyError):
        await ledger.set_limits({PLATFORM: 7 * USD, "nothing": 7 * USD}, "none of them")
        raise AssertionError("a budget that there is not was changed")
    assert ledger.state(PLATFORM).limits[0].limit.limit_micros != 7 * USD
    budgets = dict.fromkeys(ledger.budget_ids(), 30 * USD)
    await ledger.set_limits(budgets, "all of them")
    lines = [line for line in (await ledger.entries(size=1000)).rows if line.verb == "limit"]
    assert [line.budget_ids for line in lines] == [(budget_id,) for budget_id in budgets]
    await bench.finish()
    ledger = await bench.open(budget(PLATFORM), budget("total", 500 * USD))
    assert {ledger.state(one).limits[0].limit.limit_micros for one in budgets} == {30 * USD}


async def a_closed_ledger_admits_nothing(bench: Bench) -> None:
    ledger = await bench.open()
    await bench.finish()
    assert not ledger.available
    await refusal(ledger.reserve(ask("a", USD)), Unavailable)
