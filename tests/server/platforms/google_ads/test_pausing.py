"""Pausing and resuming: what is sent, what holds a pause up (nothing), and what is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import (
    InvalidBid,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    UnknownTarget,
)

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import Rig


async def test_pausing_sets_the_status_alone_and_reads_nothing(rig: Rig) -> None:
    result = await rig.pause("1001")
    assert (result.campaign_id, result.paused, result.changed) == ("1001", True, True)
    (mutate,) = rig.mutates()
    assert mutate.facts["fields"] == ["campaign.status"]
    assert (mutate.facts["campaign_id"], mutate.facts["status"]) == ("1001", "PAUSED")
    assert rig.gate.reads == []


async def test_a_campaign_that_was_seen_paused_is_paused_again_without_calling_it_a_change(
    rig: Rig,
) -> None:
    await rig.pause("1001")
    assert not (await rig.pause("1001")).changed
    assert [entry.facts["status"] for entry in rig.mutates()] == ["PAUSED", "PAUSED"]


async def test_what_was_seen_is_not_trusted_for_longer_than_other_reads(rig: Rig) -> None:
    await rig.pause("1001")
    rig.clock.advance(60.1)
    assert (await rig.pause("1001")).changed


async def test_a_pause_in_doubt_leaves_the_status_unknown(rig: Rig) -> None:
    await rig.pause("1001")
    await rig.sandbox.add_fault(Fault(FaultKind.APPLY_THEN_HANG, method=CHANGES))
    with pytest.raises(OutcomeUnknown):
        await rig.pause("1001")
    assert (await rig.pause("1001")).changed


async def test_resuming_looks_first_and_sends_nothing_to_a_campaign_that_runs(rig: Rig) -> None:
    assert not (await rig.resume("1001")).changed
    assert rig.mutates() == []
    await rig.pause("1001")
    resumed = await rig.resume("1001")
    assert (resumed.paused, resumed.changed) == (False, True)
    assert not (await rig.resume("1001")).changed
    assert [entry.facts["status"] for entry in rig.mutates()] == ["PAUSED", "ENABLED"]


async def test_a_paused_campaign_takes_bids(rig: Rig) -> None:
    await rig.plan(rig.request("1001"))
    await rig.pause("1001")
    assert isinstance(await rig.bid(rig.request("1001")), pb.PlaceBidResponse)


async def test_validate_only_is_google_s_own_and_pauses_nothing(rig: Rig) -> None:
    assert (await rig.pause("1001", validate_only=True)).changed
    (mutate,) = rig.mutates()
    assert (mutate.applied, mutate.facts["validate_only"]) == (False, True)
    assert not (await rig.resume("1001")).changed


async def test_a_removed_campaign_is_refused_by_google_itself(rig: Rig) -> None:
    await rig.plan(rig.request("1001"))
    rig.sandbox.remove_campaign("1001")
    with pytest.raises(PlatformRejected, match="OPERATION_NOT_PERMITTED_FOR_REMOVED_RESOURCE"):
        await rig.pause("1001")
    with pytest.raises(UnknownTarget, match="has no campaign 1001"):
        await rig.resume("1001")


async def test_a_campaign_that_is_not_there_cannot_be_paused(rig: Rig) -> None:
    with pytest.raises(UnknownTarget):
        await rig.pause("999999")
    with pytest.raises(InvalidBid, match="digits only"):
        await rig.pause("1001' OR")


async def test_a_platform_that_refuses_connections_was_sent_no_pause(rig: Rig) -> None:
    await rig.sandbox.add_fault(Fault(FaultKind.REFUSE))
    with pytest.raises(PlatformUnavailable):
        await rig.pause("1001")
    assert rig.mutates() == []
