"""Many bids in one mutate: an answer for each, none half made, and as few reads as there can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.server.platforms.google_ads.conftest import TIMEOUT_MS, OpenGate, Rig

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector import Context, Finding, Mode, Traffic
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import (
    ConnectorError,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.sandbox import GoogleAdsSandbox
from smartconnectors_server.platforms.google_ads.servicer import GoogleAdsConnector

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import MakeRig


class ClosedGate(OpenGate):
    """Lets through as many reads as it is told, and then none."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self.left = reads

    @asynccontextmanager
    async def read(self, what: str, traffic: Traffic = Traffic.READS) -> AsyncIterator[None]:
        if not self.left:
            raise RateLimited("no call is left", retry_after_s=1.0)
        self.left -= 1
        async with super().read(what):
            yield


async def read_and_plan(rig: Rig, requests: Sequence[Any]) -> list[tuple[Any, Any]]:
    await rig.connector.prefetch(requests)
    return await rig.plan_all(requests)


async def place(rig: Rig, requests: Sequence[Any]) -> Sequence[Any]:
    planned = await read_and_plan(rig, requests)
    return await rig.connector.place_many(rig.batch(planned))


async def test_what_was_made_is_remembered_and_what_was_refused_is_read_again(rig: Rig) -> None:
    requests = [rig.request(campaign_id, campaign_id) for campaign_id in ("1001", "1002")]
    planned = await read_and_plan(rig, requests)
    rig.sandbox.remove_campaign("1002")
    await rig.connector.place_many(rig.batch(planned))
    reads = len(rig.gate.reads)

    again = rig.request("1001", "again", predicted_ltv_micros=45_000_000)
    assert (await rig.plan(again)).before_value == 2_000_000
    assert len(rig.gate.reads) == reads
    with pytest.raises(UnknownTarget, match="has no campaign 1002"):
        await rig.plan(requests[1])
    assert len(rig.gate.reads) == reads + 1


async def test_a_bid_of_two_operations_is_made_whole_or_not_at_all(rig: Rig) -> None:
    requests = [rig.request(campaign_id, campaign_id) for campaign_id in ("1001", "1009")]
    planned = await read_and_plan(rig, requests)
    rig.sandbox.remove_campaign("1009")  # its parameters are refused, its portfolio would not be

    made, refused = await rig.connector.place_many(rig.batch(planned))

    assert isinstance(made, pb.PlaceBidResponse)
    assert type(refused) is PlatformRejected
    together, alone = sorted(rig.mutates(), key=lambda entry: -entry.facts["partial_failure"])
    assert (together.applied, together.facts["campaign_ids"]) == (True, ["1001"])
    assert (alone.applied, alone.facts["partial_failure"]) == (False, False)
    other = await rig.plan(rig.request("1010", "other"))
    assert other.before_value == 4_000_000  # nobody moved the portfolio


async def test_every_mutate_after_the_first_takes_its_own_share_of_quota(rig: Rig) -> None:
    await place(rig, [rig.request(campaign_id, campaign_id) for campaign_id in ("1001", "1009")])
    assert rig.gate.reads == ["campaign", "further mutate of a batch"]


async def test_a_mutate_for_which_no_quota_is_left_is_not_sent(
    sandbox: GoogleAdsSandbox, clock: ManualClock
) -> None:
    gate = ClosedGate(reads=1)
    endpoint = await sandbox.start()
    context = Context(Mode.SANDBOX, GoogleAdsOptions(), endpoint, TIMEOUT_MS, gate, clock)
    rig = Rig(sandbox, GoogleAdsConnector(context), gate, clock)
    await rig.connector.connect()
    try:
        requests = [rig.request(campaign_id, campaign_id) for campaign_id in ("1009", "1001")]
        refused, made = await place(rig, requests)
    finally:
        await rig.connector.close()
    assert type(refused) is RateLimited
    assert isinstance(made, pb.PlaceBidResponse)
    assert [entry.facts["campaign_ids"] for entry in rig.mutates()] == [["1001"]]


async def test_a_batch_of_one_bid_of_two_operations_is_the_call_that_was_paid_for(rig: Rig) -> None:
    (answer,) = await place(rig, [rig.request("1009")])
    assert isinstance(answer, pb.PlaceBidResponse)
    assert rig.gate.reads == ["campaign"]
    assert [operation["operation"] for operation in rig.mutates()[0].facts["operations"]] == [
        "campaign.update",
        "bidding_strategy.update",
    ]


MEANS: dict[FaultKind, tuple[type[ConnectorError], Finding]] = {
    FaultKind.REFUSE: (PlatformUnavailable, Finding.NOT_APPLIED),
    FaultKind.HANG: (OutcomeUnknown, Finding.NOT_APPLIED),
    FaultKind.APPLY_THEN_RESET: (OutcomeUnknown, Finding.APPLIED),
    FaultKind.MALFORMED: (OutcomeUnknown, Finding.APPLIED),
    FaultKind.QUOTA: (RateLimited, Finding.NOT_APPLIED),
    FaultKind.SERVER_ERROR: (OutcomeUnknown, Finding.NOT_APPLIED),
}


@pytest.mark.parametrize("kind", MEANS, ids=lambda kind: kind.value)
async def test_what_befalls_the_whole_mutate_is_raised_and_leaves_nothing_in_the_cache(
    rig: Rig, kind: FaultKind
) -> None:
    requests = [rig.request(campaign_id, campaign_id) for campaign_id in ("1001", "1002")]
    planned = await read_and_plan(rig, requests)
    calls = rig.batch(planned)
    await rig.sandbox.add_fault(Fault(kind, method=CHANGES))
    raises, finding = MEANS[kind]

    with pytest.raises(raises) as caught:
        await rig.connector.place_many(calls)

    assert type(caught.value) is raises
    await rig.sandbox.clear_faults()
    sent = kind is not FaultKind.REFUSE
    assert [call.dispatched for _, call in calls] == [sent, sent]
    if sent:
        found = [await rig.look(*pair) for pair in planned]
        assert found == [finding, finding]
        read_before = len(rig.gate.reads)
        await rig.plan(requests[0])
        assert len(rig.gate.reads) == read_before + 1


async def test_prefetching_reads_campaigns_and_ad_groups_with_one_query_each(rig: Rig) -> None:
    by_hand = rig.request("1013", "by-hand", bid_micros=1_230_000)
    by_hand.manual_cpc.ad_group_id = "10131"
    requests = [rig.request("1001"), rig.request("1002", "other"), rig.request("1001"), by_hand]

    answers = await place(rig, [requests[0], requests[1], by_hand])

    assert [type(answer) for answer in answers] == [pb.PlaceBidResponse] * 3
    assert [entry.facts["query"].partition(" FROM ")[2] for entry in rig.searches()] == [
        "campaign WHERE campaign.id IN (1001, 1002) AND campaign.status != 'REMOVED'",
        "ad_group WHERE ad_group.id = 10131 AND ad_group.status != 'REMOVED'",
    ]
    await rig.connector.prefetch(requests)
    assert len(rig.searches()) == 2


async def test_a_campaign_that_is_not_there_is_known_from_the_prefetch_for_a_moment(
    rig: Rig,
) -> None:
    missing = [rig.request(str(campaign_id)) for campaign_id in range(700, 720)]
    await rig.connector.prefetch([*missing, rig.request("1001")])
    for request in missing:
        with pytest.raises(UnknownTarget, match=f"has no campaign {request.bid.campaign_id}"):
            await rig.plan(request)
    assert len(rig.searches()) == 1
    rig.clock.advance(5.1)
    with pytest.raises(UnknownTarget):
        await rig.plan(missing[0])
    assert len(rig.searches()) == 2


@pytest.mark.parametrize("campaign_id", ["", "1 OR 1", "0x1", "9" * 19, "\u0661"])
async def test_an_id_that_is_none_spoils_no_other_s_read(rig: Rig, campaign_id: str) -> None:
    await rig.connector.prefetch([rig.request(campaign_id), rig.request("1001")])
    await rig.plan(rig.request("1001"))
    (read,) = rig.searches()
    assert "campaign.id = 1001 AND" in read.facts["query"]


async def test_a_prefetch_serves_its_plans_also_where_nothing_is_kept(make_rig: MakeRig) -> None:
    rig = await make_rig(cache_ttl_s=0)
    requests = [rig.request(campaign_id, campaign_id) for campaign_id in ("1001", "1002")]
    await place(rig, requests)
    assert len(rig.searches()) == 1
    await rig.plan(rig.request("1001", "next"))
    assert len(rig.searches()) == 2


async def test_a_plan_that_comes_during_a_prefetch_waits_for_it(rig: Rig) -> None:
    requests = [rig.request(campaign_id, campaign_id) for campaign_id in ("1001", "1002")]
    await asyncio.gather(rig.connector.prefetch(requests), *map(rig.plan, requests))
    assert len(rig.searches()) == 1


@pytest.mark.parametrize(
    ("kind", "raises"),
    [(FaultKind.QUOTA, RateLimited), (FaultKind.SERVER_ERROR, PlatformUnavailable)],
    ids=lambda value: getattr(value, "value", ""),
)
async def test_a_prefetch_that_fails_says_so_and_a_later_plan_reads_for_itself(
    rig: Rig, kind: FaultKind, raises: type[ConnectorError]
) -> None:
    await rig.sandbox.add_fault(Fault(kind, delay_ms=1000))
    with pytest.raises(raises):
        await rig.connector.prefetch([rig.request("1001"), rig.request("1002")])
    await rig.plan(rig.request("1001"))


async def test_a_prefetch_that_google_refuses_leaves_it_to_the_plans_to_say_so(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig(customer_id="1000000009")
    await rig.connector.prefetch([rig.request("1001")])
    with pytest.raises(PlatformRejected, match="USER_PERMISSION_DENIED"):
        await rig.plan(rig.request("1001"))
