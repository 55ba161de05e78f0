"""What the journal keeps of a request: what stood on the wire, under the wire's own names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from smartconnectors_server.platforms.meta.sandbox.accounts import Node, World

Form = Mapping[str, str]

_TEXTS = ("bid_strategy", "optimization_goal", "status")
_AMOUNTS = ("bid_amount", "daily_budget")
_OBJECTS = ("targeting", "adset_bid_amounts")


def post_facts(world: World, node: Node | None, node_id: str, form: Form) -> dict[str, Any]:
    """A post: what it was to, and what it was to set."""
    facts: dict[str, Any] = {"object_id": node_id}
    if node is not None and node.kind != "account":
        facts["campaign_id"] = world.campaign_of(node).values["id"]
        facts["account_id"] = node.values["account_id"]
    facts |= {name: form[name] for name in _TEXTS if name in form}
    facts |= {name: _integer(form[name]) for name in _AMOUNTS if name in form}
    facts |= {name: _parsed(form[name]) for name in _OBJECTS if name in form}
    constraints = _parsed(form.get("bid_constraints", ""))
    if isinstance(constraints, dict):
        facts["roas_average_floor"] = constraints.get("roas_average_floor")
    return facts


def _integer(text: str) -> int | str:
    """The number, or the text when it is none: the journal keeps what stood there."""
    return int(text) if text.isascii() and text.isdigit() else text


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
