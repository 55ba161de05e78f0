"""The keeper: who asked for what, who is told of it, and what is found again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, commit, deferred
from tests.server.budget.conftest import House
from tests.server.budget.test_keeper import doubted

from smartconnectors_server.budget import Keeper, Verb
from smartconnectors_server.errors import NotFound, RequestInProgress
from smartconnectors_server.ledger import Erased


async def actors(house: House, verb: str) -> list[str]:
    """Who the audit ledger says asked for what was done by this verb."""
    page = await house.keeper.entries(budget_id="", request_id="", size=100, token="")
    return [entry.actor for entry in page.rows if entry.verb == verb]


async def test_the_audit_ledger_names_the_operator_whatever_was_asked(house: House) -> None:
    keeper = house.keeper
    by: dict[str, Any] = {"reason": "I looked", "actor": "ops"}
    await keeper.end_by_operator((await doubted(house, "a", USD)).hold_id, settled=True, **by)
    given_back = await doubted(house, "b", USD)
    await keeper.end_by_operator(given_back.hold_id, settled=False, **by)
    await keeper.end_by_operator(given_back.hold_id, settled=True, **by)
    waiting = await keeper.reserve(deferred(house.ledger, "c", USD))
    await keeper.end_by_operator(waiting.hold_id, settled=True, **by)
    await keeper.set_limit(PLATFORM, 400 * USD, "less", actor="ops")
    await keeper.erase("c0ffee", "asked to", actor="ops")
    assert await actors(house, "settle") == ["ops", "ops"]
    for verb in ("release", "settle_late", "dispatch", "limit", "erase"):
        assert await actors(house, verb) == ["ops"], verb


async def test_who_waits_for_a_call_under_way_may_ask_again_soon(house: House) -> None:
    hold = await house.keeper.reserve(ask("a", USD))
    with pytest.raises(RequestInProgress) as refused:
        await house.keeper.end_by_operator(hold.hold_id, settled=True, reason="I think")
    assert refused.value.retry_after_s == 0.5


async def test_each_hold_that_is_committed_is_told_once(house: House) -> None:
    told: list[str] = []
    keeper = Keeper(house.ledger, house.watch, lambda hold: told.append(hold.request_id))
    await keeper.resolve(await keeper.reserve(ask("a", USD)), Verb.SETTLE)
    await keeper.resolve(await keeper.reserve(ask("b", USD)), Verb.RELEASE)
    given_back = await doubted(house, "c", USD)
    await keeper.end_by_operator(given_back.hold_id, settled=False, reason="wrong")
    assert told == ["a"]
    await keeper.end_by_operator(given_back.hold_id, settled=True, reason="it is there")
    await keeper.resolve(given_back, Verb.SETTLE)
    assert told == ["a", "c"]


async def test_several_limits_are_changed_together_and_shown(house: House) -> None:
    seen = house.watch.subscribe([PLATFORM])
    assert (await anext(seen)).limits[0].limit.limit_micros == 500 * USD
    await house.keeper.set_limits({PLATFORM: 7 * USD, "meta": 8 * USD}, "less")
    assert (await anext(seen)).limits[0].limit.limit_micros == 7 * USD
    assert house.keeper.state("meta").limits[0].limit.limit_micros == 8 * USD
    with pytest.raises(NotFound, match="there are: google_ads, meta, total"):
        await house.keeper.set_limits({"meta": USD, "nothing": USD}, "less")
    assert house.keeper.state("meta").limits[0].limit.limit_micros == 8 * USD


async def test_a_pause_is_found_by_what_it_stops(house: House) -> None:
    assert house.keeper.pause_of([PLATFORM, "total"]) is None
    await house.keeper.set_paused("total", True, "stop", actor="ops")
    pause = house.keeper.pause_of([PLATFORM, "total"])
    assert pause is not None
    assert (pause.scope, pause.reason, pause.actor) == ("total", "stop", "ops")


async def test_what_was_erased_is_counted(house: House) -> None:
    await commit(house.ledger, "a", USD, customer="c0ffee")
    await house.keeper.reserve(ask("b", USD, customer="c0ffee"))
    assert await house.keeper.erase("c0ffee", "asked to") == Erased(holds=1, waiting=1)


async def test_campaigns_are_kept_in_the_same_ledger(house: House) -> None:
    campaign = f"{PLATFORM}/campaigns/1001"
    await commit(house.ledger, "a", USD, budget_ids=(PLATFORM, campaign))
    assert await house.keeper.campaigns.changed(PLATFORM) == ("1001",)
