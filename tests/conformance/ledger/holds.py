"""What becomes of a hold: it counts until it ends, and it ends once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.conformance.ledger.bench import (
    PLATFORM,
    USD,
    Bench,
    ask,
    budget,
    commit,
    deferred,
    refusal,
    sums,
)

from smartconnectors_server.ledger import (
    ALL,
    Hold,
    HoldNotOpen,
    HoldState,
    Ledger,
    Paused,
    Refused,
    TargetBlocked,
    campaign_scope,
)

CLOSED = (HoldState.RELEASED, HoldState.REJECTED, HoldState.EXPIRED, HoldState.SUPERSEDED)


def put_back(ledger: Ledger, hold: Hold, amount_micros: int) -> Awaitable[Hold]:
    """A held hold becomes deferred."""
    until_ns = ledger.now_ns() + 10**9
    return ledger.defer(
        hold.hold_id, amount_micros=amount_micros, until_ns=until_ns, source="fallback"
    )


async def an_amount_is_in_one_of_the_four_sums_at_a_time(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", 10 * USD))
    assert sums(ledger.state(PLATFORM)) == (0, 10, 0, 0)
    await put_back(ledger, hold, 10 * USD)
    assert sums(ledger.state(PLATFORM)) == (0, 0, 10, 0)
    await ledger.dispatch(hold.hold_id, target="campaigns/7", before="x")
    assert sums(ledger.state(PLATFORM)) == (0, 10, 0, 0)
    await ledger.doubt(hold.hold_id)
    assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 10)
    await ledger.settle(hold.hold_id)
    assert sums(ledger.state(PLATFORM)) == (10, 0, 0, 0)


async def what_is_given_back_counts_nowhere(bench: Bench) -> None:
    ledger = await bench.open()
    for number, state in enumerate(CLOSED):
        hold = await ledger.reserve(ask(f"r{number}", 500 * USD))
        closed = await ledger.release(hold.hold_id, state, error="{}", note="why")
        assert (closed.state, closed.error, closed.note) == (state, "{}", "why")
        assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 0)
        assert ledger.open_holds() == ()


async def a_hold_in_doubt_can_be_given_back_when_it_is_known(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", 10 * USD))
    await ledger.doubt(hold.hold_id, error="{}", note="timed out")
    await ledger.release(hold.hold_id)
    assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 0)


async def a_released_request_id_may_be_used_again_and_others_may_not(bench: Bench) -> None:
    ledger = await bench.open()
    for number, state in enumerate(CLOSED):
        hold = await ledger.reserve(ask(f"r{number}", USD))
        await ledger.release(hold.hold_id, state)
        found = await ledger.find(PLATFORM, f"r{number}")
        if state is HoldState.RELEASED:
            assert found is None
            await ledger.reserve(ask(f"r{number}", USD))
        else:
            assert found is not None
            assert found.state is state


async def a_hold_ends_once(bench: Bench) -> None:
    ledger = await bench.open()
    endings: list[Callable[[str], Awaitable[Hold]]] = [
        ledger.settle,
        ledger.release,
        ledger.doubt,
        lambda hold_id: ledger.dispatch(hold_id, target="t", before=""),
        lambda hold_id: ledger.defer(hold_id, amount_micros=0, until_ns=1, source="ai"),
    ]
    settled = await commit(ledger, "a", USD)
    ended = [settled]
    for number, state in enumerate(CLOSED):
        hold = await ledger.reserve(ask(f"r{number}", USD))
        ended.append(await ledger.release(hold.hold_id, state))
    before = ledger.state(PLATFORM)
    for hold in ended:
        for ending in endings:
            error = await refusal(ending(hold.hold_id), HoldNotOpen)
            assert error.hold.state is hold.state
    for ending in endings:
        assert (await refusal(ending("h999999999999"), HoldNotOpen)).hold is None
    assert ledger.state(PLATFORM) == before


async def only_what_is_held_is_settled_doubted_or_deferred(bench: Bench) -> None:
    ledger = await bench.open()
    waiting = await ledger.reserve(deferred(ledger, "a", USD))
    doubted = await ledger.reserve(ask("b", USD))
    await ledger.doubt(doubted.hold_id)
    await refusal(ledger.settle(waiting.hold_id), HoldNotOpen)
    await refusal(ledger.doubt(waiting.hold_id), HoldNotOpen)
    await refusal(put_back(ledger, waiting, USD), HoldNotOpen)
    await refusal(put_back(ledger, doubted, USD), HoldNotOpen)
    held = await ledger.reserve(ask("c", USD))
    await refusal(ledger.dispatch(held.hold_id, target="t", before=""), HoldNotOpen)
    assert sums(ledger.state(PLATFORM)) == (0, 1, 1, 1)


async def truth_that_arrives_late_enters_above_the_limit(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", 300 * USD))
    await ledger.release(hold.hold_id)
    await commit(ledger, "b", 400 * USD)
    settled = await ledger.settle(hold.hold_id, note="applied after all", late=True)
    assert settled.state is HoldState.SETTLED
    state = ledger.state(PLATFORM)
    assert (state.used_micros(), state.remaining_micros()) == (700 * USD, 0)
    await refusal(ledger.reserve(ask("c", USD)), Refused)
    await refusal(ledger.settle(hold.hold_id, late=True), HoldNotOpen)


async def truth_may_arrive_late_for_whatever_was_given_back(bench: Bench) -> None:
    ledger = await bench.open()
    for number, state in enumerate(CLOSED):
        hold = await ledger.reserve(ask(f"r{number}", 10 * USD))
        await ledger.release(hold.hold_id, state)
        await ledger.settle(hold.hold_id, late=True)
        found = await ledger.find(PLATFORM, f"r{number}")
        assert found is not None
        assert found.state is HoldState.SETTLED
    assert sums(ledger.state(PLATFORM)) == (40, 0, 0, 0)


async def an_open_hold_is_not_settled_as_if_it_were_late(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", USD))
    await refusal(ledger.settle(hold.hold_id, late=True), HoldNotOpen)
    assert sums(ledger.state(PLATFORM)) == (0, 1, 0, 0)


async def late_truth_does_not_take_the_request_id_from_a_later_attempt(bench: Bench) -> None:
    ledger = await bench.open()
    first = await ledger.reserve(ask("a", USD))
    await ledger.release(first.hold_id)
    second = await ledger.reserve(ask("a", 2 * USD))
    await ledger.settle(first.hold_id, late=True)
    found = await ledger.find(PLATFORM, "a")
    assert found is not None
    assert found.hold_id == second.hold_id
    assert sums(ledger.state(PLATFORM)) == (1, 2, 0, 0)


async def a_newer_deferred_bid_takes_the_place_of_the_older(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    older = await ledger.reserve(deferred(ledger, "a", 80 * USD, target="campaigns/1"))
    # 90 does not fit beside 80, but it is only 10 more.
    newer = await ledger.reserve(deferred(ledger, "b", 90 * USD, target="campaigns/1"))
    assert sums(ledger.state(PLATFORM)) == (0, 0, 90, 0)
    assert ledger.open_holds() == (newer,)
    gone = await ledger.get(older.hold_id)
    assert gone is not None
    assert gone.state is HoldState.SUPERSEDED
    await ledger.reserve(deferred(ledger, "c", 10 * USD, target="campaigns/2"))
    assert len(ledger.open_holds(HoldState.DEFERRED)) == 2


async def a_live_bid_takes_the_place_of_a_deferred_one(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    await ledger.reserve(deferred(ledger, "a", 80 * USD, target="campaigns/1"))
    await ledger.reserve(ask("b", 90 * USD, target="campaigns/1"))
    assert sums(ledger.state(PLATFORM)) == (0, 90, 0, 0)


async def a_newer_bid_that_does_not_fit_leaves_the_older_waiting(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD), budget("meta", 100 * USD))
    older = await ledger.reserve(deferred(ledger, "a", 80 * USD, target="campaigns/1"))
    await refusal(ledger.reserve(deferred(ledger, "b", 101 * USD, target="campaigns/1")), Refused)
    assert ledger.open_holds() == (older,)
    # What the older one holds is given back only in the budgets that it counts in.
    await ledger.reserve(ask("t", 50 * USD, budget_ids=("meta",)))
    both = deferred(ledger, "c", 60 * USD, target="campaigns/1", budget_ids=(PLATFORM, "meta"))
    await refusal(ledger.reserve(both), Refused)
    assert sums(ledger.state(PLATFORM)) == (0, 0, 80, 0)


async def a_deferred_bid_of_another_target_or_platform_is_left_alone(bench: Bench) -> None:
    ledger = await bench.open()
    await ledger.reserve(deferred(ledger, "a", USD, target="campaigns/1"))
    await ledger.reserve(deferred(ledger, "b", USD, target="campaigns/2"))
    await ledger.reserve(deferred(ledger, "c", USD, target="campaigns/1", platform="meta"))
    assert sums(ledger.state(PLATFORM)) == (0, 0, 3, 0)


async def a_deferred_bid_of_another_campaign_is_left_alone(bench: Bench) -> None:
    """Nobody has checked yet that the target which it names is its campaign's."""
    ledger = await bench.open()
    own, foreign = ((PLATFORM, f"{PLATFORM}/campaigns/{number}") for number in (1, 2))
    older = deferred(ledger, "a", USD, target="ad_groups/11", budget_ids=own)
    await ledger.reserve(older)
    await ledger.reserve(deferred(ledger, "b", USD, target="ad_groups/11", budget_ids=foreign))
    await ledger.reserve(ask("c", USD, target="ad_groups/11", budget_ids=foreign))
    assert [hold.request_id for hold in ledger.open_holds()] == ["a", "c"]
    await ledger.reserve(deferred(ledger, "d", USD, target="ad_groups/11", budget_ids=own))
    assert [hold.request_id for hold in ledger.open_holds()] == ["c", "d"]


async def a_superseded_bid_is_told_the_newer_request_of_its_own_caller_alone(bench: Bench) -> None:
    ledger = await bench.open()
    notes = {}
    for number, actor in enumerate(("a", "b")):
        fields = {"target": f"campaigns/{number}"}
        older = await ledger.reserve(deferred(ledger, f"older{number}", USD, actor="a", **fields))
        await ledger.reserve(deferred(ledger, f"newer{number}", USD, actor=actor, **fields))
        gone = await ledger.get(older.hold_id)
        assert gone is not None
        notes[actor] = gone.note
    assert notes == {
        "a": "a newer bid took its place: newer0",
        "b": "a newer bid of another caller took its place",
    }


async def a_bid_may_be_deferred_on_a_target_in_doubt(bench: Bench) -> None:
    ledger = await bench.open()
    hold = await ledger.reserve(ask("a", USD, target="campaigns/1"))
    await ledger.doubt(hold.hold_id)
    waiting = await ledger.reserve(deferred(ledger, "b", USD, target="campaigns/1"))
    error = await refusal(
        ledger.dispatch(waiting.hold_id, target="campaigns/1", before=""), TargetBlocked
    )
    assert error.hold.hold_id == hold.hold_id
    assert sums(ledger.state(PLATFORM)) == (0, 0, 1, 1)


async def deferring_never_grows_and_gives_the_rest_back(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM, 100 * USD))
    hold = await ledger.reserve(ask("a", 100 * USD))
    for wrong in (100 * USD + 1, -1):
        try:
            await put_back(ledger, hold, wrong)
        except ValueError:
            continue
        raise AssertionError(f"deferred for {wrong}, having held {hold.amount_micros}")
    assert sums(ledger.state(PLATFORM)) == (0, 100, 0, 0)
    changed = await put_back(ledger, hold, 60 * USD)
    assert (changed.amount_micros, changed.source) == (60 * USD, "fallback")
    await ledger.reserve(ask("b", 40 * USD))
    await refusal(ledger.reserve(ask("c", USD)), Refused)


async def a_bid_that_goes_back_to_waiting_takes_the_place_of_an_older_one(bench: Bench) -> None:
    ledger = await bench.open()
    older = await ledger.reserve(deferred(ledger, "a", USD, target="campaigns/0"))
    newer = await ledger.reserve(ask("b", 2 * USD, target="campaigns/1"))
    await ledger.dispatch(older.hold_id, target="campaigns/1", before="")
    await put_back(ledger, older, USD)
    await put_back(ledger, newer, 2 * USD)
    assert [hold.request_id for hold in ledger.open_holds()] == ["b"]
    assert sums(ledger.state(PLATFORM)) == (0, 0, 2, 0)


async def a_bid_that_goes_back_to_waiting_gives_way_to_a_newer_one(bench: Bench) -> None:
    ledger = await bench.open()
    older = await ledger.reserve(deferred(ledger, "a", USD, target="campaigns/1"))
    await ledger.dispatch(older.hold_id, target="campaigns/1", before="")
    await ledger.reserve(deferred(ledger, "b", 2 * USD, target="campaigns/1"))
    put = await put_back(ledger, older, USD)
    assert put.state is HoldState.SUPERSEDED
    assert [hold.request_id for hold in ledger.open_holds()] == ["b"]
    assert sums(ledger.state(PLATFORM)) == (0, 0, 2, 0)


async def a_deferred_bid_is_dispatched_with_what_was_planned(bench: Bench) -> None:
    ledger = await bench.open()
    waiting = await ledger.reserve(deferred(ledger, "a", USD, target="campaigns/1"))
    assert waiting.dispatched_ns == 0
    bench.clock.advance(5)
    held = await ledger.dispatch(waiting.hold_id, target="portfolios/7", before="was 3")
    assert held.state is HoldState.HELD
    assert (held.target, held.before) == ("portfolios/7", "was 3")
    assert held.dispatched_ns == ledger.now_ns()
    assert held.created_ns == waiting.created_ns


async def a_paused_scope_dispatches_nothing_that_was_deferred(bench: Bench) -> None:
    ledger = await bench.open()
    scopes = (PLATFORM, campaign_scope(PLATFORM, "1001"))
    waiting = await ledger.reserve(deferred(ledger, "a", USD, budget_ids=scopes))
    for scope in (*scopes, ALL):
        await ledger.set_paused(scope, True, "stop")
        await refusal(ledger.dispatch(waiting.hold_id, target="t", before=""), Paused)
        assert ledger.pause_of(scopes) is not None
        await ledger.set_paused(scope, False, "go on")
        assert ledger.pause_of(scopes) is None
    assert sums(ledger.state(PLATFORM)) == (0, 0, 1, 0)
    await ledger.release(waiting.hold_id, HoldState.EXPIRED)
    assert sums(ledger.state(PLATFORM)) == (0, 0, 0, 0)


async def time_alone_frees_nothing_that_is_open(bench: Bench) -> None:
    ledger = await bench.open()
    await ledger.reserve(ask("a", USD))
    await ledger.reserve(deferred(ledger, "b", 2 * USD))
    doubted = await ledger.reserve(ask("c", 3 * USD))
    await ledger.doubt(doubted.hold_id)
    bench.clock.advance(40 * 86_400)
    assert sums(ledger.state(PLATFORM)) == (0, 1, 2, 3)


async def answers_and_reasons_are_remembered(bench: Bench) -> None:
    ledger = await bench.open()
    asked = ask("a", USD, request=b"\x00asked", before="was", ltv_micros=7, ai_bid_micros=8)
    hold = await ledger.reserve(asked)
    assert (hold.request, hold.before, hold.ltv_micros) == (b"\x00asked", "was", 7)
    await ledger.settle(hold.hold_id, answer=b"\xffplaced", note="as asked")
    settled = await ledger.get(hold.hold_id)
    assert settled is not None
    assert (settled.answer, settled.note) == (b"\xffplaced", "as asked")
    assert (settled.request, settled.before) == (b"\x00asked", "was")


async def refusals_are_counted_where_they_were_made(bench: Bench) -> None:
    ledger = await bench.open(budget(PLATFORM), budget("total", 500 * USD))
    await commit(ledger, "a", USD)
    ledger.veto((PLATFORM,))
    ledger.veto((PLATFORM, "unknown"))
    state = ledger.state(PLATFORM)
    assert (state.accepted_count, state.vetoed_count) == (1, 2)
    assert ledger.state("total").vetoed_count == 0
    bench.clock.advance(601)
    assert ledger.state(PLATFORM).vetoed_count == 0
