"""Which hold stands in another's way: the oldest in doubt, on its own target, until it ends."""

from __future__ import annotations

import dataclasses

from tests.conformance.ledger.bench import PLATFORM, USD, ask

from smartconnectors_server.ledger import Hold, HoldState
from smartconnectors_server.ledger.targets import TargetIndex

TARGET = "campaigns/1"


def in_doubt(hold_id: str) -> Hold:
    held = Hold.begun(ask(hold_id, USD, target=TARGET), hold_id, 1)
    return dataclasses.replace(held, state=HoldState.IN_DOUBT)


def test_the_oldest_doubt_is_the_one_that_is_named() -> None:
    index = TargetIndex()
    doubts = [in_doubt(f"h{number}") for number in range(1, 5)]
    for doubt in (doubts[2], doubts[0], doubts[3], doubts[1]):
        index.add(doubt)
    for doubt in doubts:
        assert index.in_doubt_on(PLATFORM, TARGET) == doubt.hold_id
        index.remove(doubt)
    assert index.in_doubt_on(PLATFORM, TARGET) is None


def waiting(hold_id: str, campaign: str) -> Hold:
    budget_ids = (PLATFORM, f"{PLATFORM}/campaigns/{campaign}", "total")
    held = Hold.begun(ask(hold_id, USD, target=TARGET, budget_ids=budget_ids), hold_id, 1)
    return dataclasses.replace(held, state=HoldState.DEFERRED)


def test_each_campaign_has_one_deferred_hold_on_a_target() -> None:
    index = TargetIndex()
    own, foreign = waiting("h1", "1"), waiting("h2", "2")
    index.add(own)
    assert index.deferred_beside(foreign) is None
    index.add(foreign)
    assert index.deferred_beside(waiting("h3", "1")) == "h1"
    assert index.deferred_beside(waiting("h3", "2")) == "h2"
    index.remove(own)
    assert index.deferred_beside(own) is None
    assert index.deferred_beside(foreign) == "h2"


def test_a_target_without_open_holds_takes_no_memory() -> None:
    index = TargetIndex()
    index.add(in_doubt("h1"))
    index.remove(in_doubt("h1"))
    index.add(waiting("h2", "1"))
    index.remove(waiting("h2", "1"))
    assert not index._deferred
    assert not index._in_doubt, "there is a new target with nearly every bid"
