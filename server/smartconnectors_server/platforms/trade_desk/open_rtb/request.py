"""A bid request as a bidder needs it. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.trade_desk import amounts
from smartconnectors_server.platforms.trade_desk.open_rtb import reading
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Object, invalid
from smartconnectors_server.platforms.trade_desk.open_rtb.slots import (
    BannerSlot,
    NativeSlot,
    VideoSlot,
    banner_slot,
    native_slot,
    video_slot,
)

FIELD = "open_rtb.bid_request_json"
DEFAULT_CURRENCY = "USD"
MAX_ID_LENGTH = 512

_PLAIN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Floor:
    """The least that may be bid for a thousand impressions."""

    amount: Decimal
    currency_code: str


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal of buyers with the seller. Its floor is its own: the impression's does not hold."""

    deal_id: str
    floor: Floor
    seats: tuple[str, ...]
    advertisers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Impression:
    """One impression, and the kinds of ad that it takes."""

    imp_id: str
    floor: Floor
    secure: bool
    deals: tuple[Deal, ...]
    deals_only: bool
    banner: BannerSlot | None
    video: VideoSlot | None
    native: NativeSlot | None
    audio: bool


@dataclass(frozen=True, slots=True)
class Auction:
    """One auction."""

    auction_id: str
    impressions: tuple[Impression, ...]
    currencies: tuple[str, ...]
    allowed_seats: tuple[str, ...]
    blocked_seats: tuple[str, ...]
    blocked_categories: tuple[str, ...]
    known_taxonomy: bool
    """False: its categories are of a later taxonomy than OpenRTB 2.5 knows."""
    blocked_advertisers: tuple[str, ...]
    blocked_apps: tuple[str, ...]


def document_of(text: str) -> Object:
    """The JSON object. Raises InvalidBid when the text is none."""
    try:
        document = amounts.parse(text)
    except ValueError:
        raise InvalidBid.of(FIELD, "is not JSON") from None
    if not isinstance(document, dict):
        raise InvalidBid.of(FIELD, "is not a JSON object")
    return document


def auction_id_of(document: Object) -> str:
    """The auction's id; empty when it has none that an answer could name."""
    value = document.get("id")
    return value if isinstance(value, str) and len(value) <= MAX_ID_LENGTH else ""


def auction_target(text: str) -> str:
    """The name under which an auction is locked, also when the request makes no sense."""
    try:
        auction_id = auction_id_of(document_of(text))
    except InvalidBid:
        auction_id = ""
    if _PLAIN_ID.fullmatch(auction_id):
        return f"auctions/{auction_id}"
    named = (auction_id or text).encode("utf-8", "backslashreplace")
    return f"auctions/sha256-{hashlib.sha256(named).hexdigest()[:32]}"


def auction_of(document: Object) -> Auction:
    """The auction. Raises Declined when the request is not a valid one."""
    auction_id = auction_id_of(document)
    if not auction_id:
        raise invalid("id", f"is not a text of 1 to {MAX_ID_LENGTH} characters")
    if ("site" in document) == ("app" in document):
        raise invalid("site, app:", "exactly one of them must be there")
    for channel in ("site", "app"):
        reading.child(document, channel, "(request)")
    impressions = tuple(
        _impression(imp, f"imp[{index}]")
        for index, imp in enumerate(reading.children(document, "imp", "(request)"))
    )
    if not impressions:
        raise invalid("imp", "names no impression")
    if len({imp.imp_id for imp in impressions}) < len(impressions):
        raise invalid("imp", "names an id twice")
    return Auction(
        auction_id=auction_id,
        impressions=impressions,
        currencies=reading.texts(document, "cur", "(request)"),
        allowed_seats=reading.texts(document, "wseat", "(request)"),
        blocked_seats=reading.texts(document, "bseat", "(request)"),
        blocked_categories=reading.texts(document, "bcat", "(request)"),
        known_taxonomy=reading.integer(document, "cattax", "(request)") in (None, 1),
        blocked_advertisers=reading.texts(document, "badv", "(request)"),
        blocked_apps=reading.texts(document, "bapp", "(request)"),
    )


def _impression(imp: Object, where: str) -> Impression:
    imp_id = reading.text(imp, "id", where)
    if not imp_id:
        raise invalid(f"{where}.id", "is missing")
    banner = reading.child(imp, "banner", where)
    video = reading.child(imp, "video", where)
    native = reading.child(imp, "native", where)
    audio = reading.child(imp, "audio", where)
    if banner is None and video is None and native is None and audio is None:
        raise invalid(where, "takes neither banner, video, audio nor native")
    pmp: Any = reading.child(imp, "pmp", where) or {}
    return Impression(
        imp_id=imp_id,
        floor=_floor(imp, where),
        secure=reading.flag(imp, "secure", where) is True,
        deals=tuple(
            _deal(deal, f"{where}.pmp.deals[{index}]")
            for index, deal in enumerate(reading.children(pmp, "deals", f"{where}.pmp"))
        ),
        deals_only=reading.flag(pmp, "private_auction", f"{where}.pmp") is True,
        banner=None if banner is None else banner_slot(banner, f"{where}.banner"),
        video=None if video is None else video_slot(video, f"{where}.video"),
        native=None if native is None else native_slot(native, f"{where}.native"),
        audio=audio is not None,
    )


def _floor(parent: Object, where: str) -> Floor:
    return Floor(
        amount=reading.number(parent, "bidfloor", where) or Decimal(0),
        currency_code=reading.text(parent, "bidfloorcur", where) or DEFAULT_CURRENCY,
    )


def _deal(deal: Object, where: str) -> Deal:
    return Deal(
        deal_id=reading.text(deal, "id", where),
        floor=_floor(deal, where),
        seats=reading.texts(deal, "wseat", where),
        advertisers=reading.texts(deal, "wadomain", where),
    )


def impression_of(auction: Auction, imp_id: str) -> tuple[Impression, ...]:
    """The impressions that may be bid on: all, or the one that was asked for.

    Raises InvalidBid when there is none of that id.
    """
    if not imp_id:
        return auction.impressions
    found = tuple(imp for imp in auction.impressions if imp.imp_id == imp_id)
    if not found:
        raise InvalidBid.of("open_rtb.imp_id", "the bid request has no impression of this id")
    return found
