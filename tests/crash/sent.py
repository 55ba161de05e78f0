"""The harness's own table of what it sent, which the sandboxes' journals are joined with.

Every bid has an amount and a ROAS of its own, so that what stands on a platform's wire, whichever
of them it is, names one bid. Nothing that a server counted takes part in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from smartconnectors.common.v1.bid_pb2 import BidRequest
from smartconnectors_server.connector.sandbox import JournalEntry
from smartconnectors_server.platforms import PLATFORMS

CENT = 10_000
LEAST_CENTS = 1_000
MOST_BIDS = 900
"""The dearest bid is then below the smallest LTV, so that a fallback price is the AI's own bid."""
_DECIMALS = 4


def customer_of(campaign: str) -> str:
    """Whose bids are on a campaign."""
    return f"customer-{campaign}"


@dataclass(frozen=True)
class Bid:
    """One bid as the harness meant it."""

    platform: str
    request_id: str
    campaign: str
    amount_micros: int
    ltv_micros: int

    @cached_property
    def request(self) -> Any:
        """The platform's PlaceBidRequest."""
        method = PLATFORMS[self.platform].service.methods_by_name["PlaceBid"]
        common = BidRequest(
            request_id=self.request_id,
            campaign_id=self.campaign,
            bid_micros=self.amount_micros,
            predicted_ltv_micros=self.ltv_micros,
            customer_id=customer_of(self.campaign),
        )
        return GetMessageClass(method.input_type)(bid=common)


@dataclass(frozen=True)
class Applied:
    """One change that took effect at a platform; `bid` None: nobody here sent it."""

    platform: str
    at_ns: int
    bid: Bid | None


class Table:
    """Every bid of one run."""

    def __init__(
        self, chance: random.Random, campaigns_of: Callable[[str], tuple[str, ...]]
    ) -> None:
        """`campaigns_of`: platform -> the campaigns that are bid on."""
        self._chance = chance
        self._campaigns_of = campaigns_of
        self._numbers = chance.sample(range(MOST_BIDS), MOST_BIDS)
        self.bids: dict[str, Bid] = {}
        self._by_wire: dict[tuple[str, str, float], Bid] = {}

    def new(self, platform: str) -> Bid:
        """A bid that no other looks like. Raises IndexError after MOST_BIDS of them."""
        number = self._numbers.pop()
        amount_micros = (LEAST_CENTS + number) * CENT
        bid = Bid(
            platform=platform,
            request_id=f"b{len(self.bids)}",
            campaign=self._chance.choice(self._campaigns_of(platform)),
            amount_micros=amount_micros,
            ltv_micros=amount_micros * (2_000 + number) // 1_000,
        )
        self.bids[bid.request_id] = bid
        value = _line(platform).wire_value(bid.amount_micros, bid.ltv_micros)
        self._by_wire[platform, bid.campaign, round(value, _DECIMALS)] = bid
        return bid

    def applied(self, platform: str, journal: Iterable[JournalEntry]) -> list[Applied]:
        """What the platform's sandbox applied, oldest first."""
        found = []
        for entry in journal:
            if not (entry.changes and entry.applied):
                continue
            for campaign, value in _line(platform).wire_values(entry.facts):
                bid = self._by_wire.get((platform, campaign, round(value, _DECIMALS)))
                found.append(Applied(platform, entry.at_ns, bid))
        return found


def _line(platform: str) -> Any:
    make = PLATFORMS[platform].command_line
    assert make is not None
    return make()
