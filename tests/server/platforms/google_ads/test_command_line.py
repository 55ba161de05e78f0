"""What the joiners of demo, crash and soak read off the sandbox's journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors_server.platforms.google_ads.command_line import COMMAND_LINE

if TYPE_CHECKING:
    from tests.server.platforms.google_ads.conftest import Rig


def seen(rig: Rig) -> list[tuple[str, float]]:
    return [
        pair
        for entry in rig.mutates()
        if entry.applied
        for pair in COMMAND_LINE.wire_values(entry.facts)
    ]


async def test_a_bid_on_a_portfolio_is_seen_at_the_journal_by_the_campaign_that_bid(
    rig: Rig,
) -> None:
    await rig.bid(rig.request("1009", "first"))
    await rig.bid(rig.request("1010", "second", bid_micros=10_000_000))
    assert seen(rig) == [("1009", 2.0), ("1010", 3.0)]


async def test_a_batch_shows_the_bids_on_a_portfolio_beside_the_others(rig: Rig) -> None:
    requests = [rig.request(campaign, f"bid-{campaign}") for campaign in ("1001", "1009", "1002")]
    planned = await rig.plan_all(requests)
    await rig.connector.place_many(rig.batch(planned))
    assert sorted(seen(rig)) == [("1001", 2.0), ("1002", 2.0), ("1009", 2.0)]


@pytest.mark.parametrize("applied", [True, False])
def test_a_portfolio_that_is_moved_by_no_campaign_is_seen_by_its_own_id(applied: bool) -> None:
    portfolio = {"bidding_strategy_id": "1901", "target_roas": 2.0, "applied": applied}
    expected = [("portfolios/1901", 2.0)] if applied else []
    assert list(COMMAND_LINE.wire_values({"operations": [portfolio]})) == expected
