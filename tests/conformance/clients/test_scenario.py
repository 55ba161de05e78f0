"""The scenario's own promises, and that its driver notices what differs; it is played by
`make test-clients`.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.clients.__main__ import BOUGHT, differences, expected_lines
from tests.conformance.clients.stage import Played, bought, read_scenario

APPLIED = {
    "changes": True,
    "applied": True,
    "facts": {"operations": [{"campaign_id": "1001", "target_roas": 6.0}]},
}


def as_expected(**other_lines: list[str]) -> Played:
    scenario = read_scenario()
    lines = {step["name"]: step["prints"] for step in scenario["steps"]}
    return Played({**lines, **other_lines}, scenario["bought"], "")


def found(played: Played) -> list[Any]:
    return differences(expected_lines(read_scenario()), {"go": played})


def test_what_is_as_the_scenario_says_does_not_differ() -> None:
    assert found(as_expected()) == []


def test_a_line_that_differs_is_named_with_both() -> None:
    expected = ["PLACED source=ai 75.00 USD"]
    seen = ["PLACED source=ai 75.01 USD"]
    assert found(as_expected(place=seen)) == [("go", "place", expected, seen)]


def test_a_step_that_the_scenario_does_not_have_differs() -> None:
    assert found(as_expected(more=["said"])) == [("go", "more", [], ["said"])]


def test_a_bid_that_was_bought_twice_differs() -> None:
    scenario = read_scenario()
    twice = bought(scenario, "google_ads", [APPLIED, APPLIED])
    assert twice == ["order-1", "order-1"]
    played = Played(as_expected().lines, {**scenario["bought"], "google_ads": twice}, "")
    assert [step for _, step, _, _ in found(played)] == [BOUGHT]


def test_a_change_that_no_bid_explains_is_nobodys() -> None:
    changed = {**APPLIED, "facts": {"operations": [{"campaign_id": "1009", "target_roas": 6.0}]}}
    assert bought(read_scenario(), "google_ads", [changed]) == ["nobody's"]


@pytest.mark.parametrize("platform", ["google_ads", "meta", "trade_desk"])
def test_no_two_bids_look_the_same_on_the_wire(platform: str) -> None:
    assert bought(read_scenario(), platform, []) == []
