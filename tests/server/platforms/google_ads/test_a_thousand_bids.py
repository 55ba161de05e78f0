"""A thousand bids on a thousand campaigns, three of which go between plan and send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import PlatformRejected
from smartconnectors_server.platforms.google_ads.sandbox import (
    EXTRA_CAMPAIGNS_FROM,
    GoogleAdsSandbox,
)

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import MakeRig, Rig

MANY = 1000
LONG_MS = 20_000
"""A busy machine may take a while over a thousand campaigns."""


@pytest.fixture
async def sandbox(clock: ManualClock) -> AsyncIterator[GoogleAdsSandbox]:
    made = GoogleAdsSandbox(clock, extra_campaigns=MANY)
    yield made
    await made.close()


def many(rig: Rig) -> list[Any]:
    return [
        rig.request(str(EXTRA_CAMPAIGNS_FROM + number), f"bid-{number}") for number in range(MANY)
    ]


async def test_a_thousand_bids_take_two_reads_and_one_mutate_and_each_is_answered_for_itself(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig(timeout_ms=LONG_MS)
    requests = many(rig)
    await rig.connector.prefetch(requests)
    planned = await rig.plan_all(requests)
    removed = {3, 500, 999}
    for number in removed:
        rig.sandbox.remove_campaign(requests[number].bid.campaign_id)

    placed = await rig.connector.place_many(rig.batch(planned))

    assert rig.gate.reads == ["campaign", "overrides"]
    assert (len(rig.searches()), len(rig.mutates())) == (2, 1)
    assert rig.connector.batch_calls(MANY) == len(rig.mutates())
    for number, (request, answer) in enumerate(zip(requests, placed, strict=True)):
        campaign_id = request.bid.campaign_id
        if number in removed:
            assert type(answer) is PlatformRejected
            assert answer.metadata["platform_errors"] == (
                "context_error.OPERATION_NOT_PERMITTED_FOR_REMOVED_RESOURCE"
            )
            assert f"mutate_operations[{number}]" in answer.message
        else:
            assert isinstance(answer, pb.PlaceBidResponse)
            assert answer.google_ads.resource_name.endswith(f"/campaigns/{campaign_id}")
            assert answer.google_ads.platform_request_id.startswith("sandbox-")
    operations = rig.mutates()[0].facts["operations"]
    assert [operation["campaign_id"] for operation in operations] == [
        request.bid.campaign_id for request in requests
    ]
    assert [operation["custom_parameters"]["kikireq"] for operation in operations] == [
        request.bid.request_id for request in requests
    ]
    assert {operation["target_roas"] for operation in operations} == {2.0}
    refused = {n for n, operation in enumerate(operations) if not operation["applied"]}
    assert refused == removed
