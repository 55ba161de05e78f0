"""Many bids at once: reads of fifty campaigns, batches, and an answer for each bid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.server.platforms.meta.conftest import call_of

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.connector.sandbox import Fault, FaultKind
from smartconnectors_server.errors import (
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    UnknownTarget,
)

if TYPE_CHECKING:
    from tests.server.platforms.meta.conftest import MakeRig, Raw, Rig

    from smartconnectors_server.platforms.meta.sandbox import MetaSandbox


async def test_prefetching_reads_fifty_campaigns_at_once(rig: Rig) -> None:
    requests = [rig.request(str(number)) for number in range(1001, 1121)]
    await rig.connector.prefetch(requests)
    assert rig.gate.reads == ["campaign"] * 3
    for number in range(1001, 1011):
        await rig.plan(rig.request(str(number)))
    assert len(rig.gate.reads) == 3


async def test_prefetching_leaves_to_plan_what_meta_refuses_and_what_is_no_id(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig(ad_account_id="act_1000000009")
    await rig.connector.prefetch([rig.request("1001"), rig.request("../me")])
    with pytest.raises(PlatformRejected):
        await rig.plan(rig.request("1001"))


async def test_prefetching_says_when_meta_cannot_be_asked(rig: Rig) -> None:
    await rig.sandbox.add_fault(Fault(FaultKind.REFUSE))
    with pytest.raises(PlatformUnavailable):
        await rig.connector.prefetch([rig.request("1001")])


async def test_many_bids_are_one_request_and_each_counts(rig: Rig) -> None:
    requests = [rig.request(str(number), f"bid-{number}") for number in range(1001, 1011)]
    results = await rig.place_many(*requests)
    assert [result.meta.object_id for result in results] == [f"10{n:02d}1" for n in range(1, 11)]
    assert all(result.meta.trace_id for result in results)
    assert [entry.facts["campaign_id"] for entry in rig.posts()] == [
        str(number) for number in range(1001, 1011)
    ]
    assert all(entry.facts["batch"] and entry.applied for entry in rig.posts())
    assert (rig.connector.batch_calls(10), rig.connector.max_batch) == (10, 50)
    assert (await rig.plan(requests[0])).unchanged


async def test_of_many_bids_one_that_is_refused_does_not_touch_the_others(
    rig: Rig, raw: Raw
) -> None:
    requests = [rig.request("1001"), rig.request("1012"), rig.request("1003")]
    requests[1].bid_cap.SetInParent()
    planned = [(each, call_of("PlaceBid", plan=await rig.plan(each))) for each in requests]
    # The ad set aims at value by the time the cap arrives.
    await raw.post(
        "/10121",
        bid_strategy="LOWEST_COST_WITHOUT_CAP",
        optimization_goal="VALUE",
    )
    first, refused, third = await rig.connector.place_many(planned)
    assert isinstance(first, pb.PlaceBidResponse)
    assert isinstance(refused, PlatformRejected)
    assert isinstance(third, pb.PlaceBidResponse)
    assert (await rig.plan(requests[2])).unchanged


async def test_two_ad_sets_of_one_campaign_go_in_two_batches(rig: Rig) -> None:
    requests = [rig.request("1011", f"bid-{number}") for number in (1, 2)]
    requests[0].ad_set_id, requests[1].ad_set_id = "10111", "10112"
    await rig.place_many(*requests, rig.request("1001", "bid-3"))
    assert [entry.facts["object_id"] for entry in rig.posts()] == ["10111", "10011", "10112"]
    for request in requests:
        assert (await rig.plan(request)).unchanged


async def test_a_batch_that_fails_as_a_whole_says_so_for_all(make_rig: MakeRig) -> None:
    rig = await make_rig(timeout_ms=100)
    await rig.connector.prefetch([rig.request("1001"), rig.request("1002")])
    await rig.sandbox.add_fault(Fault(FaultKind.APPLY_THEN_HANG, method="POST /"))
    with pytest.raises(OutcomeUnknown):
        await rig.place_many(rig.request("1001"), rig.request("1002"))
    assert [entry.applied for entry in rig.posts()] == [True, True]


async def test_of_two_batches_one_that_fails_is_the_answer_to_its_own_bids_alone(
    rig: Rig,
) -> None:
    requests = [rig.request("1011", f"bid-{number}") for number in (1, 2)]
    requests[0].ad_set_id, requests[1].ad_set_id = "10111", "10112"
    await rig.sandbox.add_fault(Fault(FaultKind.SERVER_ERROR, method="POST /"))
    failed, placed = await rig.place_many(*requests)
    assert isinstance(failed, OutcomeUnknown)
    assert isinstance(placed, pb.PlaceBidResponse)


async def test_a_batch_may_be_validated_only(rig: Rig) -> None:
    await rig.place_many(rig.request("1001"), rig.request("1002"), validate_only=True)
    assert [entry.applied for entry in rig.posts()] == [False, False]
    assert not (await rig.plan(rig.request("1001"))).unchanged


async def test_a_campaign_that_went_between_plan_and_send_is_an_unknown_target(
    rig: Rig, sandbox: MetaSandbox
) -> None:
    requests = [rig.request("1001"), rig.request("1002"), rig.request("1003")]
    planned = [(each, call_of("PlaceBid", plan=await rig.plan(each))) for each in requests]
    sandbox.remove_campaign("1002")
    with pytest.raises(KeyError):
        sandbox.remove_campaign("1002")
    first, gone, third = await rig.connector.place_many(planned)
    assert isinstance(gone, UnknownTarget)
    assert all(isinstance(each, pb.PlaceBidResponse) for each in (first, third))
    with pytest.raises(UnknownTarget):
        await rig.plan(requests[1])
