"""The part of Google's query language that the sandbox understands."""

from __future__ import annotations

import pytest

from smartconnectors_server.connector.sandbox import Billed
from smartconnectors_server.platforms.google_ads.sandbox.accounts import Account, open_account
from smartconnectors_server.platforms.google_ads.sandbox.failures import Refused
from smartconnectors_server.platforms.google_ads.sandbox.gaql import parse, run


@pytest.fixture
def account() -> Account:
    return open_account("1000000001")


def ids(account: Account, where: str) -> list[int]:
    rows = run(parse(f"SELECT campaign.id FROM campaign WHERE {where}"), account, Billed())
    return [row["campaign"]["id"] for row in rows]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("campaign.id = 1001", [1001]),
        ("campaign.id IN (1001, 1003)", [1001, 1003]),
        ("campaign.id IN (1001,1003) AND campaign.id != 1003", [1001]),
        ("campaign.id NOT IN (1001, 1002) LIMIT 1", [1003]),
        ("campaign.bidding_strategy_type = 'TARGET_CPA'", [1012]),
        ("campaign.bidding_strategy_type = TARGET_CPA", [1012]),
        ("campaign_budget.explicitly_shared = true AND campaign.id = 1001", []),
        ('campaign.name = "Campaign 1001"', [1001]),
        ("campaign.id = 7", []),
        ("campaign.id IN (1003, 1001) ORDER BY campaign.id LIMIT 1", [1001]),
        ("campaign.id IN (1009, 1011) ORDER BY campaign.bidding_strategy", [1011, 1009]),
    ],
)
def test_conditions_choose_rows(account: Account, where: str, found: list[int]) -> None:
    assert ids(account, where) == found


def test_only_what_was_asked_for_is_answered(account: Account) -> None:
    query = parse("select campaign.id, customer.currency_code from campaign where campaign.id=1001")
    assert list(run(query, account, Billed())) == [
        {"campaign": {"id": 1001}, "customer": {"currency_code": "USD"}}
    ]


def test_a_resource_brings_what_it_points_to(account: Account) -> None:
    query = parse("SELECT campaign.id, ad_group.id FROM ad_group WHERE ad_group.id = 10011")
    assert list(run(query, account, Billed())) == [
        {"campaign": {"id": 1001}, "ad_group": {"id": 10011}}
    ]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "UNEXPECTED_INPUT"),
        ("DELETE FROM campaign", "UNEXPECTED_INPUT"),
        ("SELECT campaign.id FROM nowhere", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"),
        ("SELECT campaign.color FROM campaign", "UNRECOGNIZED_FIELD"),
        ("SELECT ad_group.id FROM campaign", "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE"),
        ("SELECT campaign.id FROM campaign WHERE campaign.color = 1", "UNRECOGNIZED_FIELD"),
        ("SELECT campaign.id FROM campaign ORDER BY campaign.color", "UNRECOGNIZED_FIELD"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id LIKE 1", "BAD_OPERATOR"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id IN 1", "EXPECTED_LIST"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id = 1 OR 1", "BAD_VALUE"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(query: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(query)
    assert caught.value.codes == [f"query_error.{code}"]
