"""A bid request as a bidder needs it. Pure.

What belongs to one impression, deal or kind of ad is read when it is tried: one that is broken does
not keep the others from being bid on.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.platforms.trade_desk import amounts
from smartconnectors_server.platforms.trade_desk.open_rtb import reading
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Declined, Object, invalid
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
KINDS = ("banner", "video", "native", "audio")
FIXED_PRICE = 3
"""OpenRTB's `at` of a deal whose `bidfloor` is the price that was agreed."""

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
    fixed_price: bool
    """True: the floor is the price that was agreed, neither less nor more."""
    seats: tuple[str, ...]
    advertisers: tuple[str, ...]


class Impression:
    """One impression, and the kinds of ad that it takes. What is broken of it raises Declined when
    it is read.
    """

    def __init__(self, imp_id: str, document: Object, where: str) -> None:
        self.imp_id = imp_id
        self._document = document
        self._where = where

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of ad that it names."""
        return tuple(kind for kind in KINDS if reading.is_there(self._document, kind))

    @cached_property
    def floor(self) -> Floor:
        """Of the open auction."""
        return _floor(self._document, self._where)

    @cached_property
    def secure(self) -> bool:
        """True: everything that is shown has to be loaded by https."""
        return reading.flag(self._document, "secure", self._where) is True

    @cached_property
    def multiplier(self) -> Decimal:
        """How many impressions are billed if it is won; never below 1. OpenRTB 2.6 has it for
        screens that many people see, and some exchanges send it with 2.5 as an extension.
        """
        extension = self._document.get("ext")
        places = [(self._document, self._where)]
        if isinstance(extension, dict):
            places.append((extension, f"{self._where}.ext"))
        counts = [_quantity(parent, where) for parent, where in places]
        return max((*counts, Decimal(1)))

    @cached_property
    def deals_only(self) -> bool:
        """True: there is no open auction."""
        return reading.flag(self._pmp, "private_auction", f"{self._where}.pmp") is True

    def deals(self) -> list[tuple[Any, str]]:
        """(deal as it was sent, where), each for `deal_of`."""
        return reading.entries(self._pmp, "deals", f"{self._where}.pmp")

    @cached_property
    def banner(self) -> BannerSlot | None:
        """None: it takes none."""
        banner = reading.child(self._document, "banner", self._where)
        return None if banner is None else banner_slot(banner, f"{self._where}.banner")

    @cached_property
    def video(self) -> VideoSlot | None:
        """None: it takes none."""
        video = reading.child(self._document, "video", self._where)
        return None if video is None else video_slot(video, f"{self._where}.video")

    @cached_property
    def native(self) -> NativeSlot | None:
        """None: it takes none."""
        native = reading.child(self._document, "native", self._where)
        return None if native is None else native_slot(native, f"{self._where}.native")

    @cached_property
    def _pmp(self) -> Object:
        return reading.child(self._document, "pmp", self._where) or {}


@dataclass(frozen=True, slots=True)
class Auction:
    """One auction."""

    auction_id: str
    impressions: tuple[Impression, ...]
    broken: tuple[Declined, ...]
    """Why there are no more impressions."""
    is_test: bool
    """True: nothing of it is billed."""
    tmax_ms: int | None
    """How long it waits for bids, with the way there and back; None: it does not say."""
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
    value = reading.identifier(document, "id")
    return value if len(value) <= MAX_ID_LENGTH else ""


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
    channels = [one for one in ("site", "app") if reading.is_there(document, one)]
    if len(channels) != 1:
        raise invalid("site, app:", "exactly one of them must be there")
    reading.child(document, channels[0], "(request)")
    impressions, broken = _impressions(document)
    return Auction(
        auction_id=auction_id,
        impressions=impressions,
        broken=broken,
        is_test=reading.flag(document, "test", "(request)") is True,
        tmax_ms=reading.integer(document, "tmax", "(request)") or None,
        currencies=reading.currencies(document, "cur", "(request)"),
        allowed_seats=reading.names(document, "wseat", "(request)"),
        blocked_seats=reading.names(document, "bseat", "(request)"),
        blocked_categories=reading.names(document, "bcat", "(request)"),
        known_taxonomy=reading.integer(document, "cattax", "(request)") in (None, 1),
        blocked_advertisers=reading.names(document, "badv", "(request)"),
        blocked_apps=reading.names(document, "bapp", "(request)"),
    )


def _impressions(document: Object) -> tuple[tuple[Impression, ...], tuple[Declined, ...]]:
    """(those that can be named in an answer, why the others cannot)."""
    found: list[Impression] = []
    broken: list[Declined] = []
    for entry, where in reading.entries(document, "imp", "(request)"):
        try:
            imp = reading.an_object(entry, where)
            imp_id = reading.identifier(imp, "id")
            if not imp_id:
                raise invalid(f"{where}.id", "is missing")
            found.append(Impression(imp_id, imp, where))
        except Declined as declined:
            broken.append(declined)
    if not found:
        raise broken[0] if broken else invalid("imp", "names no impression")
    if len({imp.imp_id for imp in found}) < len(found):
        raise invalid("imp", "names an id twice")
    return tuple(found), tuple(broken)


def _quantity(parent: Object, where: str) -> Decimal:
    """What `qty` says, as an object or as a number. Raises Declined when that is not clear."""
    quantity = parent.get("qty")
    if quantity is None:
        return Decimal(1)
    if not isinstance(quantity, dict):
        quantity, name = {"multiplier": quantity}, f"{where}.qty"
    else:
        name = f"{where}.qty.multiplier"
    try:
        multiplier = reading.number(quantity, "multiplier", "")
    except Declined:
        multiplier = None
    if multiplier is None:
        raise Declined("quantity", f"{name} does not say how many impressions are billed")
    return multiplier


def _floor(parent: Object, where: str) -> Floor:
    return Floor(
        amount=reading.number(parent, "bidfloor", where) or Decimal(0),
        currency_code=reading.currency(parent, "bidfloorcur", where) or DEFAULT_CURRENCY,
    )


def deal_of(entry: Any, where: str) -> Deal:
    """A deal of `Impression.deals`. Raises Declined when it is broken."""
    deal = reading.an_object(entry, where)
    return Deal(
        deal_id=reading.identifier(deal, "id"),
        floor=_floor(deal, where),
        fixed_price=reading.integer(deal, "at", where) == FIXED_PRICE,
        seats=reading.names(deal, "wseat", where),
        advertisers=reading.names(deal, "wadomain", where),
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
