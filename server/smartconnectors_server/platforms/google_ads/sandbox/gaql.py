"""Just enough of Google's query language for what clients ask of campaigns.

    SELECT field, ... FROM resource [WHERE field op value [AND ...]] [ORDER BY field] [LIMIT n]

Operators: =, !=, IN, NOT IN, and BETWEEN of days. A resource's own fields can be selected and those
of the resources it points to, as Google documents it for each. With days a campaign gives one row
for each of them on which it was billed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from smartconnectors_server.connector.sandbox import Billed
from smartconnectors_server.platforms.google_ads.sandbox import effective
from smartconnectors_server.platforms.google_ads.sandbox.accounts import Account, Entity
from smartconnectors_server.platforms.google_ads.sandbox.failures import refuse

_FIELDS: Mapping[str, frozenset[str]] = {
    kind: frozenset(f"{kind}.{field}" for field in fields.split())
    for kind, fields in {
        "customer": "resource_name id descriptive_name currency_code time_zone status",
        "segments": "date",
        "metrics": "cost_micros",
        "campaign": (
            "resource_name id name status advertising_channel_type bidding_strategy "
            "bidding_strategy_type accessible_bidding_strategy campaign_budget "
            "url_custom_parameters maximize_conversion_value.target_roas target_roas.target_roas "
            "maximize_conversions.target_cpa_micros target_cpa.target_cpa_micros "
            "manual_cpc.enhanced_cpc_enabled experiment_type serving_status "
            "contains_eu_political_advertising missing_eu_political_advertising_declaration"
        ),
        "campaign_budget": (
            "resource_name id amount_micros total_amount_micros explicitly_shared reference_count "
            "period status"
        ),
        "bidding_strategy": (
            "resource_name id name type status campaign_count target_roas.target_roas "
            "target_roas.cpc_bid_ceiling_micros target_roas.cpc_bid_floor_micros"
        ),
        "ad_group": (
            "resource_name id name status campaign cpc_bid_micros url_custom_parameters "
            "target_roas target_cpa_micros effective_target_roas effective_target_roas_source "
            "effective_target_cpa_micros effective_target_cpa_source"
        ),
        "ad_group_criterion": (
            "resource_name criterion_id ad_group type status negative cpc_bid_micros "
            "effective_cpc_bid_micros effective_cpc_bid_source"
        ),
        "currency_constant": "resource_name code billable_unit_micros",
        "campaign_criterion": (
            "resource_name criterion_id campaign type status negative user_list.user_list"
        ),
        "user_list": "resource_name id name",
    }.items()
}

_JOINED = {
    "customer": ("customer",),
    "campaign": (
        "customer",
        "campaign",
        "campaign_budget",
        "bidding_strategy",
        "segments",
        "metrics",
    ),
    "campaign_budget": ("customer", "campaign_budget"),
    "bidding_strategy": ("customer", "bidding_strategy"),
    "ad_group": ("customer", "campaign", "ad_group", "bidding_strategy"),
    "campaign_criterion": ("customer", "campaign", "campaign_criterion", "bidding_strategy"),
    "ad_group_criterion": (
        "customer",
        "campaign",
        "ad_group",
        "ad_group_criterion",
        "bidding_strategy",
    ),
    "user_list": ("customer", "user_list"),
    "currency_constant": ("currency_constant",),
}

_QUERY = re.compile(
    r"\s*SELECT\s+(?P<fields>.+?)\s+FROM\s+(?P<resource>\w+)"
    r"(?:\s+WHERE\s+(?P<where>.+?))?(?:\s+ORDER\s+BY\s+(?P<order>[\w.]+)(?:\s+ASC)?)?"
    r"(?:\s+LIMIT\s+(?P<limit>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(
    r"(?P<field>[\w.]+)\s*(?P<op>!=|=|NOT\s+IN\b|IN\b)\s*(?P<value>.+)", re.IGNORECASE | re.DOTALL
)

_BETWEEN = re.compile(
    r"segments\.date\s+BETWEEN\s+'(?P<since>[\d-]+)'\s+AND\s+'(?P<until>[\d-]+)'", re.IGNORECASE
)

Row = Mapping[str, Any]
"""Field path with its resource's prefix -> value."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query, understood."""

    fields: tuple[str, ...]
    resource: str
    keeps: tuple[Callable[[Row], bool], ...]
    limit: int | None
    days: tuple[date, date] | None = None
    """For a report by day: the first and the last."""
    order: str = ""
    """The field that rows are put in order by, the lowest first; empty: as they were made."""


def parse(text: str) -> Query:
    """Understands a query. Raises Refused with Google's query_error codes."""
    match = _QUERY.fullmatch(text)
    if match is None:
        raise refuse("query_error.UNEXPECTED_INPUT", "Error in query: expected SELECT ... FROM ...")
    resource = match["resource"].lower()
    if resource not in _JOINED:
        code = "query_error.BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"
        raise refuse(code, f"'{resource}' is not a valid resource name.", trigger=resource)
    fields = tuple(field.strip() for field in match["fields"].split(","))
    where, days = _without_days(match["where"] or "")
    conditions = re.split(r"\s+AND\s+", where, flags=re.IGNORECASE) if where else ()
    keeps = tuple(_condition(condition.strip(), resource) for condition in conditions)
    order = match["order"] or ""
    for field in (*fields, order) if order else fields:
        _check_field(field, resource)
    if days is None and any(field.startswith(("segments.", "metrics.")) for field in fields):
        code = "query_error.EXPECTED_FILTERS_ON_DATE_RANGE"
        raise refuse(code, "The query needs a range of days.")
    limit = int(match["limit"]) if match["limit"] else None
    return Query(fields, resource, keeps, limit, days, order)


def _without_days(where: str) -> tuple[str, tuple[date, date] | None]:
    """The conditions without the one on days, and the first and last of these."""
    match = _BETWEEN.search(where)
    if match is None:
        return where, None
    try:
        days = date.fromisoformat(match["since"]), date.fromisoformat(match["until"])
    except ValueError:
        raise refuse("query_error.INVALID_VALUE_WITH_BETWEEN_OPERATOR", "Not a day.") from None
    rest = where[: match.start()] + where[match.end() :]
    return re.sub(r"^\s*AND\s+|\s+AND\s*$", "", rest, flags=re.IGNORECASE).strip(), days


def _check_field(field: str, resource: str) -> None:
    if not any(field in known for known in _FIELDS.values()):
        code = "query_error.UNRECOGNIZED_FIELD"
        raise refuse(code, f"Unrecognized field in the query: '{field}'.", trigger=field)
    if not any(field in _FIELDS[kind] for kind in _JOINED[resource]):
        code = "query_error.PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE"
        raise refuse(code, f"'{field}' cannot be asked of '{resource}'.", trigger=field)


def _condition(text: str, resource: str) -> Callable[[Row], bool]:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise refuse("query_error.BAD_OPERATOR", f"Error in query: '{text}'.", trigger=text)
    field, operator = match["field"], re.sub(r"\s+", " ", match["op"].upper())
    _check_field(field, resource)
    listed = match["value"].strip()
    if operator.endswith("IN"):
        if not (listed.startswith("(") and listed.endswith(")")):
            raise refuse("query_error.EXPECTED_LIST", "IN takes a list in parentheses.")
        wanted = {_literal(item) for item in listed[1:-1].split(",")}
    else:
        wanted = {_literal(listed)}
    negated = operator in ("!=", "NOT IN")
    return lambda row: (_comparable(row.get(field)) in wanted) is not negated


def _literal(text: str) -> str:
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] in "'\"" and stripped[-1] == stripped[0]:
        return stripped[1:-1]
    if not re.fullmatch(r"[\w.\-]+", stripped):
        raise refuse("query_error.BAD_VALUE", f"'{stripped}' is not a value.", trigger=stripped)
    return stripped.upper() if stripped.upper() in ("TRUE", "FALSE") else stripped


def _comparable(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return "" if value is None else str(value)


def run(query: Query, account: Account, billed: Billed) -> Iterator[dict[str, Any]]:
    """The rows of the answer, as nested JSON values in the form of Google's own messages."""
    count = 0
    everything = [
        {**_joined(entity, account), "customer.time_zone": billed.time_zone}
        for entity in account.of_kind(query.resource)
    ]
    if query.order:
        everything.sort(key=lambda row: (query.order in row, row.get(query.order)))
    for joined in everything:
        if not all(keep(joined) for keep in query.keeps):
            continue
        for row in _by_day(joined, query, billed):
            if query.limit is not None and count >= query.limit:
                return
            count += 1
            yield nested({field: row[field] for field in query.fields if field in row})


def _by_day(joined: Row, query: Query, billed: Billed) -> list[Row]:
    """The row itself, or one for each day on which the campaign was billed."""
    if query.days is None:
        return [joined]
    return [
        {**joined, "segments.date": day.isoformat(), "metrics.cost_micros": micros}
        for day, micros in billed.between(str(joined["campaign.id"]), *query.days)
    ]


def _joined(entity: Entity, account: Account) -> dict[str, Any]:
    """An entity's fields with those of everything it points to."""
    row: dict[str, Any] = {}
    pending = [entity, account.entities[f"customers/{account.customer_id}"]]
    while pending:
        current = pending.pop()
        row.update({f"{current.kind}.{path}": value for path, value in current.values.items()})
        for pointer in ("ad_group", "campaign", "campaign_budget", "bidding_strategy"):
            pointed = account.entities.get(current.values.get(pointer, ""))
            if pointed is not None:
                pending.append(pointed)
        if current.kind == "bidding_strategy":
            row["bidding_strategy.campaign_count"] = sum(
                campaign.values.get("bidding_strategy") == current.resource_name
                for campaign in account.of_kind("campaign")
            )
    return {**row, **effective.bids_of(row)}


def nested(flat: Row) -> dict[str, Any]:
    """Field paths as the JSON form of Google's messages nests them."""
    document: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split(".")
        inner = document
        for parent in parents:
            inner = inner.setdefault(parent, {})
        if leaf == "url_custom_parameters":
            inner[leaf] = [{"key": key, "value": text} for key, text in value]
        else:
            inner[leaf] = value
    return document
