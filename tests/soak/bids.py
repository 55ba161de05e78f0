"""The bids of a soak: each has a number on the wire that no other bid of the run has."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message_factory import GetMessageClass
from tests.soak.table import Bid, Table, key_of

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.platforms import PLATFORMS

CAMPAIGNS = tuple(str(1001 + number) for number in range(8))
"""On every platform's sandbox these are campaigns of one target each."""
SHARING: Mapping[str, tuple[str, ...]] = {"google_ads": ("1009", "1010")}
"""Platform -> campaigns that share a target: a bid on one moves the others."""
AMOUNTS_MICROS = (500_000, 1_000_000, 1_500_000)
MEAN_MICROS = 1_000_000
_MICROS_A_STEP = 10_000
_FIRST_STEP, _STEPS = 20_000, 5_000_000
"""A return on ad spend from 2 to 502, in ten-thousandths."""


@dataclass(frozen=True, slots=True)
class Made:
    """A PlaceBidRequest and its line in the table."""

    request: Any
    bid: Bid


class Bids:
    """Makes bids of one platform."""

    def __init__(self, platform: str, table: Table, chance: random.Random, run: str) -> None:
        """`run`: begins every request id."""
        self._platform = platform
        self._table = table
        self._chance = chance
        self._run = run
        self._campaigns = CAMPAIGNS + SHARING.get(platform, ())
        self._numbers = itertools.count()
        method = PLATFORMS[platform].service.methods_by_name["PlaceBid"]
        self._request = GetMessageClass(method.input_type)

    def make(self, at_s: float, campaign: str = "") -> Made:
        """A new bid, written into the table."""
        number = next(self._numbers)
        amount_micros = self._chance.choice(AMOUNTS_MICROS)
        ltv_micros = amount_micros // _MICROS_A_STEP * (_FIRST_STEP + number % _STEPS)
        if self._platform == "trade_desk":
            # Its wire carries the amount itself.
            amount_micros = MEAN_MICROS + number % _STEPS
            ltv_micros = 3 * amount_micros
        campaign = campaign or self._chance.choice(self._campaigns)
        request_id = f"{self._run}-{number}"
        common = bid_pb2.BidRequest(
            request_id=request_id,
            campaign_id=campaign,
            bid_micros=amount_micros,
            predicted_ltv_micros=ltv_micros,
        )
        key = key_of(self._platform, campaign, amount_micros, ltv_micros)
        bid = Bid(self._platform, request_id, key, amount_micros, at_s)
        return Made(self._request(bid=common), self._table.send(bid))

    def make_many(self, at_s: float, campaigns: Sequence[str] = ()) -> list[Made]:
        """One for each of these campaigns; none given: for each that the platform has."""
        return [self.make(at_s, campaign) for campaign in campaigns or self._campaigns]
