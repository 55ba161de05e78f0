"""What is not spoilt is taken: a target whose every case is refused at once would prove nothing."""

from __future__ import annotations

import pytest
from tests.fuzz import auctions, bids
from tests.fuzz.judges import JUDGES

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.platforms import PLATFORMS


def test_a_bid_on_every_platform_and_on_every_auction_is_placed() -> None:
    with bids.open_house() as send:
        for platform in PLATFORMS:
            said = send(bids.Case(platform, "PlaceBid"))
            assert said.result.status == bid_pb2.BID_STATUS_PLACED
        for base in range(len(auctions.requests())):
            said = send(auctions.Case(base))
            assert said.result.status == bid_pb2.BID_STATUS_PLACED


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_has_a_judge_of_its_answers(platform: str) -> None:
    assert platform in JUDGES
