"""Bids for a platform that is not connected: they wait as behind an open breaker, and are placed
when it is connected. By a clock that the test moves.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.common.v1 import bid_pb2, connector_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import PlatformRejected, PlatformUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

USD = 1_000_000


class Outage:
    """A platform that cannot be connected while `lasts` is true."""

    def __init__(self, clock: ManualClock, error: Exception | None = None) -> None:
        self.clock = clock
        self.lasts = True
        self.error = error or PlatformUnavailable("nobody answers")
        self.attempts_ns: list[int] = []

    async def __call__(self) -> None:
        self.attempts_ns.append(self.clock.monotonic_ns())
        if self.lasts:
            raise self.error


class Silence:
    """A platform that is being connected until `answered` is set."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()

    async def __call__(self) -> None:
        await self.answered.wait()


@pytest.fixture
def outage(clock: ManualClock) -> Outage:
    return Outage(clock)


async def begin(build: Build, outage: Outage, **overrides: Any) -> House:
    """A house whose platform has just failed to connect."""
    house = await build(connects=outage, **overrides)
    await house.until(lambda: house.runtime.link.attempted)
    return house


async def test_a_bid_is_deferred_while_its_platform_is_not_connected(
    build: Build, outage: Outage, make_bid: Callable[..., Any]
) -> None:
    house = await begin(build, outage)
    assert await house.status(make_bid("r")) == "DEFERRED"
    assert house.money() == {"deferred": 15 * USD}
    assert house.script.sent == []


async def test_a_deferred_bid_is_priced_from_the_history_while_its_platform_is_not_connected(
    build: Build, outage: Outage, make_bid: Callable[..., Any]
) -> None:
    first = await build()
    assert await first.status(make_bid("a", 40, predicted_ltv_micros=30 * USD)) == "PLACED"
    await first.app.stop()
    house = await begin(build, outage)
    answer = await house.call(make_bid("b", 50, predicted_ltv_micros=20 * USD))
    assert answer.result.bid_micros == 30 * USD, "the median of what was settled, not its own LTV"


async def test_deferred_bids_are_placed_when_their_platform_is_connected_again(
    build: Build, outage: Outage, make_bid: Callable[..., Any]
) -> None:
    house = await begin(build, outage)
    assert await house.status(make_bid("r")) == "DEFERRED"
    outage.lasts = False
    await house.until(lambda: house.money() == {"committed": 15 * USD}, passing_s=0.5)
    assert house.script.sent == ["r"]
    assert await house.status(make_bid("r")) == "PLACED"


async def test_a_batch_is_deferred_while_its_platform_is_not_connected(
    build: Build, outage: Outage, make_bid: Callable[..., Any]
) -> None:
    house = await begin(build, outage)
    answer = await house.call(ads_pb2.PlaceBidsRequest(bids=[make_bid("a"), make_bid("b", 9)]))
    states = [one.response.result.status for one in answer.answers]
    assert len(set(states)) == 1
    assert house.money() == {"deferred": (15 + 9) * USD} or house.money() == {"deferred": 9 * USD}
    assert not any(one.HasField("error") for one in answer.answers)


@pytest.mark.parametrize("what", ["an auction", "a reduction", "a campaign budget"])
async def test_what_cannot_wait_is_refused_with_the_time_of_the_next_attempt(
    build: Build, outage: Outage, make_bid: Callable[..., Any], what: str
) -> None:
    house = await begin(build, outage)
    request = make_bid("r", reduce_only=what == "a reduction")
    if what == "an auction":
        house.script.deferrable = False
    if what == "a campaign budget":
        request = ads_pb2.UpdateCampaignBudgetRequest()
        request.update.request_id, request.update.campaign_id = "r", "1"
        request.update.daily_budget_micros = 1000 * USD
    refused = await house.refused(request)
    assert isinstance(refused, PlatformUnavailable)
    assert "is not connected: nobody answers" in refused.message
    assert refused.retry_after_s == pytest.approx(1.0)
    assert house.money() == {}


async def test_without_an_ltv_a_bid_is_refused_because_the_platform_is_not_connected(
    build: Build, outage: Outage, make_bid: Callable[..., Any]
) -> None:
    house = await begin(build, outage)
    refused = await house.refused(make_bid("r", predicted_ltv_micros=0))
    assert isinstance(refused, PlatformUnavailable)
    assert "no LTV" in refused.message


async def test_an_account_that_refuses_the_server_gets_no_deferred_bids(
    build: Build, clock: ManualClock, make_bid: Callable[..., Any]
) -> None:
    """No waiting mends it, and a deferred bid would tell its caller otherwise."""
    outage = Outage(clock, PlatformRejected("the token was revoked"))
    house = await begin(build, outage)
    refused = await house.refused(make_bid("r"))
    assert isinstance(refused, PlatformUnavailable)
    assert "the token was revoked" in refused.message
    assert house.money() == {}


async def test_attempts_to_connect_come_at_growing_intervals_up_to_a_minute(
    build: Build, outage: Outage
) -> None:
    house = await begin(build, outage)
    await house.until(lambda: len(outage.attempts_ns) > 8, passing_s=0.25)
    times_ns = outage.attempts_ns[:9]
    gaps_s = [(later - earlier) / 1e9 for earlier, later in itertools.pairwise(times_ns)]
    assert [int(gap_s) for gap_s in gaps_s] == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_bid_waits_for_the_first_attempt_to_connect(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    silence = Silence()
    house = await build(connects=silence)
    placing = house.begin(make_bid("r"), deadline_s=2)
    await house.pass_time(0)
    await house.pass_time(1)
    assert not placing.done()
    silence.answered.set()
    answer = await placing
    assert answer.result.source == bid_pb2.BID_SOURCE_AI
    assert house.script.sent == ["r"]


async def test_a_bid_is_deferred_in_time_when_its_deadline_passes_during_the_first_attempt(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(connects=Silence())
    placing = house.begin(make_bid("r"), deadline_s=0.2)
    await house.pass_time(0)
    await house.pass_time(0.17)
    assert not placing.done()
    await house.pass_time(0.02)
    await house.until(placing.done)
    assert house.money() == {"deferred": 15 * USD}
    assert (await placing).result.status == bid_pb2.BID_STATUS_DEFERRED


async def test_a_pause_gets_a_typed_answer_in_time_during_the_first_attempt(build: Build) -> None:
    house = await build(connects=Silence())
    request = ads_pb2.PauseCampaignRequest()
    request.update.campaign_id = "1"
    pausing = house.begin(request, deadline_s=0.5)
    await house.pass_time(0)
    await house.pass_time(0.49)
    await house.until(pausing.done)
    error = pausing.exception()
    assert isinstance(error, PlatformUnavailable)
    assert "is still being connected" in error.message


async def test_a_bid_without_a_deadline_waits_ten_seconds_for_the_first_attempt(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(connects=Silence())
    placing = house.begin(make_bid("r"))
    await house.pass_time(0)
    await house.pass_time(9.9)
    assert not placing.done()
    await house.pass_time(0.2)
    await house.until(placing.done)
    assert house.money() == {"deferred": 15 * USD}


async def test_the_status_of_a_platform_is_its_worst(build: Build, outage: Outage) -> None:
    house = await begin(build, outage)

    async def told() -> Any:
        answer = await house.call(ads_pb2.GetConnectorStatusRequest())
        return answer.status

    status = await told()
    assert status.state == connector_pb2.PLATFORM_STATE_NOT_CONNECTED
    assert "nobody answers" in status.state_reason
    await house.core.keeper.set_paused("google_ads", True, "why not", actor="")
    assert (await told()).state == connector_pb2.PLATFORM_STATE_NOT_CONNECTED
    outage.lasts = False
    await house.until(lambda: house.runtime.is_connected, passing_s=0.5)
    assert (await told()).state == connector_pb2.PLATFORM_STATE_PAUSED
    house.open_breaker()
    assert (await told()).state == connector_pb2.PLATFORM_STATE_CIRCUIT_OPEN
    await house.core.keeper.set_paused("google_ads", False, "why not", actor="")
    await house.pass_time(31)
    assert (await told()).state == connector_pb2.PLATFORM_STATE_HALF_OPEN


async def test_refusals_of_every_kind_are_counted_by_reason(
    build: Build, outage: Outage, make_bid: Callable[..., Any]
) -> None:
    house = await begin(build, outage)
    await house.refused(make_bid("a", predicted_ltv_micros=0))
    await house.refused(make_bid("b", reduce_only=True))
    await house.refused(make_bid("c", 15, currency_code="JPY"))
    answer = await house.call(ads_pb2.GetConnectorStatusRequest())
    assert dict(answer.status.refusals) == {"PLATFORM_UNAVAILABLE": 2, "CURRENCY_MISMATCH": 1}
