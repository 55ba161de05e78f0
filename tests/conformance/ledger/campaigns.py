"""A limit for every campaign that has none of its own."""

from __future__ import annotations

from typing import Any

from tests.conformance.ledger.bench import (
    PLATFORM,
    USD,
    Bench,
    all_entries,
    ask,
    budget,
    commit,
    deferred,
    refusal,
)

from smartconnectors_server.ledger import EVERY_CAMPAIGN, Ledger, Refused, campaign_scope

EVERY = budget(campaign_scope(PLATFORM, EVERY_CAMPAIGN), 50 * USD)
NAMED = budget(campaign_scope(PLATFORM, "named"), 80 * USD)
BUDGETS = (budget(PLATFORM, 500 * USD), EVERY, NAMED)


def on(campaign: str) -> dict[str, Any]:
    """A bid on a campaign, as the keeper scopes it."""
    scope = campaign_scope(PLATFORM, campaign)
    return {"budget_ids": (PLATFORM, scope), "target": f"campaigns/{campaign}"}


def committed(ledger: Ledger, campaign: str) -> int:
    return ledger.state(campaign_scope(PLATFORM, campaign)).limits[0].committed_micros


async def each_campaign_has_its_own_and_a_named_one_keeps_its_limit(bench: Bench) -> None:
    ledger = await bench.open(*BUDGETS)
    for campaign in ("one", "two"):
        await commit(ledger, f"{campaign}-a", 30 * USD, **on(campaign))
        refused = await refusal(
            ledger.reserve(ask(f"{campaign}-b", 21 * USD, **on(campaign))), Refused
        )
        assert refused.state.budget_id == campaign_scope(PLATFORM, campaign)
        await commit(ledger, f"{campaign}-c", 20 * USD, **on(campaign))
    await commit(ledger, "named", 80 * USD, **on("named"))
    assert (committed(ledger, "one"), committed(ledger, "named")) == (50 * USD, 80 * USD)
    assert ledger.state(PLATFORM).limits[0].committed_micros == 180 * USD


async def a_bid_above_it_is_refused_and_leaves_nothing(bench: Bench) -> None:
    ledger = await bench.open(*BUDGETS)
    before = ledger.budget_ids()
    refused = await refusal(ledger.reserve(ask("a", 51 * USD, **on("one"))), Refused)
    assert refused.blocked_by == "limit"
    await refusal(ledger.check(ask("a", 51 * USD, **on("one"))), Refused)
    await ledger.check(ask("b", 50 * USD, **on("one")))
    assert ledger.budget_ids() == before
    assert EVERY.budget_id not in before


async def it_counts_what_was_committed_and_what_is_open_after_a_restart(bench: Bench) -> None:
    ledger = await bench.open(*BUDGETS)
    await commit(ledger, "a", 30 * USD, **on("one"))
    await ledger.reserve(deferred(ledger, "b", 40 * USD, **on("two")))
    ledger = await bench.restart(*BUDGETS)
    await refusal(ledger.reserve(ask("c", 21 * USD, **on("one"))), Refused)
    assert ledger.state(campaign_scope(PLATFORM, "two")).deferred_micros == 40 * USD
    await commit(ledger, "d", 20 * USD, **on("one"))


async def an_operators_limit_for_one_of_them_survives_a_restart(bench: Bench) -> None:
    ledger = await bench.open(*BUDGETS)
    await commit(ledger, "a", 30 * USD, **on("one"))
    await ledger.set_limit(campaign_scope(PLATFORM, "one"), 100 * USD, "more")
    ledger = await bench.restart(*BUDGETS)
    await commit(ledger, "b", 60 * USD, **on("one"))
    await commit(ledger, "d", 50 * USD, **on("two"))


async def what_it_is_configured_to_be_is_on_record_before_the_first_hold(bench: Bench) -> None:
    ledger = await bench.open(*BUDGETS)
    await commit(ledger, "a", 30 * USD, **on("one"))
    lines = [
        line.verb
        for line in await all_entries(ledger)
        if campaign_scope(PLATFORM, "one") in line.budget_ids
    ]
    assert lines == ["configure", "reserve", "settle"]
