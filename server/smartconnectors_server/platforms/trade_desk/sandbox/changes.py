"""What the sandbox lets be changed of an ad group and of a flight, and what stands on the wire."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeGuard

from smartconnectors_server.platforms.trade_desk.sandbox.accounts import AUDIENCES
from smartconnectors_server.platforms.trade_desk.sandbox.refusals import invalid

Entity = dict[str, Any]

_READ_ONLY = frozenset({"CampaignId", "Availability"})
_KNOWN = frozenset(
    {
        "AdGroupId",
        "AdGroupName",
        "Description",
        "IsEnabled",
        "RTBAttributes.BaseBidCPM",
        "RTBAttributes.MaxBidCPM",
        "RTBAttributes.AudienceTargeting",
        "RTBAttributes.CreativeIds",
        "CampaignFlightId",
        "DailyTargetInAdvertiserCurrency",
    }
)
IDS = frozenset({"AdGroupId", "CampaignId", "CampaignFlightId"})
_FACTS = {
    "RTBAttributes.BaseBidCPM": "base_bid_cpm",
    "RTBAttributes.MaxBidCPM": "max_bid_cpm",
    "RTBAttributes.AudienceTargeting": "audience_id",
    "IsEnabled": "is_enabled",
    "DailyTargetInAdvertiserCurrency": "daily_budget",
}
_LARGEST = 1_000_000


@dataclass
class Leniency:
    """How the sandbox takes changes, as The Trade Desk does by default: a property that is not
    known or cannot be set is ignored with a 200, unless the request asks for strict mode.

    Attributes:
        read_only: further properties that cannot be set, for example `RTBAttributes.BaseBidCPM`.
        cpm_places: how many decimals of a CPM are kept; None: all of them.
        answers_ids_only: changes are answered with the entity's id and nothing else.
        status_endpoint: whether there is `PUT /v3/adgroup/status`.
    """

    read_only: set[str] = field(default_factory=set)
    cpm_places: int | None = None
    answers_ids_only: bool = False
    status_endpoint: bool = True

    def split(self, asked: Entity, *, strict: bool) -> tuple[Entity, list[str]]:
        """(what of the change is applied, which properties are ignored). Raises Refused in strict
        mode when any is.
        """
        ignored: list[str] = []
        kept = self._kept(asked, "", ignored)
        if strict and ignored:
            known = ignored[0] in _KNOWN | _READ_ONLY
            raise invalid(ignored[0], "is read-only" if known else "is not a known property")
        return kept, ignored

    def _kept(self, asked: Entity, above: str, ignored: list[str]) -> Entity:
        kept: Entity = {}
        for name, value in asked.items():
            path = f"{above}{name}"
            if path == "RTBAttributes" and isinstance(value, dict):
                kept[name] = self._kept(value, f"{path}.", ignored)
            elif path == "RTBAttributes" or (path in _KNOWN and path not in self.read_only):
                kept[name] = value
            else:
                ignored.append(path)
        return kept


def facts_ignored(ignored: list[str]) -> set[str]:
    """The facts that are not true of a change of which these properties were ignored."""
    return {_FACTS[path] for path in ignored if path in _FACTS}


def changes_something(kept: Entity) -> bool:
    """False: nothing is left of the change but an id."""
    return any(path not in IDS for path in _paths(kept))


def change_ad_group(
    ad_group: Entity, asked: Entity, currency_code: str, leniency: Leniency
) -> Entity:
    """The ad group with what was asked for. Raises Refused; then nothing has changed."""
    changed = copy.deepcopy(ad_group)
    if "IsEnabled" in asked and not isinstance(asked["IsEnabled"], bool):
        raise invalid("IsEnabled", "must be true or false")
    changed.update({name: value for name, value in asked.items() if name != "RTBAttributes"})
    wanted = asked.get("RTBAttributes", {})
    if not isinstance(wanted, dict):
        raise invalid("RTBAttributes", "must be an object")
    rtb = changed["RTBAttributes"]
    for name, value in wanted.items():
        if name.endswith("CPM"):
            rtb[name] = _money(value, f"RTBAttributes.{name}", currency_code, leniency.cpm_places)
        elif name == "AudienceTargeting":
            rtb[name].update(_targeting(value))
        else:
            rtb[name] = value
    if rtb["BaseBidCPM"]["Amount"] > rtb["MaxBidCPM"]["Amount"]:
        raise invalid("RTBAttributes.BaseBidCPM", "must not be above MaxBidCPM")
    return changed


def flight_change(asked: Entity) -> Entity:
    """What is set on a flight. Raises Refused."""
    if "DailyTargetInAdvertiserCurrency" not in asked:
        return {}
    target = asked["DailyTargetInAdvertiserCurrency"]
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


def _money(value: Any, name: str, currency_code: str, places: int | None) -> Entity:
    if not isinstance(value, dict):
        raise invalid(name, "must be an object")
    amount = value.get("Amount")
    if not _is_number(amount) or not 0 < amount <= _LARGEST:
        raise invalid(f"{name}.Amount", f"must be above 0 and at most {_LARGEST}")
    if value.get("CurrencyCode") != currency_code:
        raise invalid(f"{name}.CurrencyCode", f"must be the advertiser's, {currency_code}")
    kept = amount if places is None else round(Decimal(amount), places)
    return {"Amount": kept, "CurrencyCode": currency_code}


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
