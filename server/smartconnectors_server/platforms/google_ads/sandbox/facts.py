"""What the journal keeps of a request: what stood on the wire, under the wire's own names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from smartconnectors_server.platforms.google_ads.sandbox.mutate import Staged, value_at

_HEADERS = ("authorization", "developer-token", "login-customer-id", "x-goog-request-params")

# The last part of a field path -> the name of its fact.
_AMOUNTS = {
    "target_roas": "target_roas",
    "target_cpa_micros": "target_cpa_micros",
    "cpc_bid_micros": "cpc_bid_micros",
    "cpc_bid_ceiling_micros": "cpc_bid_ceiling_micros",
    "cpc_bid_floor_micros": "cpc_bid_floor_micros",
    "amount_micros": "daily_budget_micros",
}
_IDS = {
    "campaigns": "campaign_id",
    "adGroups": "ad_group_id",
    "adGroupCriteria": "ad_group_criterion_id",
    "biddingStrategies": "bidding_strategy_id",
    "campaignBudgets": "campaign_budget_id",
}


def header_facts(metadata: Iterable[tuple[str, Any]]) -> list[str]:
    """Which of Google's headers were there; never what they said."""
    present = {key.lower() for key, _ in metadata}
    return [header for header in _HEADERS if header in present]


def trace_facts(metadata: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """The trace context that came with a request, if any did."""
    return {key: value for key, value in metadata if key == "traceparent"}


def mutate_facts(request: Any) -> dict[str, Any]:
    """A mutate: its operations, and laid flat over them what each of them set.

    The flat facts are for requests that change one campaign; of several, the last one's stand. A
    batch, whose operations are made each for itself, has none.
    """
    operations = [_operation_facts(operation) for operation in request.mutate_operations]
    flat: dict[str, Any] = {}
    if len(operations) == 1 or not request.partial_failure:
        for facts in operations:
            flat.update({key: value for key, value in facts.items() if key != "fields"})
    fields = [field for facts in operations for field in facts.get("fields", ())]
    campaign_ids = [facts["campaign_id"] for facts in operations if "campaign_id" in facts]
    return {
        **flat,
        "customer_id": request.customer_id,
        "campaign_ids": list(dict.fromkeys(campaign_ids)),
        "fields": list(dict.fromkeys(fields)),
        "field": next((field for field in fields if _is_amount(field)), ""),
        "validate_only": request.validate_only,
        "partial_failure": request.partial_failure,
        "operations": operations,
    }


def add_outcomes(facts: dict[str, Any], staged: Staged, *, validate_only: bool) -> None:
    """What became of each operation of a batch: `applied`, and `errors` of one that was refused."""
    errors: dict[int, list[str]] = {}
    for problem in staged.problems:
        index = problem.path[0][1]
        if index is not None:
            errors.setdefault(index, []).append(problem.code)
    for index, made in enumerate(staged.results):
        outcome: dict[str, Any] = {"applied": made is not None and not validate_only}
        if index in errors:
            outcome["errors"] = errors[index]
        facts["operations"][index].update(outcome)


def _is_amount(field: str) -> bool:
    return field.rpartition(".")[2] in _AMOUNTS


def _operation_facts(operation: Any) -> dict[str, Any]:
    name = operation.WhichOneof("operation")
    if name is None:
        return {}
    inner = getattr(operation, name)
    verb = inner.WhichOneof("operation")
    resource = name.removesuffix("_operation")
    facts: dict[str, Any] = {"operation": f"{resource}.{verb}"}
    if verb == "remove":
        facts["resource_name"] = inner.remove
    elif verb == "update":
        facts["resource_name"] = inner.update.resource_name
        facts["fields"] = [f"{resource}.{path}" for path in inner.update_mask.paths]
        facts.update(_set_facts(inner.update, inner.update_mask.paths))
    elif verb == "create" and resource == "campaign_criterion":
        facts["campaign_id"] = inner.create.campaign.rpartition("/")[2]
        facts["user_list_id"] = inner.create.user_list.user_list.rpartition("/")[2]
    return {**facts, **_id_fact(facts.get("resource_name", ""))}


def _id_fact(resource_name: str) -> Mapping[str, str]:
    parts = resource_name.split("/")
    if len(parts) == 4 and parts[2] in _IDS:
        return {_IDS[parts[2]]: parts[3]}
    return {}


def _set_facts(update: Any, paths: Iterable[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for path in paths:
        try:
            value = value_at(update, path)
        except AttributeError:
            continue  # The mask names a field that the message does not have; it is in `fields`.
        if path == "url_custom_parameters":
            facts["custom_parameters"] = dict(value)
        elif path in ("status", "contains_eu_political_advertising"):
            facts[path] = value
        elif _is_amount(path) and isinstance(value, int | float):
            facts[_AMOUNTS[path.rpartition(".")[2]]] = value
    return facts
