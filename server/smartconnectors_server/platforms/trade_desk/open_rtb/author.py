"""From a bid request to a bid response, or to the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from smartconnectors_server.errors import InvalidBid, NoBid
from smartconnectors_server.platforms.trade_desk import amounts
from smartconnectors_server.platforms.trade_desk.open_rtb import banner, native, rules, video
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import (
    Banner,
    Creative,
    Native,
    Video,
)
from smartconnectors_server.platforms.trade_desk.open_rtb.notices import notices
from smartconnectors_server.platforms.trade_desk.open_rtb.offer import Markup, Offer
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Declined, shown
from smartconnectors_server.platforms.trade_desk.open_rtb.request import (
    Auction,
    Deal,
    Impression,
    auction_id_of,
    auction_of,
    document_of,
    impression_of,
)

_MAX_REASONS = 3
_PLAIN_HTTP = "http://"


@dataclass(frozen=True, slots=True)
class Ask:
    """What the caller wants to bid.

    Attributes:
        request_id: the caller's key; `bidid` of the response.
        price_cpm_micros: for a thousand impressions, in micros of the account's currency.
        imp_id: the impression; empty: the first that a creative fits.
        creative_id: the creative; empty: the first that fits.
        signals: what `ext.kiki` says.
    """

    request_id: str
    price_cpm_micros: int
    imp_id: str
    creative_id: str
    signals: Mapping[str, Any]

    @property
    def price(self) -> Decimal:
        """In currency units for a thousand impressions."""
        return amounts.decimal_of(self.price_cpm_micros)


@dataclass(frozen=True, slots=True)
class Authored:
    """A bid response, as it is submitted."""

    response_json: str
    bid_id: str
    imp_id: str
    creative_id: str
    deal_id: str


def author(bid_request_json: str, offer: Offer, ask: Ask) -> Authored:
    """The bid response.

    Raises:
        InvalidBid: the request is not a JSON object, or the caller named an impression or a
            creative that is not there.
        NoBid: no bid may be made; its metadata has the no-bid response.
    """
    document = document_of(bid_request_json)
    try:
        auction = auction_of(document)
        impressions = impression_of(auction, ask.imp_id)
        creatives = _creatives(offer, ask)
        rules.check_auction(auction, offer)
        return _first_that_fits(auction, impressions, creatives, offer, ask)
    except Declined as declined:
        raise _no_bid(declined, auction_id_of(document)) from None


def _creatives(offer: Offer, ask: Ask) -> tuple[Creative, ...]:
    if not ask.creative_id:
        if not offer.creatives:
            raise Declined("creative", f"campaign {offer.campaign_id} has no creative to show")
        return offer.creatives
    found = tuple(one for one in offer.creatives if one.creative_id == ask.creative_id)
    if not found:
        raise InvalidBid.of(
            "open_rtb.creative_id", f"campaign {offer.campaign_id} has no such creative to show"
        )
    return found


def _first_that_fits(
    auction: Auction,
    impressions: tuple[Impression, ...],
    creatives: tuple[Creative, ...],
    offer: Offer,
    ask: Ask,
) -> Authored:
    refusals: dict[str, Declined] = {}
    for imp in impressions:
        try:
            deal = rules.deal_for(imp, ask.price, offer)
        except Declined as declined:
            refusals.setdefault(declined.reason, declined)
            continue
        for creative in creatives:
            try:
                markup = _markup(imp, creative, offer)
                return _response(auction, imp, deal, creative, markup, offer, ask)
            except Declined as declined:
                refusals.setdefault(declined.reason, declined)
    raise _summary(list(refusals.values()))


def _summary(refusals: list[Declined]) -> Declined:
    """One refusal for all: what came closest to a bid is told first."""
    # That a creative is of another kind than the impression says least.
    telling = [one for one in refusals if one.rule != "kind"] or refusals
    reasons = "; ".join(one.reason for one in telling[:_MAX_REASONS])
    more = len(telling) - _MAX_REASONS
    first = telling[0]
    return Declined(first.rule, reasons + (f"; and {more} more" if more > 0 else ""), first.nbr)


def _markup(imp: Impression, creative: Creative, offer: Offer) -> Markup:
    """The creative in the impression. Raises Declined."""
    match creative.ad:
        case Banner() if imp.banner is not None:
            blocked = imp.banner.blocked_attributes
            markup = banner.fit(imp.banner, creative.ad)
        case Video() if imp.video is not None:
            blocked = imp.video.blocked_attributes
            markup = video.fit(imp.video, creative.ad, creative.creative_id)
        case Native() if imp.native is not None:
            blocked = imp.native.blocked_attributes
            markup = native.fit(imp.native, creative.ad)
        case _:
            raise Declined("kind", f"impression {shown(imp.imp_id)} takes {_kinds_of(imp)} only")
    for attribute in offer.attributes:
        if attribute in blocked:
            raise Declined("attribute", f"battr blocks attribute {attribute}")
    return markup


def _kinds_of(imp: Impression) -> str:
    kinds = {"banner": imp.banner, "video": imp.video, "native": imp.native, "audio": imp.audio}
    return ", ".join(kind for kind, slot in kinds.items() if slot)


def _response(
    auction: Auction,
    imp: Impression,
    deal: Deal | None,
    creative: Creative,
    markup: Markup,
    offer: Offer,
    ask: Ask,
) -> Authored:
    urls = notices(offer.notice_base_url, ask.request_id)
    if imp.secure:
        _check_secure(creative, markup, urls)
    bid: dict[str, Any] = {
        "id": f"{ask.request_id}-1",
        "impid": imp.imp_id,
        "price": ask.price,
        "adid": creative.creative_id,
        **urls,
        "adm": markup.adm,
        "adomain": [offer.domain] if offer.domain else None,
        "bundle": offer.app_bundle,
        "cid": offer.campaign_id,
        "crid": creative.creative_id,
        "cat": list(offer.categories),
        "attr": list(offer.attributes),
        "protocol": markup.protocol,
        "dealid": deal.deal_id if deal is not None else None,
        "w": markup.width,
        "h": markup.height,
        "wratio": markup.ratio[0] if markup.ratio else None,
        "hratio": markup.ratio[1] if markup.ratio else None,
        "ext": {"kiki": ask.signals},
    }
    # OpenRTB leaves out what it would say nothing with.
    seatbid: dict[str, Any] = {"bid": [{key: value for key, value in bid.items() if value}]}
    if offer.seat:
        seatbid["seat"] = offer.seat
    response = {
        "id": auction.auction_id,
        "seatbid": [seatbid],
        "bidid": ask.request_id,
        "cur": offer.currency_code,
    }
    return Authored(
        response_json=amounts.write(response),
        bid_id=bid["id"],
        imp_id=imp.imp_id,
        creative_id=creative.creative_id,
        deal_id=deal.deal_id if deal is not None else "",
    )


def _check_secure(creative: Creative, markup: Markup, urls: Mapping[str, str]) -> None:
    if not creative.securable or _PLAIN_HTTP in markup.adm:
        raise Declined(
            "secure", f"the impression is secure; creative {creative.creative_id} loads plain http"
        )
    if any(url.startswith(_PLAIN_HTTP) for url in urls.values()):
        raise Declined("secure", "the impression is secure; notices go to a plain http address")


def _no_bid(declined: Declined, auction_id: str) -> NoBid:
    metadata = {"nbr": str(declined.nbr), "rule": declined.rule}
    if auction_id:
        metadata["bid_response_json"] = amounts.write({"id": auction_id, "nbr": declined.nbr})
    return NoBid(f"No bid: {declined.reason}. Nothing was sent.", metadata=metadata)
