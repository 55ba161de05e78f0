"""The demo's own table of what it sent, which the sandboxes' journals are joined with.

A journal holds wire facts, and the amount of a bid is often not on the wire: on Google Ads a bid of
$15 for a customer worth $30 is a target ROAS of 2. So every bid of a scenario has a campaign and a
wire value of its own, and what a sandbox applied is looked up by these. Nothing that the server
counted takes part in it; which number stands on a platform's wire, the platform says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from smartconnectors.client import new_request_id
from smartconnectors.common.v1.bid_pb2 import BidRequest
from smartconnectors_server.connector.command_line import CommandLine
from smartconnectors_server.money import MICROS_PER_UNIT
from smartconnectors_server.platforms import PLATFORMS

WIRE_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class SentBid:
    """One bid as the demo meant it."""

    platform: str
    request_id: str
    campaign_id: str
    amount_micros: int
    ltv_micros: int
    reduce_only: bool = False

    @property
    def wire_value(self) -> float:
        """What stands on the wire in the amount's place."""
        value = command_line_of(self.platform).wire_value(self.amount_micros, self.ltv_micros)
        return round(value, WIRE_DECIMALS)

    @property
    def request(self) -> Any:
        """The request to our server: the platform's PlaceBidRequest."""
        method = PLATFORMS[self.platform].service.methods_by_name["PlaceBid"]
        bid = BidRequest(
            request_id=self.request_id,
            campaign_id=self.campaign_id,
            bid_micros=self.amount_micros,
            predicted_ltv_micros=self.ltv_micros,
            currency_code="USD",
            reduce_only=self.reduce_only,
        )
        return GetMessageClass(method.input_type)(bid=bid)


def command_line_of(platform: str) -> CommandLine:
    """What the platform says of its wire. Raises LookupError when it says nothing."""
    make = PLATFORMS[platform].command_line
    if make is None:
        raise LookupError(f"{platform} has no command line")
    return make()


@dataclass(frozen=True, slots=True)
class Applied:
    """What a platform applied, by the demo's own table. `unknown` counts changes that it never
    sent.
    """

    bids: tuple[SentBid, ...]
    unknown: int

    @property
    def total_micros(self) -> int:
        """The sum of the amounts."""
        return sum(bid.amount_micros for bid in self.bids)


class SentTable:
    """Every bid of one scenario."""

    def __init__(self) -> None:
        self._by_wire: dict[tuple[str, str, float], SentBid] = {}

    def bid(
        self,
        platform: str,
        campaign_id: str,
        amount: str,
        roas: str,
        *,
        reduce_only: bool = False,
    ) -> SentBid:
        """A new bid of `amount` whose predicted LTV is `roas` times that.

        Raises:
            ValueError: another bid of this scenario would look the same on the wire.
        """
        amount_micros = int(Decimal(amount) * MICROS_PER_UNIT)
        sent = SentBid(
            platform=platform,
            request_id=new_request_id(),
            campaign_id=campaign_id,
            amount_micros=amount_micros,
            ltv_micros=int(amount_micros * Decimal(roas)),
            reduce_only=reduce_only,
        )
        on_wire = (platform, campaign_id, sent.wire_value)
        if self._by_wire.setdefault(on_wire, sent) is not sent:
            raise ValueError(f"{on_wire} is already bid")
        return sent

    def of(self, platform: str, campaign_id: str) -> SentBid:
        """The first bid on a campaign. Raises StopIteration when there was none."""
        wanted = (platform, campaign_id)
        bids = self._by_wire.values()
        return next(bid for bid in bids if (bid.platform, bid.campaign_id) == wanted)

    def applied(self, platform: str, journal: Iterable[Mapping[str, Any]]) -> Applied:
        """What the platform's sandbox applied."""
        wire_values = command_line_of(platform).wire_values
        bids = []
        unknown = 0
        for entry in journal:
            if not (entry["changes"] and entry["applied"]):
                continue
            found = [
                self._by_wire.get((platform, campaign_id, round(value, WIRE_DECIMALS)))
                for campaign_id, value in wire_values(entry["facts"])
            ]
            unknown += found.count(None) if found else 1  # a change that is no bid, nobody sent
            bids += [sent for sent in found if sent is not None]
        return Applied(tuple(bids), unknown)
