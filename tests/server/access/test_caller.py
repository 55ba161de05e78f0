"""What a scope lets a caller at."""

from __future__ import annotations

import pytest

from smartconnectors.common.v1 import options_pb2
from smartconnectors_server.access import Credentials, Role, Scope

META = Scope.of(["meta"], None)
CAMPAIGN = Scope.of(None, ["1001"])
BOTH = Scope.of(["meta"], ["1001"])


def test_the_roles_are_those_of_the_contract_in_its_order() -> None:
    assert {role.name: int(role) for role in Role} == {
        "NONE": options_pb2.ROLE_UNSPECIFIED,
        "READ": options_pb2.ROLE_VIEWER,
        "BID": options_pb2.ROLE_BIDDER,
        "OPERATE": options_pb2.ROLE_OPERATOR,
    }


@pytest.mark.parametrize("name", ["", "none", "viewer", "OPERATE", "admin"])
def test_a_word_that_is_no_role_gives_none(name: str) -> None:
    assert Role.named(name) is Role.NONE


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (Scope(), {"total", "meta", "google_ads", "meta/campaigns/1", "meta/campaigns/1001"}),
        (META, {"meta", "meta/campaigns/1", "meta/campaigns/1001"}),
        (CAMPAIGN, {"meta", "google_ads", "meta/campaigns/1001"}),
        (BOTH, {"meta", "meta/campaigns/1001"}),
        (Scope.of([], None), set()),
    ],
)
def test_a_scope_sees_the_budgets_of_its_platforms_and_campaigns_alone(
    scope: Scope, seen: set[str]
) -> None:
    budgets = ["total", "meta", "google_ads", "meta/campaigns/1", "meta/campaigns/1001"]
    assert {budget for budget in budgets if scope.sees_budget(budget)} == seen


@pytest.mark.parametrize(
    ("scope", "changed"),
    [
        (Scope(), {"total", "meta", "meta/campaigns/1001", "google_ads/campaigns/1001"}),
        (META, {"meta", "meta/campaigns/1001"}),
        (CAMPAIGN, {"meta/campaigns/1001", "google_ads/campaigns/1001"}),
        (BOTH, {"meta/campaigns/1001"}),
    ],
)
def test_a_restriction_to_campaigns_changes_no_budget_that_others_share(
    scope: Scope, changed: set[str]
) -> None:
    budgets = ["total", "meta", "meta/campaigns/1001", "google_ads/campaigns/1001"]
    assert {budget for budget in budgets if scope.changes_budget(budget)} == changed


@pytest.mark.parametrize("budget", ["meta/", "meta/campaigns", "meta/other/1001", "/", ""])
def test_a_budget_of_an_unknown_form_is_not_seen_by_who_is_restricted(budget: str) -> None:
    assert not BOTH.sees_budget(budget)


def test_what_a_caller_shows_is_not_in_its_text() -> None:
    assert "secret" not in repr(Credentials("Bearer secret"))
