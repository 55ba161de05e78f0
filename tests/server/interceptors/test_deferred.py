"""Bids that wait for the breaker: by a clock that the test moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from smartconnectors_server.connector import Finding
from smartconnectors_server.errors import (
    CircuitOpenNoFallback,
    OutcomeUnknown,
    PlatformUnavailable,
    UnknownTarget,
)
from smartconnectors_server.ledger import HoldState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

USD = 1_000_000
OPEN_S = 30


async def defer(house: House, request: Any) -> None:
    house.open_breaker()
    assert await house.status(request) == "DEFERRED"


async def test_a_deferred_bid_is_placed_when_the_breaker_lets_probes_through(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await defer(house, make_bid("r"))
    assert house.money() == {"deferred": 15 * USD}
    await house.pass_time(OPEN_S - 1)
    assert house.script.sent == []
    await house.pass_time(2)
    await house.until(lambda: house.money() == {"committed": 15 * USD})
    assert house.script.sent == ["r"]
    assert await house.status(make_bid("r")) == "PLACED"


async def test_a_deferred_bid_expires_after_ten_minutes(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(circuit_breaker={"open_s": 3600}, budget={"limit": "100", "window_s": 3600})
    await defer(house, make_bid("r"))
    await house.pass_time(599)
    assert house.money() == {"deferred": 15 * USD}
    await house.pass_time(2)
    await house.until(lambda: house.money() == {})
    assert await house.status(make_bid("r")) == "EXPIRED"


async def test_a_breaker_that_opens_between_the_price_and_the_permit_defers_what_is_held(
    house: House, make_bid: Callable[..., Any]
) -> None:
    plan = house.script.plans

    async def opens(request: Any, priced: Any) -> Any:
        house.open_breaker()
        return await plan(request, priced)

    house.script.plans = opens
    assert await house.status(make_bid("r")) == "DEFERRED"
    assert house.script.sent == []
    assert house.money() == {"deferred": 15 * USD}


async def test_what_was_held_is_the_most_that_is_then_deferred(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    """The heuristic would give $20, its LTV; $15 are held."""
    house = await build(fallback={"cap": "none"})
    plan = house.script.plans

    async def opens(request: Any, priced: Any) -> Any:
        house.open_breaker()
        return await plan(request, priced)

    house.script.plans = opens
    answer = await house.call(make_bid("r"))
    assert answer.result.bid_micros == 15 * USD
    assert answer.result.uncapped_fallback_micros == 20 * USD
    assert house.money() == {"deferred": 15 * USD}


async def test_when_nothing_can_be_deferred_in_that_race_the_hold_is_given_back(
    house: House, make_bid: Callable[..., Any]
) -> None:
    plan = house.script.plans

    async def opens(request: Any, priced: Any) -> Any:
        house.open_breaker()
        return await plan(request, priced)

    house.script.plans = opens
    error = await house.refused(make_bid("r", predicted_ltv_micros=0, reduce_only=True))
    assert isinstance(error, CircuitOpenNoFallback)
    assert house.money() == {}
    assert house.holds() == 0


async def test_a_deferred_bid_whose_campaign_is_gone_is_ended_and_says_so(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await defer(house, make_bid("r"))

    async def gone(request: Any, priced: Any) -> Any:
        raise UnknownTarget("no such campaign")

    house.script.plans = gone
    await house.pass_time(OPEN_S + 1)
    await house.until(lambda: house.money() == {})
    error = await house.refused(make_bid("r"))
    assert "no such campaign" in error.message


async def test_a_deferred_bid_that_was_provably_not_sent_waits_again_with_the_life_it_had(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await defer(house, make_bid("r"))
    (hold,) = house.core.keeper.open_holds()

    async def unreachable(request: Any, call: Any) -> None:
        raise PlatformUnavailable("refused")

    good, house.script.sends = house.script.sends, unreachable
    await house.pass_time(OPEN_S + 1)
    await house.until(lambda: house.script.sent and house.holds(HoldState.DEFERRED))
    (again,) = house.core.keeper.open_holds()
    assert (again.hold_id, again.expires_ns) == (hold.hold_id, hold.expires_ns)
    house.script.sends = good
    await house.pass_time(OPEN_S + 1)
    await house.until(lambda: house.money() == {"committed": 15 * USD})
    assert house.script.sent == ["r", "r"]


async def test_a_deferred_bid_whose_outcome_is_unknown_is_in_doubt_like_any_other(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await defer(house, make_bid("r"))

    async def lost(request: Any, call: Any) -> None:
        raise OutcomeUnknown("no answer")

    house.script.sends = lost
    await house.pass_time(OPEN_S + 1)
    await house.until(lambda: house.holds(HoldState.IN_DOUBT))
    assert house.money() == {"in_doubt": 15 * USD}
    house.script.finding = Finding.APPLIED
    await house.pass_time(5)
    await house.until(lambda: house.money() == {"committed": 15 * USD})
    assert house.script.sent == ["r"]


async def test_a_target_in_doubt_is_not_planned_for_and_keeps_no_other_from_being_served(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    """A plan may read the platform, and 4 a second would leave the doubt no quota to be ended."""
    house = await build(timeout_ms=60_000)  # so the quiet period is long

    async def lost(request: Any, call: Any) -> None:
        raise OutcomeUnknown("no answer")

    good, house.script.sends = house.script.sends, lost
    house.script.finding = Finding.NOT_APPLIED
    assert (await house.refused(make_bid("lost"))).reason == "OUTCOME_UNKNOWN"
    house.script.sends = good
    await defer(house, make_bid("same-target"))
    await defer(house, make_bid("other", campaign="2"))
    house.script.log.clear()
    await house.pass_time(OPEN_S + 1)
    await house.until(lambda: house.script.sent)
    assert house.holds(HoldState.IN_DOUBT) == 1
    assert house.script.sent == ["other"]
    assert house.script.log.count("plan") == 1


async def test_what_an_operator_has_paused_is_not_planned_either(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await defer(house, make_bid("r"))
    await house.core.keeper.set_paused("google_ads", True, "a look at it")
    house.script.log.clear()
    await house.pass_time(OPEN_S + 5)
    assert house.script.log == []
    await house.core.keeper.set_paused("google_ads", False, "all is well")
    await house.until(lambda: house.money() == {"committed": 15 * USD}, passing_s=0.1)


async def test_a_deferred_bid_that_is_being_sent_is_awaited_when_the_server_stops(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build()
    await defer(house, make_bid("r"))
    answered = asyncio.Event()

    async def slow(request: Any, call: Any) -> None:
        await answered.wait()

    house.script.sends = slow
    await house.pass_time(OPEN_S + 1)
    await house.until(lambda: house.script.sent)
    stopping = asyncio.ensure_future(house.app.stop())
    await house.pass_time(0)
    assert not stopping.done()
    answered.set()
    await asyncio.wait_for(stopping, 60)
    again = await build()
    assert again.money() == {"committed": 15 * USD}
    assert (await again.call(make_bid("r"))).result.replayed
    assert again.script.sent == []


async def test_a_bug_that_one_deferred_bid_meets_keeps_no_other_from_being_placed_or_expired(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(circuit_breaker={"close_after_successes": 1})
    await defer(house, make_bid("bug", 10))
    assert await house.status(make_bid("good", 11, campaign="2")) == "DEFERRED"
    plan = house.script.plans

    async def buggy(request: Any, priced: Any) -> Any:
        if request.bid.request_id == "bug":
            raise RuntimeError("a bug")
        return await plan(request, priced)

    house.script.plans = buggy
    await house.pass_time(OPEN_S + 1)
    await house.until(lambda: house.money() == {"committed": 11 * USD, "deferred": 10 * USD})
    await house.pass_time(600)
    await house.until(lambda: house.money() == {})  # the window has passed as well
    assert await house.status(make_bid("bug", 10)) == "EXPIRED"


async def test_a_bug_before_a_deferred_bid_is_sent_puts_it_back_among_the_deferred(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(circuit_breaker={"close_after_successes": 1})
    await defer(house, make_bid("r"))
    take = house.runtime.limiter.take
    bugs = iter([RuntimeError("a bug")])

    class Limiter:
        """Fails once, in a way that nobody foresaw, just before the wire."""

        def __getattr__(self, name: str) -> Any:
            return getattr(limiter, name)

        async def take(self, *args: Any, **kwargs: Any) -> None:
            for bug in bugs:
                raise bug
            await take(*args, **kwargs)

    limiter: Any = house.runtime.limiter
    house.runtime.limiter = Limiter()  # type: ignore[assignment]
    await house.pass_time(OPEN_S + 1)
    await house.until(lambda: house.money() == {"committed": 15 * USD}, passing_s=0.3)
    assert house.script.sent == ["r"]
    assert house.holds() == 0


async def test_half_open_a_live_bid_waits_behind_those_that_were_deferred(
    house: House, make_bid: Callable[..., Any]
) -> None:
    await defer(house, make_bid("waits"))
    stuck = asyncio.Event()
    plan = house.script.plans

    async def slow(request: Any, priced: Any) -> Any:
        await stuck.wait()
        return await plan(request, priced)

    house.script.plans = slow
    await house.pass_time(OPEN_S + 1)
    await house.until(lambda: "plan" in house.script.log)
    assert await house.status(make_bid("live", campaign="2")) == "DEFERRED"
    stuck.set()
    await house.until(lambda: len(house.script.sent) == 2, passing_s=0.3)
    assert house.script.sent == ["waits", "live"]
