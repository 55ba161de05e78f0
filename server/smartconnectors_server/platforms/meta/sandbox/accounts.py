"""What a sandbox starts with: ad accounts, campaigns, ad sets and custom audiences.

A node has its fields under Meta's names, as Meta writes them: budgets are text, bid amounts are
integers, and what is not set is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smartconnectors_server.platforms.meta.sandbox_access import USD_ACCOUNT

JPY_ACCOUNT = "act_1000000002"
BHD_ACCOUNT = "act_1000000003"
"""Meta counts dinars of Bahrain in hundredths; ISO 4217 has thousandths."""
FORBIDDEN_ACCOUNT = "act_1000000009"
"""An account that the sandbox's user may not touch."""

TIME_ZONE = "America/New_York"
AUDIENCES = ("501", "502", "503")
EXTRA_CAMPAIGNS_FROM = 100_001
"""The id of the first campaign that a sandbox has only when it is asked for more."""
STARTED = "2026-01-01T00:00:00+0000"

# account -> (currency, first campaign - 1, 100 units in minor units)
_ACCOUNTS = {
    USD_ACCOUNT: ("USD", 1000, 10_000),
    JPY_ACCOUNT: ("JPY", 2000, 100),
    BHD_ACCOUNT: ("BHD", 3000, 10_000),
}

# currency -> the least daily budget for impressions, clicks, rare actions and video views, in minor
# units: Meta's $1, $5, $40 and $5, and half of them in other currencies than some.
_MINIMUM_BUDGETS = {
    "USD": (100, 500, 4000, 500),
    "JPY": (100, 500, 4000, 500),
    "BHD": (20, 95, 755, 95),
}

_MIN_ROAS = {
    "bid_strategy": "LOWEST_COST_WITH_MIN_ROAS",
    "bid_constraints": {"roas_average_floor": 40_000},
    "optimization_goal": "VALUE",
}
_WITHOUT_CAP = {
    "bid_strategy": "LOWEST_COST_WITHOUT_CAP",
    "optimization_goal": "OFFSITE_CONVERSIONS",
}


@dataclass(slots=True)
class Node:
    """One object of the graph. `kind`: `account`, `campaign` or `adset`."""

    kind: str
    values: dict[str, Any]


@dataclass(slots=True)
class World:
    """Every node by id, in the order they were made."""

    nodes: dict[str, Node] = field(default_factory=dict)

    def children(self, node_id: str, kind: str) -> Iterable[Node]:
        """The campaigns or ad sets of an account, or the ad sets of a campaign."""
        parent = "account_id" if node_id.startswith("act_") else "campaign_id"
        key = node_id.removeprefix("act_")
        return [
            node
            for node in self.nodes.values()
            if node.kind == kind and node.values.get(parent) == key
        ]

    def minimum_budgets(self, account: Node) -> dict[str, Any]:
        """The least daily budgets of an account, under Meta's names."""
        currency = account.values["currency"]
        impressions, clicks, rare, views = _MINIMUM_BUDGETS[currency]
        return {
            "currency": currency,
            "min_daily_budget_imp": impressions,
            "min_daily_budget_high_freq": clicks,
            "min_daily_budget_low_freq": rare,
            "min_daily_budget_video_views": views,
        }

    def campaign_of(self, node: Node) -> Node:
        """The campaign itself, or the one that an ad set is in."""
        if node.kind == "campaign":
            return node
        return self.nodes[node.values["campaign_id"]]


def open_world() -> World:
    """Everything as it is before anybody changed anything."""
    world = World()
    for account_id, (currency, base, hundred) in _ACCOUNTS.items():
        number = account_id.removeprefix("act_")
        values: dict[str, Any] = {"id": account_id, "account_id": number, "currency": currency}
        values |= {"account_status": 1, "name": currency, "timezone_name": TIME_ZONE}
        world.nodes[account_id] = Node("account", values)
        for index in range(1, 10):
            _campaign(world, number, base + index, hundred, [_MIN_ROAS])
        _campaign(world, number, base + 10, hundred, [_MIN_ROAS], own_budget=True)
        _campaign(world, number, base + 11, hundred, [_MIN_ROAS, _MIN_ROAS])
        _campaign(world, number, base + 12, hundred, [_WITHOUT_CAP])
        _campaign(world, number, base + 13, hundred, [_WITHOUT_CAP], own_budget=True)
        _campaign(world, number, base + 14, hundred, [_MIN_ROAS, _MIN_ROAS], own_budget=True)
    return world


def _campaign(
    world: World,
    account: str,
    campaign_id: int,
    hundred: int,
    ad_sets: list[Mapping[str, Any]],
    *,
    own_budget: bool = False,
) -> None:
    """A campaign with ad sets, each of 100 units a day, or with a budget of its own."""
    common = {"account_id": account, "status": "ACTIVE", "updated_time": STARTED}
    budget = {"daily_budget": str(hundred)}
    campaign: dict[str, Any] = {"id": str(campaign_id), "name": f"Campaign {campaign_id}", **common}
    campaign["objective"] = "OUTCOME_SALES"
    if own_budget:
        campaign |= {**budget, "bid_strategy": ad_sets[0]["bid_strategy"]}
    world.nodes[campaign["id"]] = Node("campaign", campaign)
    for number, setting in enumerate(ad_sets, start=1):
        ad_set_id = f"{campaign_id}{number}"
        values = {"id": ad_set_id, "name": f"Ad set {ad_set_id}", "campaign_id": campaign["id"]}
        values |= {**common, **setting, "billing_event": "IMPRESSIONS"}
        values["targeting"] = {
            "geo_locations": {"countries": ["US"]},
            "custom_audiences": [{"id": "503", "name": "Audience 503"}],
        }
        if own_budget:
            del values["bid_strategy"]
        else:
            values |= budget
        world.nodes[ad_set_id] = Node("adset", values)
