"""Price histories: each caller's own, the last hundred bids, of the callers that settled last."""

from __future__ import annotations

import dataclasses

from tests.conformance.ledger.bench import PLATFORM, USD, ask

from smartconnectors_server.ledger import Hold, HoldState
from smartconnectors_server.ledger.prices import MOST_HISTORIES, Prices


def settled(number: int, actor: str = "a", *, platform: str = PLATFORM, ltv: int = USD) -> Hold:
    asked = ask(f"r{number}", USD, actor=actor, platform=platform, ltv_micros=ltv)
    begun = Hold.begun(asked, f"h{number:04d}", number)
    return dataclasses.replace(begun, state=HoldState.SETTLED)


def test_what_carries_no_price_is_in_no_history() -> None:
    prices = Prices()
    prices.add(settled(1, ltv=0))
    assert prices.of(PLATFORM) == prices.of(PLATFORM, "a") == ()
    assert list(prices.actors(PLATFORM)) == []


def test_platforms_and_callers_have_histories_of_their_own() -> None:
    prices = Prices()
    first, other, third = settled(1), settled(2, "b"), settled(3)
    elsewhere = settled(4, platform="meta")
    for one in (first, other, third, elsewhere):
        prices.add(one)
    assert prices.of(PLATFORM, "a") == (first, third)
    assert prices.of(PLATFORM, "b") == (other,)
    assert prices.of(PLATFORM) == (first, other, third)
    assert prices.of("meta") == (elsewhere,)
    assert list(prices.actors(PLATFORM)) == ["a", "b"]


def test_a_history_has_the_last_hundred() -> None:
    prices = Prices()
    holds = [settled(number) for number in range(103)]
    for one in holds:
        prices.add(one)
    assert prices.of(PLATFORM, "a") == tuple(holds[3:])


def test_the_caller_that_has_not_settled_for_longest_loses_its_history() -> None:
    prices = Prices()
    for number in range(MOST_HISTORIES):
        prices.add(settled(number, f"c{number}"))
    prices.add(settled(200, "c0"))
    prices.add(settled(201, "new"))
    assert prices.of(PLATFORM, "c1") == ()
    assert len(prices.of(PLATFORM, "c0")) == 2
    assert len(list(prices.actors(PLATFORM))) == MOST_HISTORIES
