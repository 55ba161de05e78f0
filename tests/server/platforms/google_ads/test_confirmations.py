"""A change counts as made when Google's answer shows the value that was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format

from smartconnectors_server.errors import OutcomeUnknown
from smartconnectors_server.platforms.google_ads.confirmations import unconfirmed
from smartconnectors_server.platforms.google_ads.library import Library, load

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import Rig

NAME = "customers/1/campaigns/7"


async def test_a_bid_that_google_takes_and_leaves_out_is_in_doubt(rig: Rig) -> None:
    rig.sandbox.ignore("campaign.target_roas.target_roas")
    with pytest.raises(OutcomeUnknown, match=r"does not show target_roas\.target_roas as it was"):
        await rig.bid(rig.request("1002"))


async def test_a_shared_strategy_that_google_leaves_as_it_was_is_in_doubt(rig: Rig) -> None:
    rig.sandbox.ignore("bidding_strategy.target_roas.target_roas")
    with pytest.raises(OutcomeUnknown, match="does not show"):
        await rig.bid(rig.request("1009"))


async def test_in_a_batch_only_the_bid_that_was_left_out_is_in_doubt(rig: Rig) -> None:
    rig.sandbox.ignore("campaign.target_roas.target_roas")
    planned = await rig.plan_all([rig.request("1001", "made"), rig.request("1002", "left-out")])
    made, left_out = await rig.connector.place_many(rig.batch(planned))
    assert not isinstance(made, Exception)
    assert type(left_out) is OutcomeUnknown


async def test_a_pause_that_google_leaves_out_is_no_success(rig: Rig) -> None:
    rig.sandbox.ignore("campaign.status")
    with pytest.raises(OutcomeUnknown, match="does not show status as it was sent"):
        await rig.pause("1001")


@pytest.fixture(scope="module")
def library() -> Library:
    return load("v26")


def operation(library: Library, **update: Any) -> Any:
    named = {"resourceName": NAME, **update}
    inner = {"update": named, "updateMask": ",".join(_paths(update))}
    document = {"mutateOperations": [{"campaignOperation": inner}]}
    return json_format.ParseDict(document, library.mutate_request()).mutate_operations[0]


def _paths(update: dict[str, Any]) -> list[str]:
    return ["targetRoas.targetRoas" if name == "targetRoas" else name for name in update]


def answer(library: Library, result: dict[str, Any], kind: str = "campaignResult") -> Any:
    document = {"mutateOperationResponses": [{kind: result}]}
    response = json_format.ParseDict(document, library.mutate_response())
    return response.mutate_operation_responses[0]


PARAMETERS = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
ROAS = {"targetRoas": {"targetRoas": 2.0}}


@pytest.mark.parametrize(
    ("update", "now", "lacking"),
    [
        (ROAS, ROAS, ""),
        # Kept as a percentage with two decimals.
        ({"targetRoas": {"targetRoas": 1.234567}}, {"targetRoas": {"targetRoas": 1.2346}}, ""),
        (ROAS, {"targetRoas": {"targetRoas": 2.01}}, "target_roas.target_roas as it was sent"),
        (ROAS, {}, "target_roas.target_roas as it was sent"),
        ({"urlCustomParameters": PARAMETERS}, {"urlCustomParameters": PARAMETERS[::-1]}, ""),
        (
            {"urlCustomParameters": PARAMETERS},
            {"urlCustomParameters": PARAMETERS[:1]},
            "url_custom_parameters as it was sent",
        ),
        ({"status": "PAUSED"}, {"status": "PAUSED"}, ""),
        ({"status": "PAUSED"}, {"status": "ENABLED"}, "status as it was sent"),
    ],
)
def test_every_field_of_the_mask_is_compared(
    library: Library, update: dict[str, Any], now: dict[str, Any], lacking: str
) -> None:
    shown = answer(library, {"resourceName": NAME, "campaign": {"resourceName": NAME, **now}})
    assert unconfirmed(operation(library, **update), shown) == lacking


@pytest.mark.parametrize(
    ("result", "kind", "lacking"),
    [
        ({"resourceName": NAME}, "campaignResult", "the resource as it is now"),
        (
            {"resourceName": "customers/1/campaigns/8", "campaign": ROAS},
            "campaignResult",
            "the resource that was to be changed",
        ),
        ({"resourceName": NAME}, "adGroupResult", "an answer to campaign_operation"),
    ],
)
def test_a_name_alone_confirms_nothing(
    library: Library, result: dict[str, Any], kind: str, lacking: str
) -> None:
    assert unconfirmed(operation(library, **ROAS), answer(library, result, kind)) == lacking
