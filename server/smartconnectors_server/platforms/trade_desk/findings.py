"""What a fresh look at The Trade Desk says of a change whose outcome is unknown. Pure.

Nothing on the wire carries a marker of ours, so the setting alone decides:

| setting now | finding |
|---|---|
| as it was before the change | NOT_APPLIED, once it can no longer come late |
| as was sent | APPLIED: what was asked for stands, whoever set it |
| otherwise | INCONCLUSIVE: somebody else has been there |

An OpenRTB bid leaves nothing to look at: always INCONCLUSIVE.
"""

from __future__ import annotations

import json
from typing import Any

from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as pb
from smartconnectors_server.call import Priced
from smartconnectors_server.connector import Finding
from smartconnectors_server.platforms.trade_desk.state import AdGroup, Campaign
from smartconnectors_server.platforms.trade_desk.wire import Bids, asked_bids


def of_bid(
    request: pb.PlaceBidRequest, priced: Priced, before_json: str, ad_group: AdGroup
) -> Finding:
    """What became of an ad group's bid."""
    recorded = json.loads(before_json)
    before = Bids(recorded["base_micros"], recorded["max_micros"])
    now = Bids(ad_group.base_bid_micros, ad_group.max_bid_micros)
    return _of(before, asked_bids(request, priced, before), now)


def of_budget(new_micros: int, before_json: str, campaign: Campaign) -> Finding:
    """What became of a new daily budget."""
    recorded = json.loads(before_json)
    for flight in campaign.flights:
        if flight.flight_id == recorded["flight_id"]:
            return _of(recorded["daily_micros"], new_micros, flight.daily_target_micros)
    return Finding.INCONCLUSIVE


def _of(before: Any, sent: Any, now: Any) -> Finding:
    if now == before:
        return Finding.NOT_APPLIED
    return Finding.APPLIED if now == sent else Finding.INCONCLUSIVE
