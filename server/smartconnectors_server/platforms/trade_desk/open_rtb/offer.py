"""What an account can offer to an auction. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from smartconnectors_server.platforms.trade_desk.open_rtb.creative import Creative


@dataclass(frozen=True, slots=True)
class Offer:
    """A campaign's creatives, and what holds for each of them.

    Attributes:
        campaign_id: for `cid`.
        currency_code: the account's.
        seat: the buyer seat; empty: none.
        domain: the advertiser's, for `adomain`; empty: unknown.
        categories: IAB content categories, for `cat`; empty: unknown.
        attributes: creative attributes, for `attr`.
        app_bundle: the app that is advertised; empty: none is.
        notice_base_url: where notices go; empty: nowhere.
        creatives: in the order in which they are tried.
    """

    campaign_id: str
    currency_code: str
    seat: str
    domain: str
    categories: tuple[str, ...]
    attributes: tuple[int, ...]
    app_bundle: str
    notice_base_url: str
    creatives: tuple[Creative, ...]


@dataclass(frozen=True, slots=True)
class Markup:
    """A creative as it fits into an impression.

    Attributes:
        adm: the markup.
        width, height: of the ad; 0: none of its own.
        ratio: for a flexible size; None: an exact one.
        protocol: OpenRTB's number of the VAST version; 0: none.
        loads: what it loads, where that is not to be read from HTML.
    """

    adm: str
    width: int = 0
    height: int = 0
    ratio: tuple[int, int] | None = None
    protocol: int = 0
    loads: tuple[str, ...] = ()
