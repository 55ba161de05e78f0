"""What the chain takes for a request about everything: closed to callers who are restricted."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.access import Caller, Role, Scope
from smartconnectors_server.call import Call
from smartconnectors_server.errors import PermissionDenied
from smartconnectors_server.interceptors.auth import ANSWERS_WHAT_MAY_BE_SEEN, Auth

if TYPE_CHECKING:
    from tests.server.interceptors.conftest import House

GOOGLE = "/smartconnectors.google_ads.v1.GoogleAdsService/"
BUDGETS = "/smartconnectors.budgets.v1.BudgetService/"
ONE_CAMPAIGN = Scope.of(None, ["1001"])
ONE_PLATFORM = Scope.of(["google_ads"], None)


def missing(house: House, path: str, name: str, request: Any, scope: Scope) -> str:
    """What a restricted caller lacks for a method called `name` in the service of `path`; empty:
    nothing.
    """
    auth = next(each for each in house.core.chain if isinstance(each, Auth))
    known = house.core.methods.get(path)
    assert known is not None
    spec = dataclasses.replace(known, name=name)
    call = Call(spec, 0, caller=Caller("somebody", Role.OPERATE, scope))
    try:
        auth.check(request, call)
    except PermissionDenied as denied:
        return denied.metadata["needs"]
    return ""


@pytest.mark.parametrize(
    ("name", "scope", "needs"),
    [
        ("GetBid", ONE_CAMPAIGN, ""),
        ("Unheard", ONE_CAMPAIGN, "all campaigns of google_ads"),
        ("Unheard", ONE_PLATFORM, ""),
        ("Unheard", Scope(), ""),
    ],
)
async def test_a_new_method_of_a_platform_is_closed_to_who_is_restricted_to_campaigns(
    house: House, name: str, scope: Scope, needs: str
) -> None:
    assert missing(house, f"{GOOGLE}GetBid", name, ads_pb2.GetBidRequest(), scope) == needs


@pytest.mark.parametrize(
    ("name", "scope", "needs"),
    [
        ("ListHolds", ONE_PLATFORM, ""),
        ("Unheard", ONE_PLATFORM, "everything"),
        ("Unheard", ONE_CAMPAIGN, "everything"),
        ("Unheard", Scope(), ""),
    ],
)
async def test_a_new_method_of_no_platform_is_closed_to_who_is_restricted(
    house: House, name: str, scope: Scope, needs: str
) -> None:
    assert missing(house, f"{BUDGETS}ListHolds", name, budgets_pb2.ListHoldsRequest(), scope) == (
        needs
    )


class Names:
    """A request that names platforms and campaigns, as later ones will."""

    def __init__(self, platform: str = "", *campaign_ids: str) -> None:
        self.platform = platform
        self.campaign_ids = campaign_ids


@pytest.mark.parametrize(
    ("request_", "scope", "needs"),
    [
        (Names("google_ads", "1001"), ONE_CAMPAIGN, ""),
        (Names("google_ads", "1001", "1002"), ONE_CAMPAIGN, "google_ads/campaigns/1002"),
        (Names("google_ads"), ONE_CAMPAIGN, "google_ads"),
        (Names("google_ads"), ONE_PLATFORM, ""),
        (Names("meta", "1001"), ONE_PLATFORM, "meta/campaigns/1001"),
        (Names("", "1001"), ONE_CAMPAIGN, "everything"),
    ],
)
async def test_platforms_and_campaigns_that_a_change_names_are_judged(
    house: House, request_: Names, scope: Scope, needs: str
) -> None:
    assert missing(house, f"{BUDGETS}PauseBudget", "Unheard", request_, scope) == needs


async def test_every_method_that_leaves_out_by_itself_what_may_not_be_seen_is_there(
    house: House,
) -> None:
    assert {spec.name for spec in house.core.methods} >= ANSWERS_WHAT_MAY_BE_SEEN
