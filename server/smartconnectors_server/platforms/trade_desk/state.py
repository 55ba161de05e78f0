"""What is read of an account, from the JSON of The Trade Desk's REST v3. Pure.

Every function raises UnreadableEntity when the JSON is not of the form it reads; other fields than
those that are used may be there or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from smartconnectors_server.connector import AccountFacts
from smartconnectors_server.platforms.trade_desk.amounts import micros_of

T = TypeVar("T")

_MOST_MICROS = 10**18


class UnreadableEntity(Exception):
    """An entity is not of the form that The Trade Desk documents; the message says which."""


@dataclass(frozen=True, slots=True)
class AdGroup:
    """An ad group, as far as we set it. Bids in micros for a thousand impressions; 0: none."""

    ad_group_id: str
    campaign_id: str
    currency_code: str
    """Empty: it says no bid yet, so none."""
    base_bid_micros: int
    max_bid_micros: int
    enabled: bool
    audience_id: str
    """Empty: none."""
    creative_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flight:
    """A stretch of time for which a campaign has a budget."""

    flight_id: int
    start: datetime
    end: datetime | None
    daily_target_micros: int
    """0: none."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign, as far as we set it."""

    campaign_id: str
    advertiser_id: str
    budgeted_by_rest: bool
    """False: a Kokai campaign, whose budget only the GraphQL API changes."""
    flights: tuple[Flight, ...]

    def flight_at(self, now: datetime) -> Flight | None:
        """The flight that runs at `now`; None: none does."""
        for flight in self.flights:
            if flight.start <= now and (flight.end is None or now < flight.end):
                return flight
        return None


@dataclass(frozen=True, slots=True)
class Advertiser:
    """An advertiser."""

    advertiser_id: str
    currency_code: str
    domain: str
    """Lower case, without a path; empty: it says none."""
    name: str = ""


def ad_group_of(entity: Mapping[str, Any]) -> AdGroup:
    """An ad group."""
    return _read("ad group", _ad_group, entity)


def is_whole_ad_group(entity: Mapping[str, Any]) -> bool:
    """True when nothing that is read of an ad group is missing: a partial answer to a change must
    not look like an ad group without creatives or without a highest bid.
    """
    rtb = entity.get("RTBAttributes")
    return (
        entity.keys() >= {"AdGroupId", "CampaignId", "IsEnabled"}
        and isinstance(rtb, Mapping)
        and rtb.keys() >= {"BaseBidCPM", "MaxBidCPM", "CreativeIds", "AudienceTargeting"}
    )


def campaign_of(entity: Mapping[str, Any]) -> Campaign:
    """A campaign."""
    return _read("campaign", _campaign, entity)


@dataclass(frozen=True, slots=True)
class Listed:
    """A campaign of a listing, with what The Trade Desk says of it in its own words."""

    campaign: Campaign
    name: str
    availability: str
    budgeting: str


def listed_of(entity: Mapping[str, Any]) -> Listed:
    """A campaign of a listing."""
    return _read("campaign", _listed, entity)


def advertiser_of(entity: Mapping[str, Any]) -> Advertiser:
    """An advertiser."""
    return _read("advertiser", _advertiser, entity)


def account_of(advertiser: Advertiser) -> AccountFacts:
    """An advertiser as the account that it is. It has no time zone: each campaign has its own."""
    return AccountFacts(advertiser.advertiser_id, advertiser.name, advertiser.currency_code)


def flight_id_of(entity: Mapping[str, Any]) -> int:
    """The id of a campaign flight."""
    return _read("campaign flight", lambda flight: _number(flight["CampaignFlightId"]), entity)


def results_of(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entities of one page of a query."""
    results = document.get("Result")
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise UnreadableEntity("a query without a list of results")
    return results


def domain_of(address: str) -> str:
    """The host of an address, with or without a scheme: lower case, without `www.`."""
    host = address.strip().lower().rpartition("://")[2]
    for end in "/?#:":
        host = host.partition(end)[0]
    return host.removeprefix("www.").rstrip(".")


def _read(what: str, read: Callable[[Mapping[str, Any]], T], entity: Mapping[str, Any]) -> T:
    try:
        return read(entity)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UnreadableEntity(f"an unreadable {what} ({type(error).__name__})") from error


def _ad_group(entity: Mapping[str, Any]) -> AdGroup:
    rtb = entity.get("RTBAttributes") or {}
    base, highest = rtb.get("BaseBidCPM") or {}, rtb.get("MaxBidCPM") or {}
    audience = rtb.get("AudienceTargeting") or {}
    return AdGroup(
        ad_group_id=_text(entity["AdGroupId"]),
        campaign_id=_text(entity["CampaignId"]),
        currency_code=_text(base.get("CurrencyCode") or highest.get("CurrencyCode") or ""),
        base_bid_micros=_micros(base.get("Amount")),
        max_bid_micros=_micros(highest.get("Amount")),
        enabled=entity.get("IsEnabled") is not False,
        audience_id=_text(audience.get("AudienceId") or ""),
        creative_ids=tuple(_texts(rtb.get("CreativeIds") or ())),
    )


def _campaign(entity: Mapping[str, Any]) -> Campaign:
    return Campaign(
        campaign_id=_text(entity["CampaignId"]),
        advertiser_id=_text(entity["AdvertiserId"]),
        budgeted_by_rest=entity.get("BudgetingVersion") != "Kokai",
        flights=tuple(_flight(flight) for flight in entity.get("CampaignFlights") or ()),
    )


def _listed(entity: Mapping[str, Any]) -> Listed:
    return Listed(
        campaign=_campaign(entity),
        name=_text(entity.get("CampaignName") or ""),
        availability=_text(entity.get("Availability") or ""),
        budgeting=_text(entity.get("BudgetingVersion") or ""),
    )


def _flight(entity: Mapping[str, Any]) -> Flight:
    end = entity.get("EndDateExclusiveUTC")
    return Flight(
        flight_id=_number(entity["CampaignFlightId"]),
        start=_instant(entity["StartDateInclusiveUTC"]),
        end=None if end is None else _instant(end),
        daily_target_micros=_micros(entity.get("DailyTargetInAdvertiserCurrency")),
    )


def _advertiser(entity: Mapping[str, Any]) -> Advertiser:
    return Advertiser(
        advertiser_id=_text(entity["AdvertiserId"]),
        currency_code=_text(entity["CurrencyCode"]),
        domain=domain_of(_text(entity.get("DomainAddress") or "")),
        name=_text(entity.get("AdvertiserName") or ""),
    )


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def _micros(amount: Any) -> int:
    if amount is None:
        return 0
    if isinstance(amount, bool) or not isinstance(amount, Decimal | int):
        raise TypeError("not a number")
    if not 0 <= (micros := micros_of(amount)) <= _MOST_MICROS:
        raise ValueError("no amount that is meant seriously")
    return micros


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not a whole number")
    return value


def _text(value: Any) -> str:
    """A text that is one: JSON can carry half a character."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()
    return value


def _texts(values: Iterable[Any]) -> list[str]:
    return [_text(value) for value in values]
