"""Bid requests to write cases from: one impression, and what is said otherwise."""

from __future__ import annotations

import json
from typing import Any

from smartconnectors_server.platforms.trade_desk.open_rtb import Ask

Json = dict[str, Any]

BANNER = {"format": [{"w": 300, "h": 250}]}
VIDEO = {"mimes": ["video/mp4"], "minduration": 5, "maxduration": 30, "protocols": [2, 3, 5, 6]}
TITLE = {"id": 7, "required": 1, "title": {"len": 90}}


def request(imp: Json | None = None, **fields: Any) -> Json:
    one = {"id": "imp-1", "banner": BANNER, **(imp or {})}
    return {"id": "auction-1", "imp": [one], "site": {}, **fields}


def of(media: Json) -> Json:
    """An impression of something other than a banner."""
    return {"id": "auction-1", "imp": [{"id": "imp-1", **media}], "site": {}}


def native(*assets: Json, **fields: Any) -> Json:
    return of({"native": {"request": json.dumps({"assets": list(assets), **fields})}})


def pmp(*deals: Json, private: int = 1) -> Json:
    return {"pmp": {"private_auction": private, "deals": list(deals)}}


ASK = Ask("bid-1", 2_500_000, "", "", {"request_id": "bid-1", "predicted_ltv_micros": 30_000_000})
