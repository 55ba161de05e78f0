"""What a platform tells of its campaigns, asked of its sandbox and held against its own plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.conformance.platforms.conftest import CAMPAIGNS

from smartconnectors_server.connector import AccountCampaigns, OneByOne
from smartconnectors_server.connector.sandbox import Fault, FaultKind
from smartconnectors_server.errors import ConnectorError, InvalidBid, UnknownTarget

if TYPE_CHECKING:
    from tests.conformance.platforms.conftest import Bench


async def told(bench: Bench) -> AccountCampaigns:
    found = await bench.connector.campaigns()
    assert found is not None
    return found


async def test_every_campaign_of_the_contract_has_a_knob(telling_bench: Bench) -> None:
    found = await told(telling_bench)
    by_id = {one.campaign_id: one for one in found.campaigns}
    assert set(CAMPAIGNS) <= set(by_id)
    for campaign_id in CAMPAIGNS:
        one = by_id[campaign_id]
        assert one.knobs
        assert not one.why_not
        assert one.name == f"Campaign {campaign_id}"
        assert one.strategy
    assert not found.has_more


async def test_what_a_bid_would_move_is_what_a_planned_bid_moves(telling_bench: Bench) -> None:
    bench = telling_bench
    by_id = {one.campaign_id: one for one in (await told(bench)).campaigns}
    for campaign_id in CAMPAIGNS:
        _, plan = await bench.plan(bench.request(campaign_id, f"bid-{campaign_id}"))
        assert plan.target in by_id[campaign_id].moves


async def test_a_bid_that_would_be_refused_is_refused_in_these_words(telling_bench: Bench) -> None:
    bench = telling_bench
    refused = [one for one in (await told(bench)).campaigns if one.why_not]
    for one in refused:
        assert (one.knobs, one.moves) == ((), "")
        with pytest.raises((InvalidBid, UnknownTarget)) as caught:
            await bench.plan(bench.request(one.campaign_id, f"bid-{one.campaign_id}"))
        assert caught.value.message == one.why_not


async def test_campaigns_are_read_through_the_gate_and_nothing_is_changed(
    telling_bench: Bench,
) -> None:
    await told(telling_bench)
    entries = telling_bench.sandbox.journal()
    assert entries
    assert not any(entry.changes for entry in entries)
    logins = sum("token" in entry.method for entry in entries)
    assert len(telling_bench.gate.reads) == len(entries) - logins <= 2


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.SERVER_ERROR,
        FaultKind.MALFORMED,
        FaultKind.QUOTA,
        FaultKind.HANG,
        FaultKind.REFUSE,
    ],
)
async def test_a_listing_that_fails_is_a_typed_error_and_the_next_one_is_read(
    telling_bench: Bench, kind: FaultKind
) -> None:
    before = await told(telling_bench)
    await telling_bench.sandbox.add_fault(Fault(kind, delay_ms=100))
    with pytest.raises(ConnectorError):
        await telling_bench.connector.campaigns()
    await telling_bench.sandbox.clear_faults()
    assert await told(telling_bench) == before


async def test_a_platform_that_does_not_tell_says_so() -> None:
    assert await OneByOne().campaigns() is None
