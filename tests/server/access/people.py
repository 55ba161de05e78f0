"""Callers with different restrictions, and a server with something to see for each of them."""

from __future__ import annotations

from typing import Any

from tests.server.access.stage import Accepts, Caller

from smartconnectors.budgets.v1.budget_service_pb2_grpc import BudgetServiceStub
from smartconnectors.common.v1 import bid_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors.google_ads.v1.google_ads_service_pb2_grpc import GoogleAdsServiceStub
from smartconnectors.meta.v1 import meta_service_pb2 as meta_pb2
from smartconnectors.meta.v1.meta_service_pb2_grpc import MetaServiceStub

USD = 1_000_000


class Person(Caller):
    """A caller with a stub of each service."""

    def __init__(self, address: str, token: str) -> None:
        super().__init__(address, token)
        self.ads: Any = GoogleAdsServiceStub(self.channel)
        self.meta: Any = MetaServiceStub(self.channel)
        self.budgets: Any = BudgetServiceStub(self.channel)

    def ask(self, method: Any, request: Any) -> Any:
        return method(request, metadata=self.metadata)


class Office:
    """One server and everybody who may call it; `google` and `meta` are its platforms."""

    def __init__(self, address: str, google: Accepts, meta: Accepts) -> None:
        self.google = google
        self.meta = meta
        self.people = {name: Person(address, name) for name in ("all", "meta", "1001", "both")}

    async def place(self, who: str, service: str, request_id: str, campaign: str) -> Any:
        """A bid of $1."""
        person = self.people[who]
        return await person.ask(
            getattr(person, service).PlaceBid, bid(service, request_id, campaign)
        )


def bid(service: str, request_id: str, campaign: str) -> Any:
    """A bid of $1 on a campaign of a platform."""
    module = ads_pb2 if service == "ads" else meta_pb2
    return module.PlaceBidRequest(
        bid=bid_pb2.BidRequest(
            request_id=request_id,
            campaign_id=campaign,
            bid_micros=USD,
            predicted_ltv_micros=2 * USD,
        )
    )
