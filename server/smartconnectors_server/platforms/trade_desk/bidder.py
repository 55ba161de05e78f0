"""From a `PlaceBid` with an auction to its plan. Pure."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced
from smartconnectors_server.connector import Mode
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.trade_desk.open_rtb import (
    Ask,
    Offer,
    auction_target,
    author,
)
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import Creative
from smartconnectors_server.platforms.trade_desk.options import TradeDeskOptions
from smartconnectors_server.platforms.trade_desk.sandbox_access import (
    NOTICE_BASE_URL,
    SANDBOX_CATEGORIES,
    SANDBOX_SEAT,
)
from smartconnectors_server.platforms.trade_desk.state import Advertiser
from smartconnectors_server.platforms.trade_desk.wire import check_currency

_IMPRESSIONS_OF_A_CPM = 1000


def plan(
    request: pb.PlaceBidRequest,
    priced: Priced,
    options: TradeDeskOptions,
    mode: Mode,
    advertiser: Advertiser,
    creatives: tuple[Creative, ...],
) -> Plan:
    """What would be bid. Raises InvalidBid, CurrencyMismatch, NoBid."""
    campaign_id = request.bid.campaign_id
    check_currency(campaign_id, advertiser.currency_code, priced.currency_code)
    asked = request.open_rtb
    check_price(asked.price_cpm_micros, priced.bid_micros)
    authored = author(
        asked.bid_request_json,
        offer_of(campaign_id, options, mode, advertiser, creatives),
        Ask(
            request_id=priced.request_id,
            price_cpm_micros=asked.price_cpm_micros,
            imp_id=asked.imp_id,
            creative_id=asked.creative_id,
            signals=signals(request, priced, ltv=options.ltv_in_bid_ext),
            committed_micros=priced.bid_micros,
        ),
    )
    return Plan(
        target=auction_target(asked.bid_request_json),
        amount_micros=priced.bid_micros,
        wire=authored,
        after_value=authored.price_cpm_micros,
    )


def check_price(price_cpm_micros: int, bid_micros: int) -> None:
    """Raises InvalidBid when the impression could cost more than the bid commits."""
    most_micros = -(-price_cpm_micros // _IMPRESSIONS_OF_A_CPM)
    if most_micros > bid_micros:
        raise InvalidBid.of(
            "open_rtb.price_cpm_micros",
            f"one impression can cost {most_micros} micros at this price, and the bid commits "
            f"{bid_micros}",
        )


def offer_of(
    campaign_id: str,
    options: TradeDeskOptions,
    mode: Mode,
    advertiser: Advertiser,
    creatives: tuple[Creative, ...],
) -> Offer:
    """What the account offers; in sandbox, with what the sandbox's bidder is called."""
    in_sandbox = mode is Mode.SANDBOX
    return Offer(
        campaign_id=campaign_id,
        currency_code=advertiser.currency_code,
        seat=options.seat or options.partner_id or (SANDBOX_SEAT if in_sandbox else ""),
        domain=advertiser.domain,
        categories=options.iab_categories or (SANDBOX_CATEGORIES if in_sandbox else ()),
        attributes=options.creative_attributes,
        app_bundle=options.app_bundle,
        notice_base_url=options.notice_base_url or (NOTICE_BASE_URL if in_sandbox else ""),
        creatives=creatives,
    )


def signals(request: pb.PlaceBidRequest, priced: Priced, *, ltv: bool) -> dict[str, Any]:
    """What `ext.kiki` says."""
    said: dict[str, Any] = {"request_id": priced.request_id}
    if ltv and priced.ltv_micros:
        said["predicted_ltv_micros"] = priced.ltv_micros
        said["currency_code"] = priced.currency_code
    if ltv and request.bid.HasField("explanation"):
        said["explanation"] = json_format.MessageToDict(request.bid.explanation)
    return said
