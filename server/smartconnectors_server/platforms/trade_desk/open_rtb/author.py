"""From a bid request to a bid response, or to the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from smartconnectors_server.errors import InvalidBid, NoBid
from smartconnectors_server.platforms.trade_desk import amounts
from smartconnectors_server.platforms.trade_desk.open_rtb import (
    banner,
    native,
    rules,
    secure,
    video,
)
from smartconnectors_server.platforms.trade_desk.open_rtb.creative import (
    Banner,
    Creative,
    Native,
    Video,
    filled,
    macro_in,
)
from smartconnectors_server.platforms.trade_desk.open_rtb.notices import notices
from smartconnectors_server.platforms.trade_desk.open_rtb.offer import Markup, Offer
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Declined, invalid, shown
from smartconnectors_server.platforms.trade_desk.open_rtb.request import (
    Auction,
    Impression,
    auction_id_of,
    auction_of,
    document_of,
    impression_of,
)
from smartconnectors_server.platforms.trade_desk.open_rtb.slots import (
    BannerSlot,
    NativeSlot,
    VideoSlot,
)

_MAX_REASONS = 3
_KINDS = {Banner: "banner", Video: "video", Native: "native"}


@dataclass(frozen=True, slots=True)
class Ask:
    """What the caller wants to bid.

    Attributes:
        request_id: the caller's key; `bidid` of the response.
        price_cpm_micros: for a thousand impressions, in micros of the account's currency.
        imp_id: the impression; empty: the first that a creative fits.
        creative_id: the creative; empty: the first that fits.
        signals: what `ext.kiki` says.
        committed_micros: what the bid commits. An impression that is billed more than once must
            not cost more; 0: none of these is bid on.
    """

    request_id: str
    price_cpm_micros: int
    imp_id: str
    creative_id: str
    signals: Mapping[str, Any]
    committed_micros: int = 0

    @property
    def price(self) -> Decimal:
        """In currency units for a thousand impressions."""
        return amounts.decimal_of(self.price_cpm_micros)


@dataclass(frozen=True, slots=True)
class Authored:
    """A bid response, as it is submitted.

    Attributes:
        price_cpm_micros: what it bids: what was asked for, or the fixed price of a deal.
        tmax_ms: how long the auction waits for it; None: it does not say.
    """

    response_json: str
    auction_id: str
    bid_id: str
    imp_id: str
    creative_id: str
    deal_id: str
    price_cpm_micros: int
    tmax_ms: int | None


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


def too_late(authored: Authored) -> NoBid:
    """The refusal of a bid that could not reach the auction in time."""
    reason = f"the auction waits {authored.tmax_ms} ms (tmax), which have passed or nearly so"
    return _no_bid(Declined("time", reason), authored.auction_id)


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
            if not imp.kinds:
                where = f"impression {shown(imp.imp_id)}"
                raise invalid(where, "takes neither banner, video, audio nor native")
            terms = rules.terms_for(imp, ask.price, offer)
            rules.check_cost(imp, terms.price, ask.committed_micros)
        except Declined as declined:
            refusals.setdefault(declined.reason, declined)
            continue
        for creative in creatives:
            try:
                markup = _markup(imp, creative, offer, ask)
                return _response(auction, imp, terms, creative, markup, offer, ask)
            except Declined as declined:
                refusals.setdefault(declined.reason, declined)
    for broken in auction.broken:
        refusals.setdefault(broken.reason, broken)
    raise _summary(list(refusals.values()))


def _summary(refusals: list[Declined]) -> Declined:
    """One refusal for all: what came closest to a bid is told first."""
    # That a creative is of another kind than the impression says least.
    telling = [one for one in refusals if one.rule != "kind"] or refusals
    reasons = "; ".join(one.reason for one in telling[:_MAX_REASONS])
    more = len(telling) - _MAX_REASONS
    first = telling[0]
    return Declined(first.rule, reasons + (f"; and {more} more" if more > 0 else ""), first.nbr)


def _markup(imp: Impression, creative: Creative, offer: Offer, ask: Ask) -> Markup:
    """The creative in the impression. Raises Declined."""
    kind = _KINDS[type(creative.ad)]
    if kind not in imp.kinds:
        raise Declined("kind", f"impression {shown(imp.imp_id)} takes {', '.join(imp.kinds)} only")
    slot, markup = _fitted(imp, creative)
    for attribute in offer.attributes:
        if attribute in slot.blocked_attributes:
            raise Declined("attribute", f"battr blocks attribute {attribute}")
    adm = filled(markup.adm, ask.request_id)
    if macro := macro_in(adm):
        raise Declined(
            "macro",
            f"creative {creative.creative_id} has the macro {shown(macro)}, which is replaced in "
            "The Trade Desk alone",
        )
    return replace(markup, adm=adm)


def _fitted(
    imp: Impression, creative: Creative
) -> tuple[BannerSlot | VideoSlot | NativeSlot, Markup]:
    """The place that the impression has for this kind of ad, and the ad in it."""
    match creative.ad:
        case Banner() if imp.banner is not None:
            return imp.banner, banner.fit(imp.banner, creative.ad)
        case Video() if imp.video is not None:
            return imp.video, video.fit(imp.video, creative.ad, creative.creative_id)
        case Native() if imp.native is not None:
            return imp.native, native.fit(imp.native, creative.ad)
        case _:
            raise AssertionError("an impression names the kinds of ad that it takes")


def _response(
    auction: Auction,
    imp: Impression,
    terms: rules.Terms,
    creative: Creative,
    markup: Markup,
    offer: Offer,
    ask: Ask,
) -> Authored:
    deal_id = terms.deal.deal_id if terms.deal is not None else ""
    urls = notices(offer.notice_base_url, ask.request_id)
    if imp.secure:
        _check_secure(creative, markup, urls)
    bid: dict[str, Any] = {
        "id": f"{ask.request_id}-1",
        "impid": imp.imp_id,
        "price": terms.price,
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
        "dealid": deal_id,
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
        auction_id=auction.auction_id,
        bid_id=bid["id"],
        imp_id=imp.imp_id,
        creative_id=creative.creative_id,
        deal_id=deal_id,
        price_cpm_micros=amounts.micros_of(terms.price),
        tmax_ms=auction.tmax_ms,
    )


def _check_secure(creative: Creative, markup: Markup, urls: Mapping[str, str]) -> None:
    if isinstance(creative.ad, Banner):
        plain = secure.loads_plain_http(markup.adm, creative.ad.landing_pages)
    else:
        plain = any(secure.is_plain_http(address) for address in markup.loads)
    if not creative.securable or plain:
        raise Declined(
            "secure", f"the impression is secure; creative {creative.creative_id} loads plain http"
        )
    if any(secure.is_plain_http(url) for url in urls.values()):
        raise Declined("secure", "the impression is secure; notices go to a plain http address")


def _no_bid(declined: Declined, auction_id: str) -> NoBid:
    metadata = {"nbr": str(declined.nbr), "rule": declined.rule}
    if auction_id:
        metadata["bid_response_json"] = amounts.write({"id": auction_id, "nbr": declined.nbr})
    return NoBid(f"No bid: {declined.reason}. Nothing was sent.", metadata=metadata)
