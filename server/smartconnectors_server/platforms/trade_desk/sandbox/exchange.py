"""An exchange that takes bid responses, and looks whether they are any."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from smartconnectors_server.platforms.trade_desk.sandbox.refusals import Refused

METHOD = "POST bid"
"""What the journal and faults call it."""
VERSION = "2.5"

_REQUIRED = ("id", "impid", "price")


def check(headers: Mapping[str, str], body: Any) -> dict[str, Any]:
    """What stands on the wire of a bid. Raises Refused when it is none."""
    if headers.get("x-openrtb-version") != VERSION:
        raise Refused(400, "x-openrtb-version is not 2.5.")
    if not headers.get("content-type", "").startswith("application/json"):
        raise Refused(415, "The content type is not application/json.")
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        raise Refused(400, "The bid response has no id.")
    bids = [
        bid
        for seatbid in body.get("seatbid") or ()
        if isinstance(seatbid, dict)
        for bid in seatbid.get("bid") or ()
    ]
    if len(bids) != 1 or not isinstance(bids[0], dict):
        raise Refused(400, "The bid response has not exactly one bid.")
    bid = bids[0]
    if missing := [name for name in _REQUIRED if name not in bid]:
        raise Refused(400, f"The bid has no {missing[0]}.")
    if not isinstance(bid["price"], Decimal | int) or bid["price"] <= 0:
        raise Refused(400, "The bid's price is not a price.")
    return {
        "auction_id": body["id"],
        "imp_id": bid["impid"],
        "price": float(bid["price"]),
        "currency_code": body.get("cur", "USD"),
        "campaign_id": bid.get("cid"),
        "creative_id": bid.get("crid"),
        "deal_id": bid.get("dealid"),
        "seat": body["seatbid"][0].get("seat"),
        "bid_id": bid["id"],
        "request_id": body.get("bidid"),
        "signals": (bid.get("ext") or {}).get("kiki"),
    }
