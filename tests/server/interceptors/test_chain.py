"""The order of the chain, and which methods each part of it is for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.google_ads.v1 import google_ads_service_pb2
from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.errors import RateLimited
from smartconnectors_server.interceptors import INTERCEPTORS
from smartconnectors_server.interceptors.targets import TargetLocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

USD = 1_000_000


def test_the_order_of_the_chain_is_the_one_that_the_architecture_gives_reasons_for() -> None:
    assert [interceptor.name for interceptor in INTERCEPTORS] == [
        "status",
        "telemetry",
        "auth",
        "shadow_report",
        "validation",
        "idempotency",
        "fallback",
        "plan",
        "budget",
        "circuit_breaker",
        "rate_limit",
    ]


async def test_every_method_has_exactly_the_parts_of_the_chain_that_are_for_it(
    house: House,
) -> None:
    parts = {
        spec.name: [i.name for i in INTERCEPTORS if i.applies_to(spec)]
        for spec in house.core.methods
    }
    all_of_it = [interceptor.name for interceptor in INTERCEPTORS]
    assert parts.pop("PlaceBid") == all_of_it
    assert parts.pop("UpdateCampaignBudget") == all_of_it
    reaches_the_platform = [
        "status",
        "telemetry",
        "auth",
        "validation",
        "circuit_breaker",
        "rate_limit",
    ]
    for name in ("UpdateTargetAudience", "PauseCampaign", "ResumeCampaign"):
        assert parts.pop(name) == reaches_the_platform
    # Each bid of these goes through the whole chain for itself.
    for name in ("PlaceBids", "StreamBids"):
        assert parts.pop(name) == ["status", "auth", "validation"]
    assert set(parts) == {
        "GetBid",
        "GetBudgetStats",
        "GetConnectorStatus",
        "ListBudgetStats",
        "WatchBudgetStats",
        "UpdateBudget",
        "PauseBudget",
        "ResumeBudget",
        "PauseCampaigns",
        "ResumeCampaigns",
        "ListHolds",
        "ResolveHold",
        "ListLedgerEntries",
        "ListReportedSpend",
        "ListAlerts",
        "WatchAlerts",
        "GetShadowReport",
        "EraseCustomer",
    }
    assert {tuple(names) for names in parts.values()} == {("status", "auth", "validation")}


async def test_an_exhausted_rate_limit_refuses_before_anything_is_written(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(rate_limit={"calls": 1})
    await house.call(make_bid("first"))
    error = await house.refused(make_bid("second", 16))
    assert isinstance(error, RateLimited)
    page = await house.core.keeper.entries(budget_id="", request_id="second", size=10, token="")
    assert page.rows == ()


async def test_bids_on_one_target_are_sent_one_after_the_other_and_others_side_by_side(
    house: House, make_bid: Callable[..., Any]
) -> None:
    now: dict[str, int] = {}
    most: dict[str, int] = {}
    at_once = 0

    async def watched(request: Any, call: Any) -> None:
        nonlocal at_once
        campaign = request.bid.campaign_id
        now[campaign] = now.get(campaign, 0) + 1
        most[campaign] = max(most.get(campaign, 0), now[campaign])
        at_once = max(at_once, sum(now.values()))
        for _ in range(20):
            await asyncio.sleep(0)
        now[campaign] -= 1

    house.script.sends = watched
    requests = [make_bid(f"r{n}", 1, campaign=str(n % 3)) for n in range(30)]
    await asyncio.gather(*(house.call(request) for request in requests))
    assert set(most.values()) == {1}
    assert at_once > 1
    for campaign in range(3):
        ids = [f"r{n}" for n in range(30) if n % 3 == campaign]
        assert [
            sent for sent in house.script.sent if sent in ids
        ] == ids  # first come, first served
    assert len(house.runtime.targets) == 0


async def test_campaigns_that_share_a_portfolio_share_its_target(
    house: House, make_bid: Callable[..., Any]
) -> None:
    house.script.target = "portfolios/7"
    now = most = 0

    async def watched(request: Any, call: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(20):
            await asyncio.sleep(0)
        now -= 1

    house.script.sends = watched
    await asyncio.gather(*(house.call(make_bid(f"r{n}", 1, campaign=str(n))) for n in range(10)))
    assert most == 1
    assert len(house.script.sent) == 10


def a_call() -> Call:
    method = google_ads_service_pb2.DESCRIPTOR.services_by_name["GoogleAdsService"].methods[0]
    return Call(spec=MethodSpec.of(method), started_ns=0)


async def test_a_target_lock_that_nobody_holds_or_waits_for_is_forgotten() -> None:
    locks = TargetLocks()

    async def fail(target: str) -> None:
        async with locks.hold(target, a_call()):
            await asyncio.sleep(0)
            raise ValueError("a bug")

    async def wait(target: str) -> None:
        async with locks.hold(target, a_call()):
            await asyncio.sleep(0)

    failing = asyncio.ensure_future(fail("a"))
    waiting = [asyncio.ensure_future(wait("a")) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(locks) == 1
    waiting[1].cancel()
    with pytest.raises(ValueError, match="a bug"):
        await failing
    await asyncio.gather(*waiting, return_exceptions=True)
    assert [task.cancelled() for task in waiting] == [False, True, False]
    assert len(locks) == 0
