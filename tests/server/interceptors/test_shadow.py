"""Shadow mode: everything but the platform's call, and nothing of it left when the mode is another.

Each change of mode is a restart on the same ledger, as it is in life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.common.v1 import bid_pb2
from smartconnectors.common.v1.campaign_pb2 import AudienceUpdate
from smartconnectors.common.v1.connector_pb2 import CampaignStatusUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.connector import Mode
from smartconnectors_server.errors import (
    BudgetExceeded,
    BudgetPaused,
    InvalidBid,
    RateLimited,
)
from smartconnectors_server.ledger import Reservation
from smartconnectors_server.startup import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

    MakeBid = Callable[..., Any]

USD = 1_000_000
SHADOW = "shadow/google_ads"
CARELESS: dict[str, Any] = {"min_interval_s": 0, "min_change_percent": 0}
"""So that a test may bid as it likes."""


async def moved(build: Build, house: House, mode: str, **settings: Any) -> House:
    """The house that stands there after a restart in another mode, which is adopted."""
    await house.app.stop()
    return await build(mode=mode, adopt=True, **settings)


async def test_with_credentials_and_no_mode_everything_is_done_but_the_change(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(credentials=True)
    answer = await house.call(make_bid("r"))
    assert answer.result.status == bid_pb2.BID_STATUS_SHADOWED
    assert answer.result.budget.budget_id == SHADOW
    assert answer.result.budget.committed_micros == 15 * USD
    assert house.script.context is not None
    assert house.script.context.mode is Mode.SHADOW
    assert house.script.log == ["connect", "plan"]
    again = await house.call(make_bid("r"))
    assert again.result.replayed
    assert not again.result.HasField("placed_at")


async def test_a_rehearsal_at_an_endpoint_of_ones_own_is_shadow_to_bids_and_sandbox_to_the_wire(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(mode="shadow")
    assert await house.status(make_bid("r")) == "SHADOWED"
    assert house.script.context is not None
    assert (house.script.context.mode, house.script.context.endpoint) == (
        Mode.SANDBOX,
        "127.0.0.1:1",
    )
    assert house.script.sent == []


async def test_shadow_money_is_no_money_of_the_live_budgets_and_survives_a_restart_in_shadow(
    build: Build, make_bid: MakeBid
) -> None:
    settings: dict[str, Any] = {
        **CARELESS,
        "budget": {"limit": "100", "campaigns": {"1": "40"}},
        "total_budget": {"limit": "90"},
    }
    house = await build(mode="shadow", **settings)
    assert await house.status(make_bid("a", 30)) == "SHADOWED"
    campaign = await house.refused(make_bid("b", 20))
    assert campaign.metadata["budget_id"] == f"{SHADOW}/campaigns/1"
    assert await house.status(make_bid("c", 50, campaign="2")) == "SHADOWED"
    total = await house.refused(make_bid("d", 20, campaign="3"))
    assert isinstance(total, BudgetExceeded)
    assert total.metadata["budget_id"] == "shadow/total"

    house = await moved(build, house, "shadow", **settings)
    for budget_id, usd in ((SHADOW, 80), ("shadow/total", 80), (f"{SHADOW}/campaigns/1", 30)):
        assert house.money(budget_id) == {"committed": usd * USD}
    for budget_id in ("google_ads", "total", "google_ads/campaigns/1"):
        assert house.money(budget_id) == {}

    house = await moved(build, house, "live", **settings)
    assert house.core.keeper.budget_ids() == ("google_ads", "google_ads/campaigns/1", "total")
    assert await house.status(make_bid("e", 40)) == "PLACED"
    for budget_id in ("google_ads", "total", "google_ads/campaigns/1"):
        assert house.money(budget_id) == {"committed": 40 * USD}

    house = await moved(build, house, "shadow", **settings)
    assert house.money(SHADOW) == {"committed": 80 * USD}
    assert house.money() == {"committed": 40 * USD}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("shadow", "SHADOWED", []), ("live", "PLACED", ["r"])),
        (("live", "PLACED", ["r"]), ("shadow", "SHADOWED", [])),
    ],
    ids=["live-after-shadow", "shadow-after-live"],
)
async def test_what_one_mode_answered_is_no_answer_in_the_other(
    build: Build, make_bid: MakeBid, first: Any, then: Any
) -> None:
    house = await build(mode=first[0], **CARELESS)
    assert await house.status(make_bid("r")) == first[1]
    assert house.script.sent == first[2]
    house = await moved(build, house, then[0], **CARELESS)
    answer = await house.call(make_bid("r"))
    assert not answer.result.replayed
    assert await house.status(make_bid("r")) == then[1]
    assert house.script.sent == then[2]


async def test_a_shadow_that_a_crash_left_in_doubt_is_given_back_in_shadow_mode_without_a_look(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(mode="shadow", **CARELESS)
    await house.core.keeper.reserve(
        Reservation(
            platform=SHADOW,
            request_id="cut-off",
            fingerprint="",
            method="/smartconnectors.google_ads.v1.GoogleAdsService/PlaceBid",
            target="campaigns/1",
            budget_ids=(SHADOW,),
            amount_micros=15 * USD,
            currency_code="USD",
            source="ai",
        )
    )
    await house.app.stop()
    with pytest.raises(StartupError, match=r"bids are open \(1 in doubt: request cut-off\)"):
        await build(mode="live", adopt=True, **CARELESS)
    house = await build(mode="shadow", **CARELESS)
    await house.until(lambda: not house.holds(), passing_s=1)
    assert "lookup" not in house.script.log
    house = await moved(build, house, "live", **CARELESS)
    assert await house.status(make_bid("r")) == "PLACED"


async def test_a_shadowed_change_counts_as_a_change_in_shadow_mode_alone(
    build: Build, make_bid: MakeBid
) -> None:
    settings = {"min_interval_s": 60, "min_change_percent": 0}
    house = await build(mode="shadow", **settings)
    house.script.after_value = 110
    assert await house.status(make_bid("a")) == "SHADOWED"
    house = await moved(build, house, "shadow", **settings)
    house.script.after_value = 110
    assert isinstance(await house.refused(make_bid("b")), RateLimited)
    house = await moved(build, house, "live", **settings)
    house.script.after_value = 110
    assert await house.status(make_bid("b")) == "PLACED"


async def test_shadowed_bids_teach_the_live_price_nothing(build: Build, make_bid: MakeBid) -> None:
    unpriced = {"usd": None, "predicted_ltv_micros": 0}
    house = await build(mode="shadow", **CARELESS)
    await house.call(make_bid("a", 15, predicted_ltv_micros=20 * USD))
    assert await house.status(make_bid("b", **unpriced)) == "SHADOWED"
    house = await moved(build, house, "live", **CARELESS)
    assert isinstance(await house.refused(make_bid("c", **unpriced)), InvalidBid)


async def test_a_bid_that_waited_in_shadow_mode_is_shadowed(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(mode="shadow", **CARELESS)
    house.open_breaker()
    assert await house.status(make_bid("r")) == "DEFERRED"
    await house.pass_time(40)
    await house.until(lambda: house.money(SHADOW) == {"committed": 15 * USD})
    assert await house.status(make_bid("r")) == "SHADOWED"
    assert house.script.sent == []


async def test_in_shadow_mode_campaigns_are_left_as_they_are_and_the_answer_says_so(
    build: Build,
) -> None:
    house = await build(mode="shadow")
    for request in (
        ads_pb2.PauseCampaignRequest(update=CampaignStatusUpdate(campaign_id="1")),
        ads_pb2.ResumeCampaignRequest(update=CampaignStatusUpdate(campaign_id="1")),
        ads_pb2.UpdateTargetAudienceRequest(
            update=AudienceUpdate(campaign_id="1", add_audience_ids=["7"])
        ),
    ):
        answer = await house.call(request)
        assert answer.result.shadowed
        assert getattr(answer.result, "campaign_id", "1") == "1"
    assert house.script.log == ["connect"]


@pytest.mark.parametrize("scope", ["google_ads", "google_ads/campaigns/1", "total", "all", SHADOW])
async def test_a_pause_stops_bids_in_shadow_mode_as_it_would_live(
    build: Build, make_bid: MakeBid, scope: str
) -> None:
    house = await build(mode="shadow", total_budget={"limit": "90"}, **CARELESS)
    await house.core.keeper.set_paused(scope, True, "a rehearsal")
    error = await house.refused(make_bid("r"))
    assert isinstance(error, BudgetPaused)
    assert error.metadata["budget_id"] == scope
    await house.core.keeper.set_paused(scope, False, "goes on")
    assert await house.status(make_bid("r")) == "SHADOWED"


async def test_a_pause_of_the_shadow_stops_no_live_bid(build: Build, make_bid: MakeBid) -> None:
    house = await build(mode="shadow", **CARELESS)
    await house.core.keeper.set_paused(SHADOW, True, "a rehearsal")
    house = await moved(build, house, "live", **CARELESS)
    assert await house.status(make_bid("r")) == "PLACED"


async def test_in_shadow_mode_a_pause_passes_an_open_breaker_as_it_would_live(
    build: Build,
) -> None:
    house = await build(mode="shadow")
    house.open_breaker()
    answer = await house.call(
        ads_pb2.PauseCampaignRequest(update=CampaignStatusUpdate(campaign_id="1"))
    )
    assert answer.result.shadowed
