"""The documented rules for the fields that can be set here: ranges, limits, who may have what."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from smartconnectors_server.platforms.google_ads.sandbox.accounts import Account, Entity
from smartconnectors_server.platforms.google_ads.sandbox.failures import refuse

MAX_CUSTOM_PARAMETERS = 8

Rule = Callable[[Account, Entity, Any], None]
"""Raises Refused when the account's entity may not have the value."""

# Setting a member of one strategy makes it the campaign's strategy and unsets the others.
STRATEGY_OF_FIELD = {
    "maximize_conversion_value.target_roas": "MAXIMIZE_CONVERSION_VALUE",
    "target_roas.target_roas": "TARGET_ROAS",
    "maximize_conversions.target_cpa_micros": "MAXIMIZE_CONVERSIONS",
    "target_cpa.target_cpa_micros": "TARGET_CPA",
}

_KEY = re.compile(r"[A-Za-z0-9]{1,16}")
# Printable ASCII but blanks and the braces that enclose Google's own tags.
_VALUE = re.compile(r"[!-z|~]{0,200}")


def _roas(_account: Account, _entity: Entity, value: float) -> None:
    if value < 0.01:
        raise refuse("range_error.TOO_LOW", "The target ROAS is below 0.01.", trigger=str(value))
    if value > 1000:
        raise refuse("range_error.TOO_HIGH", "The target ROAS is above 1000.", trigger=str(value))


def _amount(account: Account, _entity: Entity, value: int) -> None:
    if value <= 0:
        raise refuse("bidding_error.BID_TOO_SMALL", "The bid is too small.", trigger=str(value))
    if value > 10**13:
        raise refuse("bidding_error.BID_TOO_BIG", "The bid is too big.", trigger=str(value))
    if value % account.billable_unit_micros:
        code = "currency_error.VALUE_NOT_MULTIPLE_OF_BILLABLE_UNIT"
        raise refuse(code, "The value must be a multiple of the billable unit.", trigger=str(value))


def _daily_budget(account: Account, _entity: Entity, value: int) -> None:
    if value <= 0:
        code = "campaign_budget_error.BUDGET_BELOW_PER_DAY_MINIMUM"
        raise refuse(code, "The budget is below the daily minimum.", trigger=str(value))
    if value > 10**15:
        code = "campaign_budget_error.MONEY_AMOUNT_TOO_LARGE"
        raise refuse(code, "The budget is too large.", trigger=str(value))
    if value % account.billable_unit_micros:
        code = "campaign_budget_error.NON_MULTIPLE_OF_MINIMUM_CURRENCY_UNIT"
        message = "The budget must be a multiple of the smallest unit of the currency."
        raise refuse(code, message, trigger=str(value))


def _custom_parameters(_account: Account, _entity: Entity, value: list[tuple[str, str]]) -> None:
    if len(value) > MAX_CUSTOM_PARAMETERS:
        code = "url_field_error.URL_CUSTOM_PARAMETERS_COUNT_EXCEEDS_LIMIT"
        raise refuse(code, f"At most {MAX_CUSTOM_PARAMETERS} custom parameters are allowed.")
    for key, text in value:
        if not _KEY.fullmatch(key):
            code = "url_field_error.INVALID_CHARACTERS_IN_URL_CUSTOM_PARAMETER_KEY"
            raise refuse(code, "An invalid character appears in the parameter key.", trigger=key)
        if "{" in text or "}" in text:
            code = "url_field_error.INVALID_TAG_IN_URL_CUSTOM_PARAMETER_VALUE"
            raise refuse(code, "The custom parameter value fails tag validation.", trigger=text)
        if not _VALUE.fullmatch(text):
            code = "url_field_error.INVALID_CHARACTERS_IN_URL_CUSTOM_PARAMETER_VALUE"
            raise refuse(code, "An invalid character appears in the parameter value.", trigger=text)
    if len({key.lower() for key, _ in value}) != len(value):
        raise refuse("mutate_error.ID_EXISTS_IN_MULTIPLE_MUTATES", "A parameter key appears twice.")


def _standard_strategy(rule: Rule) -> Rule:
    """`rule`, where the campaign may have this standard strategy at all."""

    def check(account: Account, entity: Entity, value: Any) -> None:
        if entity.values["advertising_channel_type"] == "SEARCH":
            code = "bidding_error.INVALID_ANONYMOUS_BIDDING_STRATEGY_TYPE"
            raise refuse(code, "Not available as a standard strategy on Search campaigns.")
        rule(account, entity, value)

    return check


def _portfolio_only(_account: Account, _entity: Entity, _value: Any) -> None:
    code = "context_error.OPERATION_NOT_PERMITTED_FOR_CONTEXT"
    raise refuse(code, "A CPC bid ceiling or floor can be set on portfolio strategies only.")


def _status(_account: Account, _entity: Entity, value: str) -> None:
    if value not in ("ENABLED", "PAUSED"):
        code = "request_error.INVALID_ENUM_VALUE"
        raise refuse(code, "The status can be set to ENABLED or PAUSED.", trigger=value)


def _immutable(_account: Account, _entity: Entity, _value: Any) -> None:
    raise refuse("request_error.IMMUTABLE_FIELD", "The field cannot be modified.")


def _anything(_account: Account, _entity: Entity, _value: Any) -> None:
    return None


_DECLARATIONS = (
    "CONTAINS_EU_POLITICAL_ADVERTISING",
    "DOES_NOT_CONTAIN_EU_POLITICAL_ADVERTISING",
)


def _declaration(_account: Account, _entity: Entity, value: str) -> None:
    if value not in _DECLARATIONS:
        code = "request_error.INVALID_ENUM_VALUE"
        raise refuse(code, "The declaration is none.", trigger=value)


def _own(rule: Rule) -> Rule:
    """`rule`; or no value, which takes away what overrides the level above."""

    def check(account: Account, entity: Entity, value: Any) -> None:
        if value:
            rule(account, entity, value)

    return check


def _ad_group_roas(account: Account, entity: Entity, value: float) -> None:
    campaign = account.entities[entity.values["campaign"]]
    if "bidding_strategy" in campaign.values:
        code = "context_error.OPERATION_NOT_PERMITTED_FOR_CONTEXT"
        raise refuse(code, "A portfolio strategy's target cannot be overridden.")
    _roas(account, entity, value)


OVERRIDES = {
    "ad_group": ("target_roas", "target_cpa_micros"),
    "ad_group_criterion": ("cpc_bid_micros",),
}
"""Fields that no value takes away."""

UPDATABLE: Mapping[str, Mapping[str, Rule]] = {
    "campaign": {
        "name": _anything,
        "status": _status,
        "advertising_channel_type": _immutable,
        "maximize_conversion_value.target_roas": _roas,
        "maximize_conversion_value.cpc_bid_ceiling_micros": _portfolio_only,
        "maximize_conversion_value.cpc_bid_floor_micros": _portfolio_only,
        "target_roas.target_roas": _standard_strategy(_roas),
        "target_roas.cpc_bid_ceiling_micros": _portfolio_only,
        "target_roas.cpc_bid_floor_micros": _portfolio_only,
        "maximize_conversions.target_cpa_micros": _amount,
        "target_cpa.target_cpa_micros": _standard_strategy(_amount),
        "url_custom_parameters": _custom_parameters,
        "contains_eu_political_advertising": _declaration,
    },
    "bidding_strategy": {
        "name": _anything,
        "type": _immutable,
        "target_roas.target_roas": _roas,
        "target_roas.cpc_bid_ceiling_micros": _amount,
        "target_roas.cpc_bid_floor_micros": _amount,
    },
    "ad_group": {
        "name": _anything,
        "campaign": _immutable,
        "status": _status,
        "cpc_bid_micros": _amount,
        "target_roas": _own(_ad_group_roas),
        "target_cpa_micros": _own(_amount),
        "url_custom_parameters": _custom_parameters,
    },
    "ad_group_criterion": {"status": _status, "cpc_bid_micros": _own(_amount)},
    "campaign_budget": {"name": _anything, "amount_micros": _daily_budget},
}


def mutable_fields(entity: Entity) -> dict[str, Any]:
    """What an answer shows of an entity that was changed: what can be set, as it is now."""
    rules = UPDATABLE.get(entity.kind, {})
    shown = {path for path, rule in rules.items() if rule is not _immutable}
    named = {"resource_name": entity.resource_name}
    return {**named, **{path: v for path, v in entity.values.items() if path in shown}}
