"""The keeper: which budgets a bid counts in, what a refusal becomes, and each hold ended once."""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget, commit, deferred, sums
from tests.server.budget.conftest import House

from smartconnectors_server.budget import Verb
from smartconnectors_server.errors import (
    BudgetExceeded,
    BudgetPaused,
    InternalError,
    LedgerUnavailable,
    NotFound,
    OutcomeUnknown,
    RequestIdReused,
    RequestInProgress,
    TargetInDoubt,
)
from smartconnectors_server.ledger import Hold, HoldState, Ledger
from smartconnectors_server.ledger.store import FILE_NAME

BOTH = (PLATFORM, "total")


async def state_of(house: House, hold: Hold) -> HoldState:
    found = await house.ledger.get(hold.hold_id)
    assert found is not None
    return found.state


async def test_a_bid_counts_in_its_platform_its_campaign_and_the_total(house: House) -> None:
    campaign = f"{PLATFORM}/campaigns/1001"
    assert house.keeper.budget_ids_of(PLATFORM, "1001") == (PLATFORM, campaign, "total")
    assert house.keeper.budget_ids_of("meta", "") == ("meta", "total")
    assert house.keeper.budget_ids_of("x", "1001") == ("x/campaigns/1001", "total")
    await house.ledger.close()
    ledger: Ledger = type(house.ledger)(house.ledger._directory, house.clock)
    await ledger.open([budget(), budget(campaign)])
    house.keeper._ledger = ledger
    assert house.keeper.budget_ids_of(PLATFORM, "1001") == (PLATFORM, campaign)
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
    assert raised.value.retry_after_s == 2.0
    assert house.keeper.state(PLATFORM).vetoed_count == 0


@pytest.mark.parametrize("verb", ["reserve", "check"])
async def test_a_target_in_doubt_names_another_callers_request_to_nobody(
    house: House, verb: str
) -> None:
    hold = await house.keeper.reserve(ask("secret", USD, target="campaigns/1", actor="alice"))
    await house.keeper.resolve(hold, Verb.DOUBT)
    asked = ask("b", USD, target="campaigns/1", actor="bob")
    with pytest.raises(TargetInDoubt) as raised:
        await getattr(house.keeper, verb)(asked)
    assert raised.value.metadata == {"target": "campaigns/1"}
    assert "secret" not in raised.value.message
    assert "an earlier change of campaigns/1 has an unknown outcome" in raised.value.message


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
        house.keeper.find(PLATFORM, "a", actor=""),
        house.keeper.record_calls(PLATFORM, 1, 1),
        house.keeper.set_limit(PLATFORM, USD, "x"),
        house.keeper.set_paused(PLATFORM, True, "x"),
    ):
        with pytest.raises(LedgerUnavailable, match="Nothing is admitted") as raised:
            await attempt
        assert raised.value.retry_after_s == 1.0


@pytest.mark.parametrize(
    ("verb", "state", "kept", "sum_after"),
    [
        (Verb.SETTLE, HoldState.SETTLED, (b"x", "", "why"), (9, 0, 0, 0)),
        (Verb.SETTLE_ASSUMED, HoldState.SETTLED, (b"x", "", "assumed: why"), (9, 0, 0, 0)),
        (Verb.RELEASE, HoldState.RELEASED, (b"x", "{}", "why"), (0, 0, 0, 0)),
        (Verb.REJECT, HoldState.REJECTED, (b"x", "{}", "why"), (0, 0, 0, 0)),
        (Verb.DOUBT, HoldState.IN_DOUBT, (b"", "{}", "why"), (0, 0, 0, 9)),
    ],
)
async def test_each_verb_leads_where_it_says(
    house: House,
    verb: Verb,
    state: HoldState,
    kept: tuple[bytes, str, str],
    sum_after: tuple[int, int, int, int],
) -> None:
    hold = await house.keeper.reserve(ask("a", 9 * USD))
    changed = await house.keeper.resolve(hold, verb, answer=b"x", error="{}", note="why")
    assert changed.state is state
    assert (changed.answer, changed.error, changed.note) == kept
    assert sums(house.keeper.state(PLATFORM)) == sum_after


async def test_what_is_assumed_says_why_though_nobody_does(house: House) -> None:
    hold = await house.keeper.reserve(ask("a", USD))
    settled = await house.keeper.resolve(hold, Verb.SETTLE_ASSUMED)
    assert settled.note == "assumed: the platform could not say"


async def test_a_hold_that_the_ledger_does_not_know_is_an_error_of_ours(house: House) -> None:
    hold = await house.keeper.reserve(ask("a", USD))
    stranger = dataclasses.replace(hold, hold_id="h999999999999")
    with pytest.raises(InternalError, match="h999999999999"):
        await house.keeper.resolve(stranger, Verb.SETTLE)


async def doubted(house: House, request_id: str, micros: int) -> Hold:
    """A hold whose outcome is not known."""
    hold = await house.keeper.reserve(ask(request_id, micros))
    return await house.keeper.resolve(hold, Verb.DOUBT)


@pytest.mark.parametrize("settled", [True, False])
async def test_an_operator_cannot_end_a_hold_whose_call_is_under_way(
    house: House, settled: bool
) -> None:
    hold = await house.keeper.reserve(ask("a", USD))
    with pytest.raises(RequestInProgress, match="once it is in doubt") as refused:
        await house.keeper.end_by_operator(hold.hold_id, settled=settled, reason="I think")
    assert refused.value.metadata == {"request_id": "a", "hold_id": hold.hold_id}
    assert sums(house.keeper.state(PLATFORM)) == (0, 1, 0, 0)
    await house.keeper.resolve(hold, Verb.SETTLE)
    assert sums(house.keeper.state(PLATFORM)) == (1, 0, 0, 0)


@pytest.mark.parametrize("verb", [Verb.RELEASE, Verb.REJECT, Verb.DOUBT, Verb.SETTLE_ASSUMED])
async def test_what_an_operator_ended_stays_so(house: House, verb: Verb) -> None:
    hold = await doubted(house, "a", USD)
    await house.keeper.end_by_operator(hold.hold_id, settled=False, reason="I looked")
    assert (await house.keeper.resolve(hold, verb)).state is HoldState.RELEASED


async def test_truth_enters_though_an_operator_gave_it_back(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    hold = await doubted(house, "a", 300 * USD)
    await house.keeper.end_by_operator(hold.hold_id, settled=False, reason="wrong")
    await commit(house.ledger, "b", 300 * USD)
    with caplog.at_level(logging.WARNING):
        settled = await house.keeper.resolve(hold, Verb.SETTLE, answer=b"placed")
    assert settled.answer == b"placed"
    assert sums(house.keeper.state(PLATFORM)) == (600, 0, 0, 0)
    assert "300000000 micros entered late (request a)" in caplog.text
    with pytest.raises(BudgetExceeded):
        await house.keeper.reserve(ask("c", USD))


async def test_late_truth_that_is_not_on_disk_is_told_as_an_unknown_outcome(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hold = await doubted(house, "a", USD)
    await house.keeper.end_by_operator(hold.hold_id, settled=False, reason="wrong")
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(OutcomeUnknown, match="an operator had given back") as raised,
    ):
        await house.keeper.resolve(hold, Verb.SETTLE)
    assert raised.value.retry_after_s == 1.0, "it may be asked for again, like the ledger"
    assert "1000000 micros entered late (request a)" in caplog.text, "it counts all the same"
    other.execute("ROLLBACK")
    other.close()
    assert sums(house.keeper.state(PLATFORM)) == (1, 0, 0, 0)


async def test_a_hold_that_is_settled_already_is_not_settled_twice(house: House) -> None:
    hold = await house.keeper.reserve(ask("a", USD))
    await house.keeper.resolve(hold, Verb.SETTLE)
    await house.keeper.resolve(hold, Verb.SETTLE)
    assert sums(house.keeper.state(PLATFORM)) == (1, 0, 0, 0)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("start", ["deferred", "in doubt", "released", "superseded"])
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
        assert ended.note == "operator: I looked" or start in {"released", "superseded"}
    assert sums(house.keeper.state(PLATFORM)) == (int(settled), 0, 0, 0)
    again = await house.keeper.end_by_operator(hold.hold_id, settled=settled, reason="once more")
    assert again.state is ended.state
    assert sums(house.keeper.state(PLATFORM)) == (int(settled), 0, 0, 0)


async def test_a_deferred_bid_expires(house: House) -> None:
    hold = await house.keeper.reserve(deferred(house.ledger, "a", USD))
    expired = await house.keeper.expire(hold)
    assert expired.state is HoldState.EXPIRED
    assert expired.note == "waited too long for the circuit breaker"
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
    put: dict[str, Any] = {"source": "fallback", "uncapped_micros": 7, "note": "not sent"}
    back = await house.keeper.defer(held, amount_micros=USD, until_ns=1, **put)
    assert back.state is HoldState.DEFERRED
    assert {name: getattr(back, name) for name in put} == put


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


async def test_the_keeper_shows_what_the_ledger_knows(house: House) -> None:
    keeper = house.keeper
    assert keeper.available
    assert keeper.now_ns() == house.ledger.now_ns()
    assert keeper.budget_ids() == ("google_ads", "meta", "total")
    held = await keeper.reserve(ask("a", USD))
    waiting = await keeper.reserve(deferred(house.ledger, "b", USD))
    assert keeper.open_holds() == (held, waiting)
    assert keeper.open_holds(HoldState.DEFERRED) == (waiting,)
    priced = await keeper.reserve(ask("c", USD, ltv_micros=5))
    settled = await keeper.resolve(priced, Verb.SETTLE)
    assert keeper.recent_settled(PLATFORM) == (settled,)
    assert await keeper.find(PLATFORM, "c", actor="") == settled
    await keeper.record_calls("meta", 5, 2)
    assert await keeper.calls_since("meta", 4) == ((5, 2),)


async def test_the_audit_ledger_is_read_by_budget_request_and_page(house: House) -> None:
    async def requests(**chosen: Any) -> tuple[list[str], str]:
        asked = {"budget_id": "", "request_id": "", "size": 100, "token": "", **chosen}
        page = await house.keeper.entries(**asked)
        return [entry.request_id for entry in page.rows if entry.hold_id], page.next_token

    await house.keeper.reserve(ask("a", USD))
    await house.keeper.reserve(ask("b", USD, budget_ids=("meta",)))
    await house.keeper.reserve(ask("c", USD))
    everything, _ = await requests()
    assert everything == ["a", "b", "c"]
    assert (await requests(budget_id="meta"))[0] == ["b"]
    assert (await requests(request_id="c"))[0] == ["c"]
    first, token = await requests(size=1, budget_id="meta")
    second, _ = await requests(token=token, budget_id="meta")
    assert first + second == ["b"]
    assert token


async def test_an_operators_word_is_on_disk_when_it_is_answered(house: House) -> None:
    hold = await doubted(house, "a", USD)
    await house.keeper.end_by_operator(hold.hold_id, settled=True, reason="I looked")
    with sqlite3.connect(house.ledger._directory / "ledger.sqlite3") as file:
        states = file.execute("SELECT state FROM holds").fetchall()
    file.close()
    assert states == [("settled",)]


async def test_who_changes_a_budget_is_shown_it(house: House) -> None:
    changed = await house.keeper.set_limit(PLATFORM, 7 * USD, "less")
    assert changed.limits[0].limit.limit_micros == 7 * USD
    await house.keeper.set_paused(PLATFORM, True, "stop")
    assert house.keeper.state(PLATFORM).paused


async def test_a_removed_budget_does_not_keep_a_hold_from_ending(house: House) -> None:
    hold = await house.keeper.reserve(ask("a", USD, budget_ids=(PLATFORM, "total")))
    await house.ledger.close()
    ledger = type(house.ledger)(house.ledger._directory, house.clock)
    await ledger.open([budget()])
    house.keeper._ledger = ledger
    await house.keeper.resolve(hold, Verb.SETTLE)
    assert sums(house.keeper.state(PLATFORM)) == (1, 0, 0, 0)
    await ledger.close()
