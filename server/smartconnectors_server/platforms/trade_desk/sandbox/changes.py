"""What the sandbox lets be changed of an ad group and of a flight, and what stands on the wire."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any, TypeGuard

from smartconnectors_server.platforms.trade_desk.sandbox.accounts import AUDIENCES
from smartconnectors_server.platforms.trade_desk.sandbox.refusals import invalid

Entity = dict[str, Any]

_IMMUTABLE = frozenset({"CampaignId", "Availability"})
_KNOWN = frozenset({"AdGroupId", "AdGroupName", "Description", "IsEnabled", "RTBAttributes"})
_KNOWN_RTB = frozenset({"BaseBidCPM", "MaxBidCPM", "AudienceTargeting", "CreativeIds"})
_LARGEST = 1_000_000


def change_ad_group(ad_group: Entity, asked: Entity, currency_code: str) -> Entity:
    """The ad group with what was asked for. Raises Refused; then nothing has changed."""
    for name in asked:
        if name in _IMMUTABLE:
            raise invalid(name, "cannot be changed")
        if name not in _KNOWN:
            raise invalid(name, "is not a property of an ad group")
    changed = copy.deepcopy(ad_group)
    if "IsEnabled" in asked and not isinstance(asked["IsEnabled"], bool):
        raise invalid("IsEnabled", "must be true or false")
    changed.update({name: value for name, value in asked.items() if name != "RTBAttributes"})
    wanted = asked.get("RTBAttributes", {})
    if not isinstance(wanted, dict):
        raise invalid("RTBAttributes", "must be an object")
    rtb = changed["RTBAttributes"]
    for name, value in wanted.items():
        if name not in _KNOWN_RTB:
            raise invalid(f"RTBAttributes.{name}", "is not a property of RTBAttributes")
        if name.endswith("CPM"):
            rtb[name] = _money(value, f"RTBAttributes.{name}", currency_code)
        elif name == "AudienceTargeting":
            rtb[name].update(_targeting(value))
        else:
            rtb[name] = value
    if rtb["BaseBidCPM"]["Amount"] > rtb["MaxBidCPM"]["Amount"]:
        raise invalid("RTBAttributes.BaseBidCPM", "must not be above MaxBidCPM")
    return changed


def flight_change(asked: Entity) -> Entity:
    """What is set on a flight. Raises Refused."""
    for name in asked:
        if name not in ("CampaignFlightId", "DailyTargetInAdvertiserCurrency"):
            raise invalid(name, "is not set here")
    target = asked.get("DailyTargetInAdvertiserCurrency")
    if not _is_number(target) or not 0 < target <= _LARGEST * 1000:
        raise invalid("DailyTargetInAdvertiserCurrency", "must be above 0")
    return {"DailyTargetInAdvertiserCurrency": target}


def facts_of(body: Entity) -> dict[str, Any]:
    """What a change says, under short names."""
    facts: dict[str, Any] = {"fields": sorted(_paths(body))}
    if "AdGroupId" in body:
        facts["ad_group_id"] = body["AdGroupId"]
    if "CampaignFlightId" in body:
        facts["campaign_flight_id"] = body["CampaignFlightId"]
    if "IsEnabled" in body:
        facts["is_enabled"] = body["IsEnabled"]
    daily = body.get("DailyTargetInAdvertiserCurrency")
    if _is_number(daily):
        facts["daily_budget"] = float(daily)
    rtb = body.get("RTBAttributes")
    for name, fact in (("BaseBidCPM", "base_bid_cpm"), ("MaxBidCPM", "max_bid_cpm")):
        money = rtb.get(name) if isinstance(rtb, dict) else None
        if isinstance(money, dict) and _is_number(money.get("Amount")):
            facts[fact] = float(money["Amount"])
            facts["currency_code"] = money.get("CurrencyCode")
    targeting = rtb.get("AudienceTargeting") if isinstance(rtb, dict) else None
    if isinstance(targeting, dict) and "AudienceId" in targeting:
        facts["audience_id"] = targeting["AudienceId"]
    return facts


def _paths(body: Entity, above: str = "") -> list[str]:
    found = []
    for name, value in body.items():
        inner = isinstance(value, dict) and name in ("RTBAttributes", "AudienceTargeting")
        found += _paths(value, f"{above}{name}.") if inner else [f"{above}{name}"]
    return found


def _money(value: Any, name: str, currency_code: str) -> Entity:
    if not isinstance(value, dict):
        raise invalid(name, "must be an object")
    amount = value.get("Amount")
    if not _is_number(amount) or not 0 < amount <= _LARGEST:
        raise invalid(f"{name}.Amount", f"must be above 0 and at most {_LARGEST}")
    if value.get("CurrencyCode") != currency_code:
        raise invalid(f"{name}.CurrencyCode", f"must be the advertiser's, {currency_code}")
    return {"Amount": amount, "CurrencyCode": currency_code}


def _targeting(value: Any) -> Entity:
    if not isinstance(value, dict) or set(value) != {"AudienceId"}:
        raise invalid("RTBAttributes.AudienceTargeting", "only AudienceId is set here")
    audience_id = value["AudienceId"]
    known = isinstance(audience_id, str) and audience_id in AUDIENCES
    if audience_id is not None and not known:
        raise invalid("RTBAttributes.AudienceTargeting.AudienceId", "is not an audience")
    return value


def _is_number(value: Any) -> TypeGuard[int | Decimal]:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)
