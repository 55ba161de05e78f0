"""The demo's own table of what it sent, which the sandboxes' journals are joined with.

A journal holds wire facts, and the amount of a bid is often not on the wire: on Google Ads a bid of
$15 for a customer worth $30 is a target ROAS of 2. So every bid of a scenario has a target and a
return of its own, and what a sandbox applied is looked up by these. Nothing that the server counted
takes part in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from smartconnectors.client import new_request_id
from smartconnectors.common.v1.bid_pb2 import BidRequest
from smartconnectors.google_ads.v1.google_ads_service_pb2 import PlaceBidRequest
from smartconnectors_server.money import MICROS_PER_UNIT

ROAS_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class SentBid:
    """One bid as the demo meant it."""

    request_id: str
    campaign_id: str
    amount_micros: int
    ltv_micros: int

    @property
    def roas(self) -> float:
        """What stands on the wire in the amount's place."""
        return round(self.ltv_micros / self.amount_micros, ROAS_DECIMALS)

    @property
    def google_ads(self) -> PlaceBidRequest:
        """The request to our server."""
        return PlaceBidRequest(
            bid=BidRequest(
                request_id=self.request_id,
                campaign_id=self.campaign_id,
                bid_micros=self.amount_micros,
                predicted_ltv_micros=self.ltv_micros,
                currency_code="USD",
            )
        )


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
        self._by_wire: dict[tuple[str, float], SentBid] = {}

    def bid(self, campaign_id: str, amount: str, roas: str) -> SentBid:
        """A new bid of `amount` whose predicted LTV is `roas` times that.

        Raises:
            ValueError: another bid of this scenario would look the same on the wire.
        """
        amount_micros = int(Decimal(amount) * MICROS_PER_UNIT)
        sent = SentBid(
            request_id=new_request_id(),
            campaign_id=campaign_id,
            amount_micros=amount_micros,
            ltv_micros=int(amount_micros * Decimal(roas)),
        )
        if self._by_wire.setdefault((campaign_id, sent.roas), sent) is not sent:
            raise ValueError(f"campaign {campaign_id} is already bid for with ROAS {sent.roas}")
        return sent

    def applied_google_ads(self, journal: Iterable[Mapping[str, Any]]) -> Applied:
        """What the Google Ads sandbox applied."""
        bids = []
        unknown = 0
        for entry in journal:
            if not (entry["changes"] and entry["applied"]):
                continue
            facts = entry["facts"]
            roas = round(float(facts.get("target_roas", 0)), ROAS_DECIMALS)
            sent = self._by_wire.get((str(facts.get("campaign_id", "")), roas))
            if sent is None:
                unknown += 1
            else:
                bids.append(sent)
        return Applied(tuple(bids), unknown)
