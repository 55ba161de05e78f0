"""The rules of an auction that no creative can mend, and those of a price. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from smartconnectors_server.platforms.trade_desk.open_rtb.offer import Offer
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Declined, shown
from smartconnectors_server.platforms.trade_desk.open_rtb.request import (
    Auction,
    Deal,
    Floor,
    Impression,
    deal_of,
)
from smartconnectors_server.platforms.trade_desk.state import domain_of

_MICROS = 1_000_000
_IMPRESSIONS_OF_A_CPM = 1000
_SMALLEST_PRICE = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a bid is made on: the deal, or None for the open auction, and the price for a thousand
    impressions.
    """

    deal: Deal | None
    price: Decimal


def check_auction(auction: Auction, offer: Offer) -> None:
    """Raises Declined when nothing of this account may be bid in this auction."""
    if auction.is_test:
        raise Declined("test", "the auction is a test, in which nothing is billed")
    _check_currency(auction, offer)
    _check_seat(auction, offer)
    _check_categories(auction, offer)
    _check_advertiser(auction, offer)
    if offer.app_bundle and offer.app_bundle in auction.blocked_apps:
        raise Declined("app", f"bapp blocks {offer.app_bundle}")


def terms_for(imp: Impression, price: Decimal, offer: Offer) -> Terms:
    """The terms to bid on: of the open auction, or of a deal.

    Raises Declined when the price is good for neither.
    """
    refusals: list[Declined] = []
    if not imp.deals_only:
        try:
            _check_floor(imp.floor, price, offer.currency_code, f"impression {shown(imp.imp_id)}")
            return Terms(None, price)
        except Declined as declined:
            refusals.append(declined)
    for entry, where in imp.deals():
        try:
            return _terms_of(deal_of(entry, where), price, offer)
        except Declined as declined:
            refusals.append(declined)
    if not refusals:
        raise Declined("deal", f"impression {shown(imp.imp_id)} takes deals only, and has none")
    raise refusals[0]


def check_cost(imp: Impression, price: Decimal, committed_micros: int) -> None:
    """Raises Declined when the impression, once won, could cost more than the bid commits."""
    if imp.multiplier == 1:
        return
    exact_micros = price * _MICROS * imp.multiplier / _IMPRESSIONS_OF_A_CPM
    cost_micros = int(exact_micros.to_integral_value(ROUND_CEILING))
    if cost_micros > committed_micros:
        raise Declined(
            "quantity",
            f"impression {shown(imp.imp_id)} is billed {shown(str(imp.multiplier))} times, so that "
            f"it can cost {cost_micros} micros at this price, and the bid commits "
            f"{committed_micros}",
        )


def _check_currency(auction: Auction, offer: Offer) -> None:
    if auction.currencies and offer.currency_code not in auction.currencies:
        allowed = ", ".join(shown(currency) for currency in auction.currencies[:5])
        raise Declined("currency", f"bids are taken in {allowed}, not in {offer.currency_code}")


def _check_seat(auction: Auction, offer: Offer) -> None:
    if auction.allowed_seats and offer.seat not in auction.allowed_seats:
        raise Declined("seat", f"wseat does not name seat {shown(offer.seat)}")
    if offer.seat and offer.seat in auction.blocked_seats:
        raise Declined("seat", f"bseat blocks seat {shown(offer.seat)}")


def _check_categories(auction: Auction, offer: Offer) -> None:
    if not auction.blocked_categories:
        return
    if not auction.known_taxonomy:
        raise Declined("category", "bcat is of a taxonomy that OpenRTB 2.5 does not know")
    if not offer.categories:
        raise Declined("category", "bcat blocks categories, and the advertiser's are not known")
    for category in offer.categories:
        for blocked in auction.blocked_categories:
            if category == blocked or category.startswith(f"{blocked}-"):
                raise Declined("category", f"bcat blocks {shown(blocked)}; the ads are {category}")


def _check_advertiser(auction: Auction, offer: Offer) -> None:
    if not auction.blocked_advertisers:
        return
    if not offer.domain:
        raise Declined("advertiser", "badv blocks advertisers, and the own domain is not known")
    blocked = _covering(offer.domain, auction.blocked_advertisers)
    if blocked:
        raise Declined("advertiser", f"badv blocks {shown(blocked)}; the advertiser is that one")


def _terms_of(deal: Deal, price: Decimal, offer: Offer) -> Terms:
    """The terms of a deal. Raises Declined when it is not for this account or this price."""
    if not deal.deal_id:
        raise Declined("deal", "a deal without an id cannot be bid under")
    name = f"deal {shown(deal.deal_id)}"
    if deal.seats and offer.seat not in deal.seats:
        raise Declined("deal", f"{name} is not for seat {shown(offer.seat)}")
    if deal.advertisers and not _covering(offer.domain, deal.advertisers):
        raise Declined("deal", f"{name} is not for advertiser {shown(offer.domain)}")
    if not deal.fixed_price:
        _check_floor(deal.floor, price, offer.currency_code, name)
        return Terms(deal, price)
    if deal.floor.amount == 0:
        raise Declined("deal", f"{name} has a fixed price and does not say which")
    # Never a price with more decimals than a micro has; and never below the agreed one.
    agreed = deal.floor.amount.quantize(_SMALLEST_PRICE, ROUND_CEILING)
    fixed = Floor(agreed, deal.floor.currency_code)
    _check_floor(fixed, price, offer.currency_code, name)
    return Terms(deal, agreed)


def _check_floor(floor: Floor, price: Decimal, currency_code: str, what: str) -> None:
    """Raises Declined when the price does not reach the floor."""
    if floor.amount == 0:
        return
    if floor.currency_code != currency_code:
        raise Declined(
            "floor",
            f"the floor of {what} is in {shown(floor.currency_code)}, the price in "
            f"{currency_code}, and there is no exchange rate",
        )
    if price < floor.amount:
        raise Declined("floor", f"the floor of {what} is {floor.amount}, the price is {price}")


def _covering(domain: str, domains: Iterable[str]) -> str:
    """The first of the domains that is this one or one above it; empty: none is."""
    for listed in domains:
        above = domain_of(listed)
        if above and domain and (domain == above or domain.endswith(f".{above}")):
            return listed
    return ""
