"""A change counts as made only when what Meta shows of it is what was sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors_server.connector import Finding
from smartconnectors_server.errors import OutcomeUnknown
from smartconnectors_server.platforms.meta import refusals
from smartconnectors_server.platforms.meta.read_back import fields_of
from smartconnectors_server.platforms.meta.refusals import Answered

if TYPE_CHECKING:
    from tests.server.platforms.meta.conftest import Rig

FORM = {
    "bid_strategy": "LOWEST_COST_WITH_MIN_ROAS",
    "optimization_goal": "VALUE",
    "bid_constraints": '{"roas_average_floor":20000}',
}
SHOWN = {
    "id": "10011",
    "bid_strategy": "LOWEST_COST_WITH_MIN_ROAS",
    "optimization_goal": "VALUE",
    "bid_constraints": {"roas_average_floor": 20000},
}
BUDGET = {"daily_budget": "5000"}


def made(document: Any, form: dict[str, str]) -> bool:
    answer = Answered(200, {}, json.dumps(document))
    error, _ = refusals.changed(answer, "10011", form, account_id="act_1")
    assert error is None or type(error) is OutcomeUnknown
    return error is None


@pytest.mark.parametrize(
    ("form", "document"),
    [
        (FORM, SHOWN),
        (FORM, {**SHOWN, "success": True}),
        (FORM, {"success": True}),
        (FORM, {"success": True, "optimization_goal": "VALUE"}),
        (FORM, {**SHOWN, "bid_constraints": {"roas_average_floor": 20000, "more": 1}}),
        (BUDGET, {"id": "10011", "daily_budget": "5000"}),
        (BUDGET, {"id": "10011", "daily_budget": 5000}),
        ({"status": "PAUSED"}, {"id": "10011", "status": "PAUSED"}),
        ({"targeting": "{}"}, {"success": True, "targeting": {"age_min": 18}}),
    ],
)
def test_an_object_that_is_as_it_was_to_be_is_a_change_that_was_made(
    form: dict[str, str], document: dict[str, Any]
) -> None:
    assert made(document, form)


@pytest.mark.parametrize(
    ("form", "document"),
    [
        (FORM, {**SHOWN, "optimization_goal": "REACH"}),
        (FORM, {**SHOWN, "success": False}),
        (FORM, {**SHOWN, "success": "true"}),
        (FORM, {**SHOWN, "id": "10012"}),
        (FORM, {**SHOWN, "success": True, "bid_strategy": "COST_CAP"}),
        (FORM, {**SHOWN, "bid_constraints": {"roas_average_floor": 40000}}),
        (FORM, {**SHOWN, "bid_constraints": {}}),
        (FORM, {**SHOWN, "bid_constraints": None}),
        (FORM, {"id": "10011", "optimization_goal": "VALUE"}),
        (FORM, {"id": "10011"}),
        (BUDGET, {"id": "10011", "daily_budget": "5001"}),
        (BUDGET, {"id": "10011", "daily_budget": 5000.0}),
        ({"daily_budget": "1"}, {"id": "10011", "daily_budget": True}),
        ({"status": "PAUSED"}, {"id": "10011", "status": "ACTIVE"}),
        ({"targeting": "{}"}, {"id": "10011", "targeting": {}}),
        ({}, {"id": "10011"}),
    ],
)
def test_an_answer_that_does_not_show_the_change_leaves_it_in_doubt(
    form: dict[str, str], document: dict[str, Any]
) -> None:
    assert not made(document, form)


def test_what_meta_completes_by_itself_is_not_read_back() -> None:
    assert (
        fields_of({**FORM, "targeting": "{}"}) == "bid_strategy,optimization_goal,bid_constraints"
    )
    assert fields_of({"targeting": "{}"}) == ""
    assert fields_of({"bid_strategy": "COST_CAP", "adset_bid_amounts": "{}"}) == "bid_strategy"


async def test_a_bid_that_meta_takes_and_does_not_make_is_in_doubt_and_found_not_applied(
    rig: Rig,
) -> None:
    request = rig.request()
    plan = await rig.plan(request)
    rig.sandbox.ignore_changes("10011")
    with pytest.raises(OutcomeUnknown, match="it shows another bid_constraints than was sent"):
        await rig.send(request, plan)
    assert await rig.look(request, plan) is Finding.NOT_APPLIED


async def test_a_validated_bid_is_not_read_back(rig: Rig) -> None:
    request = rig.request()
    await rig.send(request, await rig.plan(request), validate_only=True)
    assert rig.posts()[-1].facts["validate_only"]
