"""GoogleAdsService.Mutate: all of its operations, or none; or, when asked, each for itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from smartconnectors_server.platforms.google_ads.sandbox.accounts import Account, Entity
from smartconnectors_server.platforms.google_ads.sandbox.failures import (
    Path,
    Problem,
    Refused,
    refuse,
)
from smartconnectors_server.platforms.google_ads.sandbox.rules import (
    OVERRIDES,
    STRATEGY_OF_FIELD,
    UPDATABLE,
)

_MAX_OPERATIONS = 10_000

# What the wire calls an operation, its resource, and its result.
_KINDS = {
    "campaign_operation": "campaign",
    "bidding_strategy_operation": "bidding_strategy",
    "ad_group_operation": "ad_group",
    "ad_group_criterion_operation": "ad_group_criterion",
    "campaign_budget_operation": "campaign_budget",
    "campaign_criterion_operation": "campaign_criterion",
}


@dataclass(slots=True)
class Staged:
    """What a mutate would do. Nothing of it is in the account until `commit`."""

    account: Account
    entities: dict[str, Entity | None] = field(default_factory=dict)
    """Resource name -> the entity afterwards; None: removed."""
    results: list[tuple[str, str] | None] = field(default_factory=list)
    """(kind, resource name) for each operation, in order; None: refused."""
    problems: list[Problem] = field(default_factory=list)
    """Why operations were refused, each with its index in `path`."""

    def get(self, resource_name: str, kind: str) -> Entity:
        """The entity as the operations so far leave it. Raises Refused when there is none."""
        if resource_name in self.entities:
            entity = self.entities[resource_name]
        else:
            entity = self.account.entities.get(resource_name)
        if entity is None or entity.kind != kind:
            message = f"Resource '{resource_name}' was not found."
            raise refuse("mutate_error.RESOURCE_NOT_FOUND", message, trigger=resource_name)
        return entity

    def commit(self) -> None:
        """Makes it so."""
        for resource_name, entity in self.entities.items():
            if entity is None:
                del self.account.entities[resource_name]
            else:
                self.account.entities[resource_name] = entity


def stage(account: Account, request: Any) -> Staged:
    """Checks every operation. Raises Refused with every problem that was found, unless the request
    may fail in parts: then the problems are in what is returned.
    """
    if not request.mutate_operations:
        raise refuse("request_error.REQUIRED_FIELD_MISSING", "mutate_operations is empty.")
    if len(request.mutate_operations) > _MAX_OPERATIONS:
        raise refuse("request_error.TOO_MANY_MUTATE_OPERATIONS", "Too many operations.")
    _check_declarations(account, request)
    staged = Staged(account)
    for index, operation in enumerate(request.mutate_operations):
        where: Path = (("mutate_operations", index),)
        try:
            _stage_one(staged, operation, where)
        except Refused as refused:
            staged.results.append(None)
            staged.problems += [
                Problem(problem.code, problem.message, problem.path or where, problem.trigger)
                for problem in refused.problems
            ]
    if staged.problems and not request.partial_failure:
        raise Refused(*staged.problems)
    return staged


_DECLARATION = "contains_eu_political_advertising"


def _check_declarations(account: Account, request: Any) -> None:
    """Raises Refused when a campaign of the account lacks the declaration, unless that alone is
    being changed.
    """
    declares = all(
        operation.WhichOneof("operation") == "campaign_operation"
        and list(operation.campaign_operation.update_mask.paths) == [_DECLARATION]
        for operation in request.mutate_operations
    )
    undeclared = any(
        campaign.values.get("missing_eu_political_advertising_declaration")
        and campaign.values["status"] != "REMOVED"
        for campaign in account.of_kind("campaign")
    )
    if undeclared and not declares:
        code = "mutate_error.EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED"
        raise refuse(code, "The customer has campaigns without the EU political ads declaration.")


def _stage_one(staged: Staged, operation: Any, where: Path) -> None:
    name = operation.WhichOneof("operation")
    if name is None:
        raise refuse("request_error.OPERATION_REQUIRED", "An operation is required.")
    if name not in _KINDS:
        raise refuse("mutate_error.MUTATE_NOT_ALLOWED", f"This sandbox has no {name}.")
    kind, inner = _KINDS[name], getattr(operation, name)
    verb = inner.WhichOneof("operation")
    if verb == "update" and kind in UPDATABLE:
        _update(staged, kind, inner, (*where, (name, None), ("update", None)))
    elif verb == "create" and kind == "campaign_criterion":
        _add_user_list(staged, inner.create)
    elif verb == "remove" and kind == "campaign_criterion":
        staged.get(inner.remove, kind)
        staged.entities[inner.remove] = None
        staged.results.append((kind, inner.remove))
    else:
        raise refuse("mutate_error.MUTATE_NOT_ALLOWED", f"This sandbox does not {verb} a {kind}.")


def _update(staged: Staged, kind: str, operation: Any, where: Path) -> None:
    resource_name = operation.update.resource_name
    if not resource_name:
        raise refuse("request_error.RESOURCE_NAME_MISSING", "The resource name is missing.")
    entity = _changeable(staged, resource_name, kind)
    if not operation.update_mask.paths:
        raise refuse("field_mask_error.FIELD_MASK_MISSING", "The update mask is missing.")
    problems = []
    for path in operation.update_mask.paths:
        try:
            entity = _set_field(staged.account, entity, path, operation.update)
        except Refused as refused:
            at = (*where, *((part, None) for part in path.split(".")))
            problems += [
                Problem(problem.code, problem.message, at, problem.trigger)
                for problem in refused.problems
            ]
    if problems:
        raise Refused(*problems)
    floor = entity.values.get("target_roas.cpc_bid_floor_micros", 0)
    if floor > entity.values.get("target_roas.cpc_bid_ceiling_micros", floor):
        code = "bidding_error.CPC_BID_FLOOR_MICROS_GREATER_THAN_CPC_BID_CEILING_MICROS"
        raise refuse(code, "The CPC bid floor is above the ceiling.")
    staged.entities[resource_name] = entity
    staged.results.append((kind, resource_name))


def _changeable(staged: Staged, resource_name: str, kind: str) -> Entity:
    """The entity. Raises Refused when there is none, or it was removed."""
    entity = staged.get(resource_name, kind)
    if entity.values.get("status") == "REMOVED":
        code = "context_error.OPERATION_NOT_PERMITTED_FOR_REMOVED_RESOURCE"
        message = "The operation is not allowed for removed resources."
        raise refuse(code, message, trigger=resource_name)
    return entity


def _set_field(account: Account, entity: Entity, path: str, update: Any) -> Entity:
    """The entity with one field of the mask taken from the update."""
    rules = UPDATABLE[entity.kind]
    if path not in rules:
        has_subfields = any(known.startswith(f"{path}.") for known in rules)
        code = "FIELD_HAS_SUBFIELDS" if has_subfields else "FIELD_NOT_FOUND"
        message = f"The field mask contains an invalid field: '{path}'."
        raise refuse(f"field_mask_error.{code}", message, trigger=path)
    value = value_at(update, path)
    rules[path](account, entity, value)
    if f"{entity.kind}.{path}" in account.ignored:
        return entity
    if not value and path in OVERRIDES.get(entity.kind, ()):
        return entity.changed({}, without=(path,))
    if path == _DECLARATION:
        declared = {"missing_eu_political_advertising_declaration": False}
        return entity.changed({path: value, **declared})
    if entity.kind == "campaign" and path in STRATEGY_OF_FIELD:
        others = tuple(other for other in STRATEGY_OF_FIELD if other != path)
        strategy = {"bidding_strategy_type": STRATEGY_OF_FIELD[path]}
        return entity.changed({path: value, **strategy}, without=(*others, "bidding_strategy"))
    return entity.changed({path: value})


def value_at(message: Any, path: str) -> Any:
    """The value of a field path in a protobuf message; custom parameters as pairs, an enum by its
    name.
    """
    parent = message
    for part in path.split("."):
        parent, message = message, getattr(message, part if hasattr(message, part) else f"{part}_")
    if path == "url_custom_parameters":
        return [(parameter.key, parameter.value) for parameter in message]
    if path in ("status", _DECLARATION):
        known = parent.DESCRIPTOR.fields_by_name[path].enum_type.values_by_number.get(message)
        return known.name if known else str(message)
    return message


def _add_user_list(staged: Staged, criterion: Any) -> None:
    campaign = staged.get(criterion.campaign, "campaign")
    user_list = staged.account.entities.get(criterion.user_list.user_list)
    if user_list is None or user_list.kind != "user_list":
        message = f"Resource '{criterion.user_list.user_list}' was not found."
        raise refuse("mutate_error.RESOURCE_NOT_FOUND", message)
    criterion_id = user_list.values["id"]
    campaign_id = campaign.values["id"]
    name = staged.account.name("campaignCriteria", f"{campaign_id}~{criterion_id}")
    if staged.entities.get(name, staged.account.entities.get(name)) is not None:
        raise refuse("mutate_error.RESOURCE_ALREADY_EXISTS", "The criterion exists already.")
    values = {
        "resource_name": name,
        "criterion_id": criterion_id,
        "campaign": campaign.resource_name,
        "type": "USER_LIST",
        "status": "ENABLED",
        "negative": False,
        "user_list.user_list": user_list.resource_name,
    }
    staged.entities[name] = Entity("campaign_criterion", name, values)
    staged.results.append(("campaign_criterion", name))
