"""The bid that is sent, and how each call gets an id of its own.

h2load sends one body for all requests. A repeated request id would be answered from the ledger and
never reach the chain, and one campaign would make all bids wait for each other. So every server
here, the bare echo included, first writes a number into the bytes that it received: each call has
its own request id, and calls go round `CAMPAIGNS` campaigns. Both sides of a ratio pay for that.
"""

from __future__ import annotations

import itertools
import struct

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb

METHOD = "/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid"
CAMPAIGNS = 10_000
BID_MICROS = 15_000_000
LTV_MICROS = 45_000_000

_REQUEST_ID = b"bid-%016d"
_CAMPAIGN_ID = b"9%09d"


def request() -> pb.PlaceBidRequest:
    """The bid as it is sent, before a server numbers it."""
    message = pb.PlaceBidRequest()
    bid = message.bid
    bid.request_id = (_REQUEST_ID % 0).decode()
    bid.customer_id = "customer-0001"
    bid.campaign_id = (_CAMPAIGN_ID % 0).decode()
    bid.predicted_ltv_micros = LTV_MICROS
    bid.bid_micros = BID_MICROS
    bid.currency_code = "USD"
    message.target_roas.SetInParent()
    return message


def body() -> bytes:
    """The request in gRPC's framing: not compressed, its length, its bytes."""
    raw = request().SerializeToString()
    return struct.pack(">BI", 0, len(raw)) + raw


class Numbering:
    """Gives each request that passes a number of its own."""

    def __init__(self) -> None:
        raw = request().SerializeToString()
        self._id_at = raw.index(_REQUEST_ID % 0)
        self._id_end = self._id_at + len(_REQUEST_ID % 0)
        self._campaign_at = raw.index(_CAMPAIGN_ID % 0, self._id_end)
        self._campaign_end = self._campaign_at + len(_CAMPAIGN_ID % 0)
        self._numbers = itertools.count(1)

    def number(self, raw: bytes) -> bytes:
        """The same request with the next id and campaign."""
        number = next(self._numbers)
        return b"".join(
            (
                raw[: self._id_at],
                _REQUEST_ID % number,
                raw[self._id_end : self._campaign_at],
                _CAMPAIGN_ID % (number % CAMPAIGNS),
                raw[self._campaign_end :],
            )
        )
