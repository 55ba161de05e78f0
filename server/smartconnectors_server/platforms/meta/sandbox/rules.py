"""By which rules a post changes a node: everything is checked on a copy, then kept whole."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.platforms.meta.sandbox.accounts import AUDIENCES, Node, World
from smartconnectors_server.platforms.meta.sandbox.failures import (
    invalid,
    too_many_budget_changes,
)

Form = Mapping[str, str]
Staged = dict[str, dict[str, Any]]
"""Node id -> its values afterwards."""

STRATEGIES = (
    "LOWEST_COST_WITHOUT_CAP",
    "LOWEST_COST_WITH_BID_CAP",
    "COST_CAP",
    "LOWEST_COST_WITH_MIN_ROAS",
)
_CAPS = ("LOWEST_COST_WITH_BID_CAP", "COST_CAP")
_MIN_ROAS = "LOWEST_COST_WITH_MIN_ROAS"
_GOALS = (
    "APP_INSTALLS",
    "CONVERSATIONS",
    "IMPRESSIONS",
    "LANDING_PAGE_VIEWS",
    "LEAD_GENERATION",
    "LINK_CLICKS",
    "OFFSITE_CONVERSIONS",
    "POST_ENGAGEMENT",
    "REACH",
    "THRUPLAY",
    "VALUE",
)
_STATUSES = ("ACTIVE", "PAUSED", "DELETED", "ARCHIVED")
_MOST_BUDGET_CHANGES = 4
_HOUR_NS = 3600 * NANOS_PER_SECOND

# Subcodes of Meta's: a strategy that lacks its amount, a budget that is too low.
_AMOUNT_REQUIRED = 2490487
_BUDGET_TOO_LOW = 1885272


class Rules:
    """Changes a world's nodes."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self._budget_changes_ns: dict[str, deque[int]] = {}

    def stage(self, node: Node, form: Form) -> Staged:
        """What the post would leave. Raises Refused; changes nothing."""
        staged: Staged = {node.values["id"]: dict(node.values)}
        values = staged[node.values["id"]]
        for name, text in form.items():
            setter = _SETTERS[node.kind].get(name)
            if setter is not None:
                setter(values, name, text)
        if "adset_bid_amounts" in form:
            self._ad_set_amounts(node, form["adset_bid_amounts"], staged)
        if node.kind == "campaign":
            self._check_campaign(node, form, staged)
        else:
            self._check_ad_set(node, form, values)
        if "daily_budget" in form:
            self._check_budget(node, values)
        return staged

    def commit(self, staged: Staged, form: Form) -> None:
        """Keeps what was staged."""
        seconds = self._clock.wall_ns() // NANOS_PER_SECOND
        for node_id, values in staged.items():
            node = self._world.nodes[node_id]
            if node.kind == "adset" and node.values.get("daily_budget") != values.get(
                "daily_budget"
            ):
                changes = self._budget_changes_ns.setdefault(node_id, deque())
                changes.append(self._clock.monotonic_ns())
            node.values = {**values, "updated_time": _timestamp(seconds)} if form else values

    def _check_campaign(self, node: Node, form: Form, staged: Staged) -> None:
        values = staged[node.values["id"]]
        if "bid_strategy" not in form:
            return
        if not _has_budget(node.values):
            raise invalid("A campaign without a budget of its own has no bid_strategy.")
        for ad_set in self._world.children(node.values["id"], "adset"):
            ad_set_id = ad_set.values["id"]
            after = staged.setdefault(ad_set_id, dict(ad_set.values))
            _check_bidding(values["bid_strategy"], after)

    def _ad_set_amounts(self, node: Node, text: str, staged: Staged) -> None:
        amounts = _object("adset_bid_amounts", text)
        for ad_set_id, amount in amounts.items():
            ad_set = self._world.nodes.get(ad_set_id)
            if ad_set is None or ad_set.values.get("campaign_id") != node.values["id"]:
                raise invalid(f"adset_bid_amounts: {ad_set_id} is not an ad set of this campaign")
            after = staged.setdefault(ad_set_id, dict(ad_set.values))
            _set_positive(after, "bid_amount", str(amount))

    def _check_ad_set(self, node: Node, form: Form, values: dict[str, Any]) -> None:
        campaign = self._world.campaign_of(node)
        strategy = values.get("bid_strategy", "LOWEST_COST_WITHOUT_CAP")
        if _has_budget(campaign.values):
            for name in ("bid_strategy", "daily_budget"):
                if name in form:
                    raise invalid(f"{name} is the campaign's, which has a budget of its own.")
            strategy = campaign.values["bid_strategy"]
        bids = ("bid_strategy", "bid_amount", "bid_constraints", "optimization_goal")
        if any(name in form for name in bids):
            _check_bidding(strategy, values, given=form)

    def _check_budget(self, node: Node, values: Mapping[str, Any]) -> None:
        account = self._world.nodes[f"act_{node.values['account_id']}"]
        # Every ad set here is billed by impressions.
        least = self._world.minimum_budgets(account)["min_daily_budget_imp"]
        if not _has_budget(node.values):
            raise invalid("The budget is not set here.")
        if int(values["daily_budget"]) < least:
            raise invalid("Your budget is too low.", _BUDGET_TOO_LOW)
        if node.kind == "campaign" or values["daily_budget"] == node.values["daily_budget"]:
            return
        now_ns = self._clock.monotonic_ns()
        changes = self._budget_changes_ns.setdefault(node.values["id"], deque())
        while changes and changes[0] + _HOUR_NS <= now_ns:
            changes.popleft()
        if len(changes) >= _MOST_BUDGET_CHANGES:
            raise too_many_budget_changes()


def _check_bidding(
    strategy: str, values: dict[str, Any], *, given: Mapping[str, str] | None = None
) -> None:
    """Strategy, goal and amount go together, or Refused. Drops the amount of another strategy,
    unless it was just given.
    """
    given = given or {}
    goal = values.get("optimization_goal")
    if strategy in _CAPS:
        if goal == "VALUE":
            raise invalid(f"{strategy} is not available with optimization_goal VALUE.")
        _only("bid_amount", strategy, values, given)
    elif strategy == _MIN_ROAS:
        if goal != "VALUE":
            raise invalid(f"{strategy} needs optimization_goal VALUE.")
        _only("bid_constraints", strategy, values, given)
    else:
        _only("", strategy, values, given)


def _only(wanted: str, strategy: str, values: dict[str, Any], given: Mapping[str, str]) -> None:
    for name in ("bid_amount", "bid_constraints"):
        if name == wanted:
            if name not in values:
                raise invalid(
                    "Bid amount or bid constraints required for the bid strategy provided.",
                    _AMOUNT_REQUIRED,
                )
        elif name in given:
            raise invalid(f"{name} does not go with {strategy}.")
        else:
            values.pop(name, None)


def _has_budget(values: Mapping[str, Any]) -> bool:
    return "daily_budget" in values or "lifetime_budget" in values


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise invalid(f"Param {name} must be an object.")
    return value


def _set_positive(values: dict[str, Any], name: str, text: str) -> None:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise invalid(f"Param {name} must be an integer greater than 0.")
    values[name] = int(text)


def _set_budget(values: dict[str, Any], name: str, text: str) -> None:
    _set_positive(values, name, text)
    values[name] = text


def _one_of(options: tuple[str, ...]) -> Callable[[dict[str, Any], str, str], None]:
    def set_one(values: dict[str, Any], name: str, text: str) -> None:
        if text not in options:
            raise invalid(f"Param {name} must be one of {{{', '.join(options)}}}")
        values[name] = text

    return set_one


def _set_constraints(values: dict[str, Any], name: str, text: str) -> None:
    floor = _object(name, text).get("roas_average_floor")
    if isinstance(floor, bool) or not isinstance(floor, int) or not 100 <= floor <= 10_000_000:
        raise invalid("roas_average_floor must be an integer from 100 to 10000000.")
    values[name] = {"roas_average_floor": floor}


def _set_targeting(values: dict[str, Any], name: str, text: str) -> None:
    targeting = _object(name, text)
    for entry in targeting.get("custom_audiences", ()):
        if not isinstance(entry, dict) or str(entry.get("id")) not in AUDIENCES:
            raise invalid(f"Custom audience {entry} does not exist or is not shared with you.")
    values[name] = targeting


def _set_text(values: dict[str, Any], name: str, text: str) -> None:
    values[name] = text


def _timestamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


_SETTERS: Mapping[str, Mapping[str, Callable[[dict[str, Any], str, str], None]]] = {
    "campaign": {
        "name": _set_text,
        "status": _one_of(_STATUSES),
        "bid_strategy": _one_of(STRATEGIES),
        "daily_budget": _set_budget,
    },
    "adset": {
        "name": _set_text,
        "status": _one_of(_STATUSES),
        "bid_strategy": _one_of(STRATEGIES),
        "daily_budget": _set_budget,
        "bid_amount": _set_positive,
        "bid_constraints": _set_constraints,
        "optimization_goal": _one_of(_GOALS),
        "targeting": _set_targeting,
    },
    "account": {},
}
