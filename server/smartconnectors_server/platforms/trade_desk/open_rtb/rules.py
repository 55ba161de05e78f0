"""The rules of an auction that no creative can mend, and those of a price. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from smartconnectors_server.platforms.trade_desk.open_rtb.offer import Offer
from smartconnectors_server.platforms.trade_desk.open_rtb.reading import Declined, shown
from smartconnectors_server.platforms.trade_desk.open_rtb.request import (
    Auction,
    Deal,
    Floor,
    Impression,
)
from smartconnectors_server.platforms.trade_desk.state import domain_of


def check_auction(auction: Auction, offer: Offer) -> None:
    """Raises Declined when nothing of this account may be bid in this auction."""
    _check_currency(auction, offer)
    _check_seat(auction, offer)
    _check_categories(auction, offer)
    _check_advertiser(auction, offer)
    if offer.app_bundle and offer.app_bundle in auction.blocked_apps:
        raise Declined("app", f"bapp blocks {offer.app_bundle}")


def deal_for(imp: Impression, price: Decimal, offer: Offer) -> Deal | None:
    """The deal to bid under; None: the open auction.

    Raises Declined when the price is good for neither.
    """
    if not imp.deals_only:
        refusal = _below(imp.floor, price, offer.currency_code, f"impression {shown(imp.imp_id)}")
        if refusal is None:
            return None
    else:
        refusal = None
        if not imp.deals:
            raise Declined("deal", f"impression {shown(imp.imp_id)} takes deals only, and has none")
    for deal in imp.deals:
        found = _not_ours(deal, offer) or _below(
            deal.floor, price, offer.currency_code, f"deal {shown(deal.deal_id)}"
        )
        if found is None:
            return deal
        refusal = refusal or found
    assert refusal is not None
    raise refusal


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


def _not_ours(deal: Deal, offer: Offer) -> Declined | None:
    """Why the deal is not for this account; None: it is."""
    if not deal.deal_id:
        return Declined("deal", "a deal without an id cannot be bid under")
    name = f"deal {shown(deal.deal_id)}"
    if deal.seats and offer.seat not in deal.seats:
        return Declined("deal", f"{name} is not for seat {shown(offer.seat)}")
    if deal.advertisers and not _covering(offer.domain, deal.advertisers):
        return Declined("deal", f"{name} is not for advertiser {shown(offer.domain)}")
    return None


def _below(floor: Floor, price: Decimal, currency_code: str, what: str) -> Declined | None:
    """Why the price does not reach the floor; None: it does."""
    if floor.amount == 0:
        return None
    if floor.currency_code != currency_code:
        return Declined(
            "floor",
            f"the floor of {what} is in {shown(floor.currency_code)}, the price in "
            f"{currency_code}, and there is no exchange rate",
        )
    if price < floor.amount:
        return Declined("floor", f"the floor of {what} is {floor.amount}, the price is {price}")
    return None


def _covering(domain: str, domains: Iterable[str]) -> str:
    """The first of the domains that is this one or one above it; empty: none is."""
    for listed in domains:
        above = domain_of(listed)
        if above and domain and (domain == above or domain.endswith(f".{above}")):
            return listed
    return ""
