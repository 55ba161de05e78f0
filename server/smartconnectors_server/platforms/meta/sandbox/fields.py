"""Field expansion: `id,name,adsets.limit(2){id,bid_amount}`, as nodes are asked for."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smartconnectors_server.platforms.meta.sandbox.accounts import Node, World
from smartconnectors_server.platforms.meta.sandbox.failures import Refused, invalid

_EDGES = {"account": {"campaigns": "campaign", "adsets": "adset"}, "campaign": {"adsets": "adset"}}
_TITLES = {"account": "AdAccount", "campaign": "Campaign", "adset": "AdSet"}
_COMMON = {"id", "name", "account_id", "status", "effective_status", "updated_time"}
_BIDDING = {"bid_strategy", "daily_budget", "lifetime_budget"}
_FIELDS = {
    "account": {"id", "name", "account_id", "currency", "account_status", "timezone_name"},
    "campaign": _COMMON | _BIDDING | {"objective"},
    "adset": _COMMON
    | _BIDDING
    | {
        "campaign_id",
        "bid_amount",
        "bid_constraints",
        "optimization_goal",
        "billing_event",
        "targeting",
    },
}
_NAME = re.compile(r"\s*([A-Za-z_]\w*)\s*", re.ASCII)
_MODIFIER = re.compile(r"\.(\w+)\(", re.ASCII)
_DEFAULT_LIMIT = 25
_MAX_LIMIT = 5000


@dataclass(frozen=True, slots=True)
class Wanted:
    """One field, with its modifiers, and the fields of what is behind it."""

    name: str
    modifiers: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[Wanted, ...] = ()


def parse(text: str) -> tuple[Wanted, ...]:
    """The fields that are wanted. Raises Refused."""
    if not text:
        return ()
    wanted, end = _list(text, 0)
    if end != len(text):
        raise _syntax_error()
    return wanted


def _list(text: str, at: int) -> tuple[tuple[Wanted, ...], int]:
    """(the fields from `at` on, where they end)."""
    wanted = []
    while True:
        one, at = _one(text, at)
        wanted.append(one)
        if text[at : at + 1] != ",":
            return tuple(wanted), at
        at += 1


def _one(text: str, at: int) -> tuple[Wanted, int]:
    name = _NAME.match(text, at)
    if name is None:
        raise _syntax_error()
    at = name.end()
    modifiers: dict[str, str] = {}
    while (modifier := _MODIFIER.match(text, at)) is not None:
        end = _closing(text, modifier.end())
        modifiers[modifier[1]] = text[modifier.end() : end]
        at = end + 1
    inner: tuple[Wanted, ...] = ()
    if text[at : at + 1] == "{":
        inner, at = _list(text, at + 1)
        if text[at : at + 1] != "}":
            raise _syntax_error()
        at += 1
    return Wanted(name[1], modifiers, inner), at


def _closing(text: str, at: int) -> int:
    """Where the bracket closes that is open at `at`. One in quotes is none."""
    depth, quoted = 1, False
    for index in range(at, len(text)):
        char = text[index]
        if char == '"':
            quoted = not quoted
        elif not quoted and char in "()":
            depth += 1 if char == "(" else -1
            if depth == 0:
                return index
    raise _syntax_error()


def _syntax_error() -> Refused:
    return Refused(2500, "Syntax error in the field list.")


def render(world: World, node: Node, wanted: Sequence[Wanted]) -> dict[str, Any]:
    """The node as it is answered. Raises Refused for a field that it does not have."""
    rendered: dict[str, Any] = {}
    for each in wanted or (Wanted("id"),):
        edge = _EDGES.get(node.kind, {}).get(each.name)
        if edge is not None:
            page = edge_page(world, node, edge, each.modifiers, each.fields)
            if page["data"]:
                rendered[each.name] = page
        elif each.name in _FIELDS[node.kind]:
            value = _value_of(node, each.name)
            if value is not None:
                rendered[each.name] = value
        else:
            raise invalid(
                f"Tried accessing nonexisting field ({each.name}) on node type "
                f"({_TITLES[node.kind]})"
            )
    return {**rendered, "id": node.values["id"]}


def chosen(values: Mapping[str, Any], wanted: Sequence[Wanted]) -> dict[str, Any]:
    """The wanted ones of these fields, all when none is named. Raises Refused."""
    for each in wanted:
        if each.name not in values:
            raise invalid(f"Tried accessing nonexisting field ({each.name})")
    names = [each.name for each in wanted] or list(values)
    return {name: values[name] for name in names}


def edge_kind(node: Node, name: str) -> str | None:
    """The kind of node behind an edge; None: the node has no such edge."""
    return _EDGES.get(node.kind, {}).get(name)


def edge_page(
    world: World, node: Node, kind: str, modifiers: Mapping[str, str], wanted: Sequence[Wanted]
) -> dict[str, Any]:
    """One page of an edge. Raises Refused."""
    found = [
        each
        for each in world.children(node.values["id"], kind)
        if all(_matches(each, one) for one in _filters(modifiers))
    ]
    try:
        limit = min(int(modifiers.get("limit", _DEFAULT_LIMIT)), _MAX_LIMIT)
        start = int(base64.b64decode(modifiers["after"])) if "after" in modifiers else 0
    except ValueError:
        raise invalid("limit and after must be what paging gave") from None
    data = [render(world, each, wanted) for each in found[start : start + limit]]
    page: dict[str, Any] = {"data": data}
    if data:
        after = base64.b64encode(str(start + len(data)).encode()).decode()
        page["paging"] = {"cursors": {"before": "MA==", "after": after}}
        if start + limit < len(found):
            page["paging"]["next"] = f"https://graph.facebook.com/next?after={after}"
    return page


def _filters(modifiers: Mapping[str, str]) -> list[Mapping[str, Any]]:
    filters: list[Mapping[str, Any]] = []
    for name in ("status", "effective_status"):
        if name in modifiers:
            value = _json(modifiers[name])
            filters.append({"field": name, "operator": "IN", "value": value})
    if "filtering" in modifiers:
        filters += _json(modifiers["filtering"])
    return filters


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise invalid("Param filtering must be an array.") from None


def _matches(node: Node, one: Mapping[str, Any]) -> bool:
    try:
        name, operator, value = one["field"], one["operator"], one["value"]
    except (KeyError, TypeError):
        raise invalid("Param filtering must have field, operator and value.") from None
    name = str(name).rpartition(".")[2] if str(name) != "campaign.id" else "campaign_id"
    found = _value_of(node, name)
    if operator == "IN":
        return found in [str(each) for each in value]
    if operator == "EQUAL":
        return bool(found == str(value))
    raise invalid(f"Filtering operator {operator} is not one of IN, EQUAL")


def _value_of(node: Node, name: str) -> Any:
    return node.values.get("status" if name == "effective_status" else name)
