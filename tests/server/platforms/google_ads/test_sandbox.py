"""The sandbox refuses what Google is documented to refuse, and applies a mutate whole or not."""

from __future__ import annotations

from typing import Any

import pytest

from smartconnectors_server.errors import ConnectorError, PlatformRejected, UnknownTarget
from smartconnectors_server.platforms.google_ads.sandbox import (
    FORBIDDEN_CUSTOMER,
    GoogleAdsSandbox,
)
from smartconnectors_server.platforms.google_ads.transport import Transport

CUSTOMER = "customers/1000000001"


def campaign(update: dict[str, Any], mask: str, campaign_id: str = "1001") -> dict[str, Any]:
    named = {"resourceName": f"{CUSTOMER}/campaigns/{campaign_id}", **update}
    return {"campaignOperation": {"update": named, "updateMask": mask}}


def portfolio(update: dict[str, Any], mask: str) -> dict[str, Any]:
    named = {"resourceName": f"{CUSTOMER}/biddingStrategies/1901", "targetRoas": update}
    return {"biddingStrategyOperation": {"update": named, "updateMask": mask}}


def value(roas: float) -> dict[str, Any]:
    return campaign(
        {"maximizeConversionValue": {"targetRoas": roas}}, "maximizeConversionValue.targetRoas"
    )


def parameters(*pairs: tuple[str, str]) -> dict[str, Any]:
    listed = [{"key": key, "value": text} for key, text in pairs]
    return campaign({"urlCustomParameters": listed}, "urlCustomParameters")


def cpa(micros: int) -> dict[str, Any]:
    update = {"maximizeConversions": {"targetCpaMicros": str(micros)}}
    return campaign(update, "maximizeConversions.targetCpaMicros", "1011")


def budget(micros: int) -> dict[str, Any]:
    update = {"resourceName": f"{CUSTOMER}/campaignBudgets/6001", "amountMicros": str(micros)}
    return {"campaignBudgetOperation": {"update": update, "updateMask": "amountMicros"}}


async def mutate(transport: Transport, *operations: dict[str, Any], **more: Any) -> str:
    document = {"customerId": "1000000001", "mutateOperations": list(operations), **more}
    return await transport.mutate(document, validate_only=False, dispatched=lambda: None)


async def roas_of(transport: Transport, campaign_id: str) -> float:
    rows = await transport.search(
        "SELECT campaign.maximize_conversion_value.target_roas FROM campaign "
        f"WHERE campaign.id = {campaign_id}"
    )
    return float(rows[0]["campaign"]["maximizeConversionValue"]["targetRoas"])


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "no operations": ([], "request_error.REQUIRED_FIELD_MISSING"),
    "an empty operation": ([{}], "request_error.OPERATION_REQUIRED"),
    "no mask": ([campaign({}, "")], "field_mask_error.FIELD_MASK_MISSING"),
    "a message in the mask": (
        [campaign({}, "maximizeConversionValue")],
        "field_mask_error.FIELD_HAS_SUBFIELDS",
    ),
    "an unknown field": ([campaign({}, "color")], "field_mask_error.FIELD_NOT_FOUND"),
    "an immutable field": (
        [campaign({}, "advertisingChannelType")],
        "request_error.IMMUTABLE_FIELD",
    ),
    "a status that only Google sets": (
        [campaign({"status": "REMOVED"}, "status")],
        "request_error.INVALID_ENUM_VALUE",
    ),
    "a ROAS below 0.01": ([value(0.009)], "range_error.TOO_LOW"),
    "a ROAS above 1000": ([value(1000.01)], "range_error.TOO_HIGH"),
    "a standard target ROAS on Search": (
        [campaign({"targetRoas": {"targetRoas": 2.0}}, "targetRoas.targetRoas")],
        "bidding_error.INVALID_ANONYMOUS_BIDDING_STRATEGY_TYPE",
    ),
    "a ceiling on a campaign": (
        [campaign({}, "maximizeConversionValue.cpcBidCeilingMicros")],
        "context_error.OPERATION_NOT_PERMITTED_FOR_CONTEXT",
    ),
    "a floor above the ceiling": (
        [
            portfolio(
                {"cpcBidFloorMicros": "3000000", "cpcBidCeilingMicros": "2000000"},
                "targetRoas.cpcBidFloorMicros,targetRoas.cpcBidCeilingMicros",
            )
        ],
        "bidding_error.CPC_BID_FLOOR_MICROS_GREATER_THAN_CPC_BID_CEILING_MICROS",
    ),
    "a CPA of nothing": ([cpa(0)], "bidding_error.BID_TOO_SMALL"),
    "a CPA of a fraction of a cent": (
        [cpa(1_234_567)],
        "currency_error.VALUE_NOT_MULTIPLE_OF_BILLABLE_UNIT",
    ),
    "a CPA beyond reason": ([cpa(10**14)], "bidding_error.BID_TOO_BIG"),
    "a budget of nothing": ([budget(0)], "campaign_budget_error.BUDGET_BELOW_PER_DAY_MINIMUM"),
    "a budget of a fraction of a cent": (
        [budget(1)],
        "campaign_budget_error.NON_MULTIPLE_OF_MINIMUM_CURRENCY_UNIT",
    ),
    "nine custom parameters": (
        [parameters(*((f"k{i}", "v") for i in range(9)))],
        "url_field_error.URL_CUSTOM_PARAMETERS_COUNT_EXCEEDS_LIMIT",
    ),
    "a key with an underscore": (
        [parameters(("a_b", "v"))],
        "url_field_error.INVALID_CHARACTERS_IN_URL_CUSTOM_PARAMETER_KEY",
    ),
    "a key of 17 letters": (
        [parameters(("k" * 17, "v"))],
        "url_field_error.INVALID_CHARACTERS_IN_URL_CUSTOM_PARAMETER_KEY",
    ),
    "a value with a blank": (
        [parameters(("k", "a b"))],
        "url_field_error.INVALID_CHARACTERS_IN_URL_CUSTOM_PARAMETER_VALUE",
    ),
    "a value of 201 characters": (
        [parameters(("k", "v" * 201))],
        "url_field_error.INVALID_CHARACTERS_IN_URL_CUSTOM_PARAMETER_VALUE",
    ),
    "a value with braces": (
        [parameters(("k", "{x}"))],
        "url_field_error.INVALID_TAG_IN_URL_CUSTOM_PARAMETER_VALUE",
    ),
    "a foreign resource": (
        [
            {
                "campaignOperation": {
                    "update": {"resourceName": "customers/1000000002/campaigns/2001"},
                    "updateMask": "name",
                }
            }
        ],
        "mutate_error.RESOURCE_NOT_FOUND",
    ),
    "no resource name": (
        [{"campaignOperation": {"update": {}, "updateMask": "name"}}],
        "request_error.RESOURCE_NAME_MISSING",
    ),
    "an operation that it does not have": (
        [{"adOperation": {"update": {"resourceName": f"{CUSTOMER}/ads/1"}, "updateMask": "name"}}],
        "mutate_error.MUTATE_NOT_ALLOWED",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_it_refuses(transport: Transport, sandbox: GoogleAdsSandbox, case: str) -> None:
    operations, code = REFUSED[case]
    with pytest.raises(ConnectorError) as caught:
        await mutate(transport, *operations)
    assert caught.value.metadata["platform_errors"] == code
    assert caught.value.metadata["platform_request_id"].startswith("sandbox-")
    expected = UnknownTarget if code.endswith("RESOURCE_NOT_FOUND") else PlatformRejected
    assert type(caught.value) is expected
    entry = sandbox.journal()[-1]
    assert (entry.changes, entry.applied, entry.facts["errors"]) == (True, False, [code])


async def test_one_bad_operation_applies_none(transport: Transport) -> None:
    with pytest.raises(PlatformRejected) as caught:
        await mutate(transport, value(3.0), cpa(1), value(2000.0))
    assert caught.value.metadata["platform_errors"] == (
        "currency_error.VALUE_NOT_MULTIPLE_OF_BILLABLE_UNIT,range_error.TOO_HIGH"
    )
    assert await roas_of(transport, "1001") == 4.0


async def test_a_refusal_says_where_in_the_request(transport: Transport) -> None:
    with pytest.raises(PlatformRejected, match=r"mutate_operations\[1\]\.campaign_operation\.upda"):
        await mutate(transport, value(3.0), value(2000.0))


async def test_operations_are_applied_together(transport: Transport) -> None:
    await mutate(transport, value(3.0), budget(120_000_000))
    rows = await transport.search(
        "SELECT campaign.maximize_conversion_value.target_roas, campaign_budget.amount_micros "
        "FROM campaign WHERE campaign.id = 1001"
    )
    assert rows[0]["campaign"]["maximizeConversionValue"]["targetRoas"] == 3.0
    assert rows[0]["campaignBudget"]["amountMicros"] == "120000000"


async def test_a_portfolio_moves_every_campaign_that_shares_it(transport: Transport) -> None:
    await mutate(transport, portfolio({"targetRoas": 6.5}, "targetRoas.targetRoas"))
    rows = await transport.search(
        "SELECT campaign.id, bidding_strategy.target_roas.target_roas, "
        "bidding_strategy.campaign_count FROM campaign WHERE campaign.id IN (1009, 1010)"
    )
    assert [row["biddingStrategy"]["targetRoas"]["targetRoas"] for row in rows] == [6.5, 6.5]
    assert {row["biddingStrategy"]["campaignCount"] for row in rows} == {"2"}


async def test_setting_another_strategy_s_field_switches_the_strategy(transport: Transport) -> None:
    update = {"maximizeConversions": {"targetCpaMicros": "5000000"}}
    await mutate(transport, campaign(update, "maximizeConversions.targetCpaMicros"))
    rows = await transport.search(
        "SELECT campaign.bidding_strategy_type, campaign.maximize_conversion_value.target_roas "
        "FROM campaign WHERE campaign.id = 1001"
    )
    assert rows[0]["campaign"] == {"biddingStrategyType": "MAXIMIZE_CONVERSIONS"}


async def mutate_each(transport: Transport, *operations: dict[str, Any]) -> list[str]:
    document = {"customerId": "1000000001", "mutateOperations": list(operations)}
    mutated = await transport.mutate_each(document, dispatched=lambda: None)
    assert mutated.request_id.startswith("sandbox-")
    return [error.metadata["platform_errors"] if error else "" for error in mutated.outcomes]


async def test_operations_that_may_fail_one_by_one_are_applied_one_by_one(
    transport: Transport, sandbox: GoogleAdsSandbox
) -> None:
    errors = await mutate_each(transport, value(2000.0), value(3.0), cpa(0), budget(120_000_000))
    assert errors == ["range_error.TOO_HIGH", "", "bidding_error.BID_TOO_SMALL", ""]
    assert await roas_of(transport, "1001") == 3.0
    entry = next(entry for entry in sandbox.journal() if entry.changes)
    assert (entry.applied, entry.facts["partial_failure"]) == (True, True)
    told = [
        (operation["applied"], operation.get("errors", []))
        for operation in entry.facts["operations"]
    ]
    assert told == [(not error, [error] if error else []) for error in errors]
    assert entry.facts["operations"][1]["campaign_id"] == "1001"
    assert "target_roas" not in entry.facts


async def test_when_every_operation_fails_nothing_was_applied(
    transport: Transport, sandbox: GoogleAdsSandbox
) -> None:
    assert all(await mutate_each(transport, value(2000.0), cpa(0)))
    assert not sandbox.journal()[-1].applied


async def test_an_error_outside_of_the_operations_refuses_the_whole_request(
    transport: Transport,
) -> None:
    with pytest.raises(PlatformRejected, match="REQUIRED_FIELD_MISSING"):
        await mutate_each(transport)


async def test_a_removed_campaign_cannot_be_changed(
    transport: Transport, sandbox: GoogleAdsSandbox
) -> None:
    await roas_of(transport, "1001")
    sandbox.remove_campaign("1001")
    with pytest.raises(PlatformRejected, match="OPERATION_NOT_PERMITTED_FOR_REMOVED_RESOURCE"):
        await mutate(transport, value(3.0))


def test_only_a_campaign_that_is_there_can_be_removed(sandbox: GoogleAdsSandbox) -> None:
    with pytest.raises(KeyError):
        sandbox.remove_campaign("1001")


async def test_validate_only_checks_and_applies_nothing(
    transport: Transport, sandbox: GoogleAdsSandbox
) -> None:
    document = {"customerId": "1000000001", "mutateOperations": [value(3.0)]}
    await transport.mutate(document, validate_only=True, dispatched=lambda: None)
    assert (sandbox.journal()[-1].applied, sandbox.journal()[-1].facts["validate_only"]) == (
        False,
        True,
    )
    assert await roas_of(transport, "1001") == 4.0
    document = {"customerId": "1000000001", "mutateOperations": [value(0.001)]}
    with pytest.raises(PlatformRejected):
        await transport.mutate(document, validate_only=True, dispatched=lambda: None)


@pytest.mark.parametrize(
    ("customer_id", "code", "status"),
    [
        ("12", "request_error.INVALID_CUSTOMER_ID", "INVALID_ARGUMENT"),
        (FORBIDDEN_CUSTOMER, "authorization_error.USER_PERMISSION_DENIED", "PERMISSION_DENIED"),
    ],
)
async def test_not_every_account_may_be_changed(
    transport: Transport, customer_id: str, code: str, status: str
) -> None:
    document = {"customerId": customer_id, "mutateOperations": [value(3.0)]}
    with pytest.raises(PlatformRejected) as caught:
        await transport.mutate(document, validate_only=False, dispatched=lambda: None)
    assert caught.value.metadata["platform_errors"] == code
    assert caught.value.metadata["platform_status"] == status


async def test_the_journal_says_which_headers_came_and_never_what_they_said(
    transport: Transport, sandbox: GoogleAdsSandbox
) -> None:
    await mutate(transport, value(3.0))
    entry = sandbox.journal()[-1]
    assert entry.facts["headers"] == ["authorization", "x-goog-request-params"]
    assert "sandbox-token" not in repr(sandbox.journal())


async def test_the_journal_lays_the_facts_of_a_bid_flat(
    transport: Transport, sandbox: GoogleAdsSandbox
) -> None:
    roas = {"targetRoas": 2.5, "cpcBidCeilingMicros": "2000000"}
    mask = "targetRoas.targetRoas,targetRoas.cpcBidCeilingMicros"
    await mutate(transport, parameters(("k", "v")), portfolio(roas, mask))
    facts = sandbox.journal()[-1].facts
    assert {
        "customer_id": "1000000001",
        "campaign_id": "1001",
        "bidding_strategy_id": "1901",
        "field": "bidding_strategy.target_roas.target_roas",
        "target_roas": 2.5,
        "cpc_bid_ceiling_micros": 2_000_000,
        "custom_parameters": {"k": "v"},
    }.items() <= facts.items()
    assert len(facts["operations"]) == 2
