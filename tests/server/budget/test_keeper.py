"""The keeper: which budgets a bid counts in, what a refusal becomes, and each hold ended once."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget, commit, deferred, sums
from tests.server.budget.conftest import House

from smartconnectors_server.budget import Verb
from smartconnectors_server.errors import (
    BudgetExceeded,
    BudgetPaused,
    LedgerUnavailable,
    NotFound,
    RequestIdReused,
    TargetInDoubt,
)
from smartconnectors_server.ledger import Hold, HoldState, Ledger

BOTH = (PLATFORM, "total")


async def state_of(house: House, hold: Hold) -> HoldState:
    found = await house.ledger.get(hold.hold_id)
    assert found is not None
    return found.state


async def test_a_bid_counts_in_its_platform_its_campaign_and_the_total(house: House) -> None:
    assert house.keeper.budget_ids_of(PLATFORM, "1001") == BOTH
    assert house.keeper.budget_ids_of("meta", "") == ("meta", "total")
    assert house.keeper.budget_ids_of("x", "1001") == ("total",)
    await house.ledger.close()
    ledger: Ledger = type(house.ledger)(house.ledger._directory, house.clock)
    await ledger.open([budget(), budget(f"{PLATFORM}/campaigns/1001")])
    house.keeper._ledger = ledger
    assert house.keeper.budget_ids_of(PLATFORM, "1001") == (
        PLATFORM,
        f"{PLATFORM}/campaigns/1001",
    )
    assert house.keeper.budget_ids_of(PLATFORM, "1002") == (PLATFORM,)
    await ledger.close()


async def test_a_refusal_is_counted_in_every_budget_that_was_asked(house: House) -> None:
    asked = ask("a", 501 * USD, budget_ids=BOTH)
    with pytest.raises(BudgetExceeded, match=r"google_ads: .* can never fit"):
        await house.keeper.reserve(asked)
    with pytest.raises(BudgetExceeded):
        await house.keeper.check(asked)
    assert [house.keeper.state(b).vetoed_count for b in (*BOTH, "meta")] == [2, 2, 0]


async def test_a_pause_is_counted_as_a_refusal(house: House) -> None:
    await house.keeper.set_paused("total", True, "stop")
    with pytest.raises(BudgetPaused, match="total is paused"):
        await house.keeper.reserve(ask("a", USD, budget_ids=BOTH))
    assert house.keeper.state("total").vetoed_count == 1


async def test_a_target_in_doubt_is_no_refusal_of_the_budget(house: House) -> None:
    hold = await house.keeper.reserve(ask("a", USD, target="campaigns/1"))
    await house.keeper.resolve(hold, Verb.DOUBT)
    with pytest.raises(TargetInDoubt, match=r"campaigns/1 \(request a\)") as raised:
        await house.keeper.reserve(ask("b", USD, target="campaigns/1"))
    assert raised.value.metadata == {"target": "campaigns/1", "hold_id": hold.hold_id}
    assert raised.value.retry_after_s is not None
    assert house.keeper.state(PLATFORM).vetoed_count == 0


async def test_a_request_id_in_use_is_refused(house: House) -> None:
    await house.keeper.reserve(ask("a", USD))
    with pytest.raises(RequestIdReused, match="'a'"):
        await house.keeper.reserve(ask("a", USD))


async def test_a_ledger_that_is_away_admits_nothing(house: House) -> None:
    await house.ledger.close()
    assert not house.keeper.available
    for attempt in (
        house.keeper.reserve(ask("a", USD)),
        house.keeper.check(ask("a", USD)),
        house.keeper.find(PLATFORM, "a"),
        house.keeper.record_calls(PLATFORM, 1, 1),
        house.keeper.set_limit(PLATFORM, USD, "x"),
        house.keeper.set_paused(PLATFORM, True, "x"),
    ):
        with pytest.raises(LedgerUnavailable, match="Nothing is admitted") as raised:
            await attempt
        assert raised.value.retry_after_s is not None


@pytest.mark.parametrize(
    ("verb", "state", "sum_after"),
    [
        (Verb.SETTLE, HoldState.SETTLED, (9, 0, 0, 0)),
        (Verb.SETTLE_ASSUMED, HoldState.SETTLED, (9, 0, 0, 0)),
        (Verb.RELEASE, HoldState.RELEASED, (0, 0, 0, 0)),
        (Verb.REJECT, HoldState.REJECTED, (0, 0, 0, 0)),
        (Verb.DOUBT, HoldState.IN_DOUBT, (0, 0, 0, 9)),
    ],
)
async def test_each_verb_leads_where_it_says(
    house: House, verb: Verb, state: HoldState, sum_after: tuple[int, int, int, int]
) -> None:
    hold = await house.keeper.reserve(ask("a", 9 * USD))
    changed = await house.keeper.resolve(hold, verb, answer=b"x", error="{}", note="why")
    assert changed.state is state
    assert "why" in changed.note
    assert sums(house.keeper.state(PLATFORM)) == sum_after


@pytest.mark.parametrize("verb", [Verb.RELEASE, Verb.REJECT, Verb.DOUBT, Verb.SETTLE_ASSUMED])
async def test_what_an_operator_ended_stays_so(house: House, verb: Verb) -> None:
    hold = await house.keeper.reserve(ask("a", USD))
    await house.keeper.end_by_operator(hold.hold_id, settled=False, reason="I looked")
    assert (await house.keeper.resolve(hold, verb)).state is HoldState.RELEASED


async def test_truth_enters_though_an_operator_gave_it_back(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    hold = await house.keeper.reserve(ask("a", 300 * USD))
    await house.keeper.end_by_operator(hold.hold_id, settled=False, reason="wrong")
    await commit(house.ledger, "b", 300 * USD)
    with caplog.at_level(logging.WARNING):
        await house.keeper.resolve(hold, Verb.SETTLE, answer=b"placed")
    assert sums(house.keeper.state(PLATFORM)) == (600, 0, 0, 0)
    assert "300000000 micros entered late (request a)" in caplog.text
    with pytest.raises(BudgetExceeded):
        await house.keeper.reserve(ask("c", USD))


async def test_a_hold_that_is_settled_already_is_not_settled_twice(house: House) -> None:
    hold = await house.keeper.reserve(ask("a", USD))
    await house.keeper.resolve(hold, Verb.SETTLE)
    await house.keeper.resolve(hold, Verb.SETTLE)
    assert sums(house.keeper.state(PLATFORM)) == (1, 0, 0, 0)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("start", ["held", "deferred", "in doubt", "released", "superseded"])
async def test_an_operator_ends_a_hold_wherever_it_stands(
    house: House, start: str, settled: bool
) -> None:
    if start in {"deferred", "superseded"}:
        hold = await house.keeper.reserve(deferred(house.ledger, "a", USD, target="t"))
    else:
        hold = await house.keeper.reserve(ask("a", USD))
    if start == "in doubt":
        await house.keeper.resolve(hold, Verb.DOUBT)
    elif start == "released":
        await house.keeper.resolve(hold, Verb.RELEASE)
    elif start == "superseded":
        newer = await house.keeper.reserve(deferred(house.ledger, "b", USD, target="t"))
        await house.keeper.expire(newer)
    ended = await house.keeper.end_by_operator(hold.hold_id, settled=settled, reason="I looked")
    if settled:
        assert (ended.state, ended.note) == (HoldState.SETTLED, "operator: I looked")
    else:
        assert not ended.state.is_open
    assert sums(house.keeper.state(PLATFORM)) == (int(settled), 0, 0, 0)
    again = await house.keeper.end_by_operator(hold.hold_id, settled=settled, reason="once more")
    assert again.state is ended.state
    assert sums(house.keeper.state(PLATFORM)) == (int(settled), 0, 0, 0)


async def test_a_deferred_bid_expires(house: House) -> None:
    hold = await house.keeper.reserve(deferred(house.ledger, "a", USD))
    assert (await house.keeper.expire(hold)).state is HoldState.EXPIRED
    assert sums(house.keeper.state(PLATFORM)) == (0, 0, 0, 0)


async def test_a_deferred_bid_is_dispatched_within_pause_and_doubt(house: House) -> None:
    waiting = await house.keeper.reserve(deferred(house.ledger, "a", USD, target="t"))
    doubted = await house.keeper.reserve(ask("b", USD, target="busy"))
    await house.keeper.resolve(doubted, Verb.DOUBT)
    with pytest.raises(TargetInDoubt):
        await house.keeper.dispatch(waiting, target="busy", before="")
    await house.keeper.set_paused(PLATFORM, True, "stop")
    with pytest.raises(BudgetPaused):
        await house.keeper.dispatch(waiting, target="t", before="")
    await house.keeper.set_paused(PLATFORM, False, "go on")
    held = await house.keeper.dispatch(waiting, target="t", before="")
    put: dict[str, Any] = {"source": "fallback", "uncapped_micros": 0, "note": "not sent"}
    back = await house.keeper.defer(held, amount_micros=USD, until_ns=1, **put)
    assert back.state is HoldState.DEFERRED


@pytest.mark.parametrize("name", ["nothing", ""])
async def test_an_unknown_budget_or_hold_is_named(house: House, name: str) -> None:
    for attempt in (
        house.keeper.set_limit(name, 1, "x"),
        house.keeper.set_paused(name, True, "x"),
    ):
        with pytest.raises(NotFound, match="there are: google_ads, meta, total"):
            await attempt
    with pytest.raises(NotFound, match="no hold"):
        await house.keeper.end_by_operator(name, settled=True, reason="x")


async def test_a_removed_budget_does_not_keep_a_hold_from_ending(house: House) -> None:
    hold = await house.keeper.reserve(ask("a", USD, budget_ids=(PLATFORM, "total")))
    await house.ledger.close()
    ledger = type(house.ledger)(house.ledger._directory, house.clock)
    await ledger.open([budget()])
    house.keeper._ledger = ledger
    await house.keeper.resolve(hold, Verb.SETTLE)
    assert sums(house.keeper.state(PLATFORM)) == (1, 0, 0, 0)
    await ledger.close()
