"""From a bid and the ad group as it is to the request that sets it, and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smartconnectors.common.v1.bid_pb2 import BidResponse
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as pb
from smartconnectors_server.call import Plan, Priced, Source
from smartconnectors_server.connector import Amount, Stated, by_amount
from smartconnectors_server.errors import CurrencyMismatch, InvalidBid, UnknownTarget
from smartconnectors_server.platforms.trade_desk.amounts import decimal_of
from smartconnectors_server.platforms.trade_desk.confirmation import Expected
from smartconnectors_server.platforms.trade_desk.state import AdGroup

MAX_CPM_MICROS = 10**12


@dataclass(frozen=True, slots=True)
class Change:
    """One planned request.

    Attributes:
        method, path, body: what is sent; the path without `/v3`.
        campaign_id: whose.
        expected: the values that the answer must have for the change to be believed.
    """

    method: str
    path: str
    body: Mapping[str, Any]
    campaign_id: str
    expected: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class Bids:
    """What an ad group bids, in micros for a thousand impressions. 0: none."""

    base_micros: int
    max_micros: int


def plan_bid(request: pb.PlaceBidRequest, priced: Priced, ad_groups: Sequence[AdGroup]) -> Plan:
    """What the bid would change. Raises InvalidBid, UnknownTarget, CurrencyMismatch."""
    asked = request.ad_group
    ad_group = chosen(request.bid.campaign_id, asked.ad_group_id, ad_groups)
    if ad_group.currency_code:
        check_currency(ad_group.campaign_id, ad_group.currency_code, priced.currency_code)
    now = Bids(ad_group.base_bid_micros, ad_group.max_bid_micros)
    after = _after(request, priced, now)
    # A change of the highest bid alone must not look like none.
    before_value, after_value = now.base_micros, after.base_micros
    if now.base_micros == after.base_micros:
        before_value, after_value = now.max_micros, after.max_micros
    return Plan(
        target=target_of(ad_group.ad_group_id),
        amount_micros=priced.bid_micros,
        before=json.dumps(
            {
                "ad_group_id": ad_group.ad_group_id,
                "base_micros": now.base_micros,
                "max_micros": now.max_micros,
            }
        ),
        wire=Change(
            method="PUT",
            path="/adgroup",
            body=_body(ad_group.ad_group_id, asked, after, priced.currency_code),
            campaign_id=ad_group.campaign_id,
            expected=_expected(ad_group, asked, after, priced.currency_code),
        ),
        before_value=before_value or None,
        after_value=after_value,
        beside=((now.max_micros, after.max_micros),),
        lowers_exposure=lowers_exposure(now, after),
        unchanged=now == after,
    )


def target_of(ad_group_id: str) -> str:
    """The name under which an ad group is locked."""
    return f"ad_groups/{ad_group_id}"


def chosen(campaign_id: str, ad_group_id: str, ad_groups: Sequence[AdGroup]) -> AdGroup:
    """The ad group that is meant: by id, or the campaign's only one."""
    if not ad_groups:
        raise UnknownTarget(f"The Trade Desk knows no ad group of campaign {campaign_id}")
    if ad_group_id:
        for ad_group in ad_groups:
            if ad_group.ad_group_id == ad_group_id:
                return ad_group
        raise UnknownTarget(f"campaign {campaign_id} has no ad group {ad_group_id}")
    if len(ad_groups) > 1:
        known = ", ".join(ad_group.ad_group_id for ad_group in ad_groups[:20])
        raise InvalidBid.of(
            "ad_group.ad_group_id", f"campaign {campaign_id} has {len(ad_groups)}: {known}"
        )
    return ad_groups[0]


def check_currency(campaign_id: str, account_currency: str, currency_code: str) -> None:
    """Raises CurrencyMismatch unless the advertiser is in this currency."""
    if account_currency != currency_code:
        raise CurrencyMismatch(
            f"campaign {campaign_id} is of an advertiser in {account_currency}; the bid is in "
            f"{currency_code}",
            metadata={"account_currency": account_currency, "currency": currency_code},
        )


def stated_of(request: pb.PlaceBidRequest) -> Stated:
    """What the request says of its setting in money, beside `bid_micros`: the most that is asked
    for a thousand impressions. An auction's price is compared where it is planned.
    """
    if request.WhichOneof("target") == "open_rtb":
        return Stated(
            parts=(Amount("open_rtb.price_cpm_micros", request.open_rtb.price_cpm_micros),)
        )
    asked = request.ad_group
    base = Amount("ad_group.base_bid_cpm_micros", asked.base_bid_cpm_micros)
    if asked.HasField("max_bid_cpm_micros"):
        parts = (base,) if asked.HasField("base_bid_cpm_micros") else ()
        return by_amount("ad_group.max_bid_cpm_micros", asked.max_bid_cpm_micros, *parts)
    if asked.HasField("base_bid_cpm_micros"):
        return by_amount(base.field, base.micros)
    return Stated()


def asked_bids(request: pb.PlaceBidRequest, priced: Priced, now: Bids) -> Bids:
    """What the ad group is to bid, whether it may or not: never more than a price of our own."""
    asked = request.ad_group
    most = priced.bid_micros if priced.source is Source.FALLBACK else MAX_CPM_MICROS
    has_max = asked.HasField("max_bid_cpm_micros")
    base_micros = priced.bid_micros
    if asked.HasField("base_bid_cpm_micros"):
        base_micros = min(asked.base_bid_cpm_micros, most)
    return Bids(base_micros, min(asked.max_bid_cpm_micros, most) if has_max else now.max_micros)


def answer_of(ad_group: AdGroup) -> pb.PlaceBidResponse:
    """What the caller is told, from the ad group as The Trade Desk answered it."""
    return pb.PlaceBidResponse(
        result=BidResponse(platform_bid_id=ad_group.ad_group_id),
        ad_group=pb.AdGroupBid(
            ad_group_id=ad_group.ad_group_id,
            base_bid_cpm_micros=ad_group.base_bid_micros,
            max_bid_cpm_micros=ad_group.max_bid_micros,
        ),
    )


def lowers_exposure(now: Bids, after: Bids) -> bool:
    """True when less can be spent afterwards: one of the two bids is lower and none is higher."""
    endless = float("inf")
    max_now, max_after = now.max_micros or endless, after.max_micros or endless
    base_now = now.base_micros or endless
    lower = after.base_micros < base_now or max_after < max_now
    return lower and after.base_micros <= base_now and max_after <= max_now


def _after(request: pb.PlaceBidRequest, priced: Priced, now: Bids) -> Bids:
    asked = request.ad_group
    after = asked_bids(request, priced, now)
    if after.base_micros > MAX_CPM_MICROS:
        raise InvalidBid.of(
            "bid.bid_micros", f"as a base bid for a thousand impressions, {MAX_CPM_MICROS} at most"
        )
    if after.max_micros and after.base_micros > after.max_micros:
        own = asked.HasField("max_bid_cpm_micros")
        raise InvalidBid.of(
            "ad_group.max_bid_cpm_micros" if own else "ad_group.base_bid_cpm_micros",
            f"the base bid, {decimal_of(after.base_micros)}, is above the highest bid, "
            f"{decimal_of(after.max_micros)}" + ("" if own else ", which the ad group has now"),
        )
    return after


def _body(ad_group_id: str, asked: pb.AdGroup, after: Bids, currency_code: str) -> dict[str, Any]:
    """The ad group's id and what changes: the rest of it stays as it is."""
    rtb = {"BaseBidCPM": _money(after.base_micros, currency_code)}
    if asked.HasField("max_bid_cpm_micros"):
        rtb["MaxBidCPM"] = _money(after.max_micros, currency_code)
    return {"AdGroupId": ad_group_id, "RTBAttributes": rtb}


def _expected(
    ad_group: AdGroup, asked: pb.AdGroup, after: Bids, currency_code: str
) -> tuple[Expected, ...]:
    """The bids that are sent, each with its currency."""
    bids = [("BaseBidCPM", after.base_micros, ad_group.base_bid_micros)]
    if asked.HasField("max_bid_cpm_micros"):
        bids.append(("MaxBidCPM", after.max_micros, ad_group.max_bid_micros))
    found = []
    for name, sent_micros, before_micros in bids:
        before = decimal_of(before_micros) if before_micros else None
        found.append(Expected(("RTBAttributes", name, "Amount"), decimal_of(sent_micros), before))
        known = currency_code if before_micros else None
        found.append(Expected(("RTBAttributes", name, "CurrencyCode"), currency_code, known))
    return tuple(found)


def _money(micros: int, currency_code: str) -> dict[str, Any]:
    return {"Amount": decimal_of(micros), "CurrencyCode": currency_code}
