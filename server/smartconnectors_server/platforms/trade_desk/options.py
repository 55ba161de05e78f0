"""The Trade Desk's own settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from smartconnectors_server.connector import SANDBOXS_OWN, Mode, Options, same_place
from smartconnectors_server.texts import HeaderSecret, OneLine, TrimmedSecret, trimmed
from smartconnectors_server.zones import UnknownZone, zone_of

ENVIRONMENT = {
    "TRADEDESK_API_KEY": "api_token",
    "TRADEDESK_PARTNER_ID": "partner_id",
    "TRADEDESK_ADVERTISER_ID": "advertiser_id",
    "TRADEDESK_LOGIN": "login",
    "TRADEDESK_PASSWORD": "password",
    "TRADEDESK_EXCHANGE_ENDPOINT": "exchange_endpoint",
}

_URL = re.compile(r"https?://[^\s/?#]+[^\s?#]*")
_CATEGORY = re.compile(r"IAB[0-9]{1,2}(-[0-9]{1,2})?")
_ATTRIBUTES = range(1, 18)


def _url(value: str) -> str:
    value = trimmed(value)
    if value and not (_URL.fullmatch(value) and value.isprintable()):
        raise ValueError("an http or https URL without query, such as https://bids.example.com")
    return value.rstrip("/")


def _categories(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_CATEGORY.fullmatch(category) for category in value):
        raise ValueError("IAB content categories as OpenRTB 2.5 lists them, such as IAB3-1")
    return value


def _attributes(value: tuple[int, ...]) -> tuple[int, ...]:
    if not all(attribute in _ATTRIBUTES for attribute in value):
        raise ValueError("creative attributes as OpenRTB 2.5 numbers them, 1 to 17")
    return value


def _time_zone(value: str) -> str:
    try:
        return zone_of(value).key
    except UnknownZone:
        raise ValueError(
            'not an IANA time zone such as "Europe/Paris", or not one that this system knows'
        ) from None


Url = Annotated[str, AfterValidator(_url)]


class TradeDeskOptions(Options):
    """What the connector needs to know of the account and, for `open_rtb`, of the bidder."""

    api_token: HeaderSecret = Field(SecretStr(""), examples=["..."])
    """A long-lived API token, sent as `TTD-Auth`."""
    login: OneLine = ""
    """An API user's login, instead of a long-lived token: a token is fetched once a day."""
    password: TrimmedSecret = Field(SecretStr(""), examples=["..."])
    """Its password. Better in the environment than in a file."""
    partner_id: OneLine = Field("", max_length=64, examples=["partner"])
    """The partner. The seat that bids for `open_rtb`, unless `seat` says another."""
    advertiser_id: OneLine = Field("", max_length=64, examples=["advertiser"])
    """Only campaigns of this advertiser are bid on by `open_rtb`. Empty: the campaign's own."""
    seat: OneLine = Field("", max_length=64)
    """The buyer seat in bid responses. Empty: the partner."""
    exchange_endpoint: Annotated[str | None, AfterValidator(lambda v: v and _url(v))] = Field(
        None, examples=["https://exchange.example.com/bids"]
    )
    """Where authored bid responses are submitted; must be a URL. Empty: nowhere. Absent: nowhere,
    but in sandbox the sandbox's own exchange. In sandbox, and beside an `endpoint`, another than
    the sandbox's own is refused at the start."""
    notice_base_url: Url = ""
    """Where win, billing and loss notices are to be sent, without `/openrtb/...`. Empty: bid
    responses name no notice URLs; in sandbox an address that nothing is sent to."""
    iab_categories: Annotated[tuple[str, ...], AfterValidator(_categories)] = Field(
        (), examples=[("IAB3-1",)]
    )
    """What the advertiser's ads are about, for `cat` and against `bcat`. Empty: auctions that block
    categories are not bid on."""
    creative_attributes: Annotated[tuple[int, ...], AfterValidator(_attributes)] = Field(
        (), examples=[(3,)]
    )
    """Attributes that every creative has, for `attr` and against `battr`."""
    app_bundle: OneLine = Field("", max_length=256)
    """The app that is advertised, for `bundle` and against `bapp`. Empty: none is."""
    auction_margin_ms: int = Field(10, ge=0, le=1000)
    """How much of an auction's `tmax` is kept for the way back to the exchange: a bid that would be
    later is not made."""
    ltv_in_bid_ext: bool = True
    """False: neither the LTV nor the explanation is written into `ext.kiki` of bid responses, where
    the exchange reads them."""
    strict_mode: bool = True
    """True: changes ask for The Trade Desk's strict mode, so that a property that it would ignore
    is refused by name. False: only the values that it returns show that it was ignored."""
    report_schedule_id: int | None = Field(None, ge=1, examples=[12345])
    """The MyReports schedule whose newest report says what was spent: CSV by day and campaign with
    the columns `Date`, `Campaign ID`, `Advertiser Currency Code` and `Advertiser Cost (Adv
    Currency)`. Absent: nothing is reported, but in sandbox the sandbox's own."""
    report_time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    """The time zone in which that schedule counts its days, an IANA name."""
    cache_ttl_s: float = Field(60.0, ge=0, le=3600)
    """How long what was read of campaigns, ad groups and creatives may be used to plan."""


def effective_options(options: TradeDeskOptions, mode: Mode) -> Mapping[str, Any]:
    """What counts where these settings are absent."""
    own = SANDBOXS_OWN if mode is Mode.SANDBOX else ""
    exchange = own if options.exchange_endpoint is None else options.exchange_endpoint
    return {
        "seat": options.seat or options.partner_id or own,
        "exchange_endpoint": exchange,
        "notice_base_url": options.notice_base_url or own,
        "iab_categories": options.iab_categories or own,
        "report_schedule_id": options.report_schedule_id or own,
        "advertiser_id": options.advertiser_id or own,
    }


def real_ways_out(options: TradeDeskOptions, endpoint: str | None) -> tuple[str, ...]:
    """What leads out of a sandbox at this endpoint (None: the one in the process)."""
    exchange = options.exchange_endpoint
    if not exchange or (endpoint is not None and same_place(exchange, endpoint)):
        return ()
    return ("exchange_endpoint",)


def missing_credentials(options: TradeDeskOptions) -> tuple[str, ...]:
    """The variables that are still needed to reach the real account; empty: none.

    A login with its password stands in for the API token.
    """
    missing = []
    if not options.api_token.get_secret_value():
        if options.login and options.password.get_secret_value():
            pass
        elif options.login:
            missing.append("TRADEDESK_PASSWORD")
        else:
            missing.append("TRADEDESK_API_KEY")
    if not options.partner_id:
        missing.append("TRADEDESK_PARTNER_ID")
    return tuple(missing)
