"""What every platform that takes many bids at once promises of them. Whether one does, it says by
its `max_batch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.conformance.platforms.test_faults import CHANGE_MEANS, delay_ms

from smartconnectors_server.connector import Finding, Placed
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind, RemovesCampaigns
from smartconnectors_server.errors import ConnectorError, PlatformRejected, UnknownTarget

if TYPE_CHECKING:
    from tests.conformance.platforms.conftest import Bench, Planned

CAMPAIGNS = tuple(str(campaign_id) for campaign_id in range(1001, 1011))


@pytest.fixture
def batching(bench: Bench) -> Bench:
    if bench.connector.max_batch == 1:
        pytest.skip("the platform takes one bid a call")
    return bench


async def plans(bench: Bench, prefix: str, bid_micros: int = 15_000_000) -> list[Planned]:
    """A bid on each campaign, but only one on each target."""
    planned: dict[str, Planned] = {}
    for campaign_id in CAMPAIGNS:
        request = bench.request(campaign_id, f"{prefix}-{campaign_id}", bid_micros)
        priced, plan = await bench.plan(request)
        planned.setdefault(plan.target, (request, priced, plan))
    return list(planned.values())


def ids(placed: list[Placed]) -> list[str]:
    """The platform's own id of each bid, or the reason that it was refused for."""
    return [
        one.reason if isinstance(one, ConnectorError) else one.result.platform_bid_id  # type: ignore[attr-defined]
        for one in placed
    ]


async def test_a_batch_is_answered_in_its_order(batching: Bench) -> None:
    alone = [await batching.send(*one) for one in await plans(batching, "alone")]
    planned = await plans(batching, "together", 30_000_000)
    placed = await batching.send_many(planned)
    assert ids(placed) == [one.result.platform_bid_id for one in alone]
    assert len(set(ids(placed))) == len(placed) > 1
    assert [await batching.look(one) for one in planned] == [Finding.APPLIED] * len(planned)


async def test_a_batch_takes_no_more_of_the_quota_than_its_bids_alone(batching: Bench) -> None:
    count = batching.connector.batch_calls(5)
    assert 1 <= count <= 5
    assert batching.connector.batch_calls(batching.connector.max_batch) >= count


@pytest.mark.parametrize("refused", [0, 1, 2], ids=["first", "middle", "last"])
async def test_a_refused_bid_touches_none_of_the_others(batching: Bench, refused: int) -> None:
    assert isinstance(batching.sandbox, RemovesCampaigns)
    planned = (await plans(batching, "some"))[:3]
    batching.sandbox.remove_campaign(CAMPAIGNS[refused])

    placed = await batching.send_many(planned)

    error = placed.pop(refused)
    assert isinstance(error, PlatformRejected | UnknownTarget)
    assert error.message
    assert not [one for one in placed if isinstance(one, ConnectorError)]
    planned.pop(refused)
    assert [await batching.look(one) for one in planned] == [Finding.APPLIED, Finding.APPLIED]


@pytest.mark.parametrize("kind", FaultKind, ids=lambda kind: kind.value)
async def test_a_batch_under_a_fault_says_of_each_bid_what_is_known_of_it(
    batching: Bench, kind: FaultKind
) -> None:
    planned = (await plans(batching, "under-fault"))[:2]
    await batching.sandbox.add_fault(Fault(kind, delay_ms=delay_ms(kind), method=CHANGES))
    raises, applied = CHANGE_MEANS[kind]

    placed = await batching.send_many(planned)

    await batching.sandbox.clear_faults()
    said = [type(one) if isinstance(one, ConnectorError) else None for one in placed]
    assert said == [raises, raises]
    finding = Finding.APPLIED if applied else Finding.NOT_APPLIED
    assert [await batching.look(one) for one in planned] == [finding, finding]


async def test_what_was_read_ahead_is_not_read_again(batching: Bench) -> None:
    requests = [batching.request(campaign_id, campaign_id) for campaign_id in CAMPAIGNS]
    await batching.connector.prefetch(requests)
    reads = len(batching.gate.reads)
    assert 0 < reads < len(CAMPAIGNS)
    for request in requests:
        await batching.plan(request)
    assert len(batching.gate.reads) == reads


async def test_an_unknown_campaign_does_not_spoil_what_is_read_ahead_with_it(
    batching: Bench,
) -> None:
    known, unknown = batching.request("1001", "known"), batching.request("999999", "unknown")
    await batching.connector.prefetch([unknown, known])
    await batching.plan(known)
    with pytest.raises(UnknownTarget):
        await batching.plan(unknown)
