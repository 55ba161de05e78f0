"""Campaigns are paused at their platform past everything that stands before bids, and resumed only
when it was us who paused them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.common.v1.connector_pb2 import CampaignStatusUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.budget import CampaignOutcome, CampaignStanding
from smartconnectors_server.errors import (
    ConnectorError,
    InvalidBid,
    NotFound,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

PAUSED, RESUMED, LEFT = CampaignOutcome.PAUSED, CampaignOutcome.RESUMED, CampaignOutcome.LEFT
ALREADY_PAUSED = CampaignOutcome.ALREADY_PAUSED
NAME = "google_ads"


def outcomes(standings: list[CampaignStanding]) -> dict[str, CampaignOutcome]:
    assert {standing.platform for standing in standings} <= {NAME}
    return {standing.campaign_id: standing.outcome for standing in standings}


async def pause(house: House, *ids: str, within_s: float = 30.0) -> dict[str, CampaignOutcome]:
    chosen = list(ids) or None
    return outcomes(await house.core.campaigns.pause(NAME, chosen, "stop", within_s=within_s))


async def resume(house: House, *ids: str) -> dict[str, CampaignOutcome]:
    return outcomes(await house.core.campaigns.resume(NAME, list(ids) or None, "go on"))


async def bid_on(house: House, make_bid: Callable[..., Any], *campaigns: str) -> None:
    for campaign in campaigns:
        await house.call(make_bid(f"on-{campaign}", 5, campaign=campaign))


async def test_every_campaign_that_was_bid_on_is_paused_and_resumed(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await bid_on(house, make_bid, "1", "2")
    assert await pause(house) == {"1": PAUSED, "2": PAUSED}
    assert house.script.status == {"1": False, "2": False}
    assert await pause(house) == {"1": ALREADY_PAUSED, "2": ALREADY_PAUSED}
    assert await resume(house) == {"1": RESUMED, "2": RESUMED}
    assert house.script.status == {"1": True, "2": True}
    assert await resume(house) == {}


async def test_a_campaign_can_be_named_that_was_never_bid_on(house: House) -> None:
    assert await pause(house, "7") == {"7": PAUSED}
    assert await resume(house, "7") == {"7": RESUMED}


async def test_what_a_person_had_paused_stays_paused(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await bid_on(house, make_bid, "1", "2")
    house.script.status["2"] = False
    assert await pause(house) == {"1": PAUSED, "2": ALREADY_PAUSED}
    assert await resume(house, "1", "2", "3") == {"1": RESUMED, "2": LEFT, "3": LEFT}
    assert house.script.status == {"1": True, "2": False}


async def test_what_was_not_seen_running_is_paused_and_left_to_a_person(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await bid_on(house, make_bid, "1")
    house.script.sees = False
    assert await pause(house) == {"1": PAUSED}
    assert await resume(house) == {"1": LEFT}
    assert house.script.status == {"1": False}


async def test_pausing_again_blindly_does_not_forget_what_was_paused_by_us(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await bid_on(house, make_bid, "1")
    await pause(house)
    house.script.sees = False
    house.script.status["1"] = True  # so that the platform says that it has changed
    assert await pause(house) == {"1": PAUSED}
    assert await resume(house) == {"1": RESUMED}


@pytest.mark.parametrize("method", ["Pause", "Resume"])
async def test_a_callers_word_on_one_campaign_counts_from_then_on(
    house: House, make_bid: Callable[..., Any], method: str
) -> None:
    await bid_on(house, make_bid, "1", "2")
    await pause(house)
    request = getattr(ads_pb2, f"{method}CampaignRequest")
    await house.call(request(update=CampaignStatusUpdate(campaign_id="1", validate_only=True)))
    await house.call(request(update=CampaignStatusUpdate(campaign_id="2")))
    left = {"2": LEFT} if method == "Pause" else {}
    assert await resume(house) == {"1": RESUMED, **left}


async def test_a_campaign_that_only_a_caller_resumed_is_one_that_was_changed(
    house: House,
) -> None:
    await house.call(ads_pb2.ResumeCampaignRequest(update=CampaignStatusUpdate(campaign_id="9")))
    assert await pause(house) == {"9": PAUSED}


async def test_neither_an_open_breaker_nor_a_full_or_paused_budget_stops_a_pause(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(budget={"limit": "5"})
    await bid_on(house, make_bid, "1")
    assert (await house.refused(make_bid("full", 5, campaign="2"))).reason == "BUDGET_EXCEEDED"
    await house.core.keeper.set_paused("all", True, "stop")
    house.open_breaker()
    assert await pause(house) == {"1": PAUSED}


async def test_bids_leave_the_reserved_share_of_the_quota_to_pauses(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(rate_limit={"calls": 10, "reserve_percent": 20})
    for number in range(8):
        await house.call(make_bid(f"r{number}", 1, campaign=str(number % 2)))
    assert (await house.refused(make_bid("more", 1))).reason == "RATE_LIMITED"
    assert await pause(house) == {"0": PAUSED, "1": PAUSED}
    assert await pause(house, within_s=0.0) == dict.fromkeys("01", CampaignOutcome.FAILED)


async def test_one_that_fails_keeps_none_of_the_others_from_being_paused(house: House) -> None:
    errors: dict[str, Exception] = {
        "1": PlatformRejected("not this one"),
        "2": ZeroDivisionError("a fault of ours"),
    }

    async def some_fail(request: Any, call: Any) -> None:
        if request.update.campaign_id in errors:
            raise errors[request.update.campaign_id]

    house.script.sends = some_fail
    standings = await house.core.campaigns.pause(NAME, ["1", "2", "3"], "stop")
    reasons = {one.campaign_id: one.error.reason for one in standings if one.error is not None}
    assert outcomes(standings)["3"] is PAUSED
    assert reasons == {"1": "PLATFORM_REJECTED", "2": "INTERNAL"}
    assert await resume(house) == {"3": RESUMED}


@pytest.mark.parametrize(
    "error",
    [RateLimited("later", retry_after_s=5.0), PlatformUnavailable("away"), OutcomeUnknown("lost")],
    ids=lambda error: error.reason,
)
async def test_what_is_refused_for_now_is_tried_again_in_time(
    house: House, error: ConnectorError
) -> None:
    failures = [error, error]

    async def fails_at_first(request: Any, call: Any) -> None:
        if failures:
            raise failures.pop()

    house.script.sends = fails_at_first
    asked = asyncio.ensure_future(pause(house, "1"))
    await house.until(asked.done, passing_s=0.5)
    assert await asked == {"1": PAUSED}
    assert await resume(house) == {"1": RESUMED}


async def test_what_cannot_be_paused_in_time_says_why(house: House) -> None:
    async def limited(request: Any, call: Any) -> None:
        raise RateLimited("later", retry_after_s=5.0)

    house.script.sends = limited
    (standing,) = await house.core.campaigns.pause(NAME, ["1"], "stop", within_s=4.0)
    assert standing.outcome is CampaignOutcome.FAILED
    assert standing.error is not None
    assert (standing.error.reason, standing.error.retry_after_s) == ("RATE_LIMITED", 5.0)


async def test_a_pause_goes_on_when_its_caller_hangs_up(house: House) -> None:
    go_on = asyncio.Event()

    async def slow(request: Any, call: Any) -> None:
        await go_on.wait()

    house.script.sends = slow
    asked = asyncio.ensure_future(pause(house, "1", "2"))
    await house.until(lambda: "pause 1" in house.script.log)
    asked.cancel()
    go_on.set()
    await house.core.campaigns.drain()
    assert house.script.status == {"1": False, "2": False}


async def test_a_resumption_gives_way_to_a_pause(house: House) -> None:
    await pause(house, *(str(number) for number in range(20)))
    go_on = asyncio.Event()

    async def slow(request: Any, call: Any) -> None:
        await go_on.wait()

    house.script.sends = slow
    resuming = asyncio.ensure_future(resume(house))
    await house.until(lambda: "resume 0" in house.script.log)
    pausing = asyncio.ensure_future(pause(house, *(str(number) for number in range(20))))
    await house.until(lambda: "pause 8" in house.script.log)
    go_on.set()
    await asyncio.gather(resuming, pausing)
    assert not any(house.script.status.values())


async def test_what_was_paused_is_known_after_a_restart(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    first = await build()
    await bid_on(first, make_bid, "1")
    await pause(first, "1", "7")
    await first.app.stop()
    second = await build()
    second.script.status = dict.fromkeys("17", False)
    assert await pause(second) == {"1": ALREADY_PAUSED, "7": ALREADY_PAUSED}
    assert await resume(second) == {"1": RESUMED, "7": RESUMED}


async def test_in_shadow_mode_nothing_is_paused(build: Build) -> None:
    house = await build(credentials=True)
    assert await pause(house, "1") == {"1": CampaignOutcome.SHADOWED}
    assert await resume(house, "1") == {"1": CampaignOutcome.SHADOWED}
    assert house.script.status == {}


async def test_an_unknown_platform_is_named_with_those_that_there_are(house: House) -> None:
    with pytest.raises(NotFound, match="'mega'; there are: google_ads"):
        await house.core.campaigns.pause("mega", None, "stop")
    with pytest.raises(InvalidBid, match="whose campaigns"):
        await house.core.campaigns.pause("", ["1"], "stop")


async def test_who_and_why_are_in_the_audit_ledger(house: House) -> None:
    await house.core.campaigns.pause(NAME, ["1"], "too fast", "alice")
    page = await house.core.keeper.entries(
        budget_id=f"{NAME}/campaigns/1", request_id="", size=10, token=""
    )
    (line,) = page.rows
    assert line.verb == "pause_campaign"
    assert (line.note, line.actor) == ("was running: too fast", "alice")
