"""What the report counts: each bid once, by what became of it, over restarts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.errors import PlatformUnavailable
from smartconnectors_server.interceptors import Idempotency

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

    from smartconnectors_server.call import Plan

    MakeBid = Callable[..., Any]

USD = 1_000_000
SHADOW = "shadow/google_ads"
CARELESS: dict[str, Any] = {"min_interval_s": 0, "min_change_percent": 0}


def counted(house: House) -> dict[str, tuple[int, int]]:
    """Outcome -> how many, and their sum in dollars."""
    return {t.outcome: (t.count, t.sum_micros // USD) for t in house.core.books.tallies.of(SHADOW)}


def candidate(house: House, book: str = "google_ads") -> dict[str, tuple[int, int]]:
    """The same of what its candidate limit weighed."""
    subject = house.core.books.candidates.subject(book)
    return {t.outcome: (t.count, t.sum_micros // USD) for t in house.core.books.tallies.of(subject)}


async def test_every_bid_is_counted_by_what_became_of_it_or_why_it_was_refused(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(mode="shadow", max_step_percent=30, **CARELESS)
    for request_id, usd in (("a", 60), ("b", 25)):
        assert await house.status(make_bid(request_id, usd)) == "SHADOWED"
    for request_id, usd in (("c", 20), ("d", 40), ("e", 16)):
        await house.refused(make_bid(request_id, usd))
    house.script.after_value = 131
    await house.refused(make_bid("f", 10))
    house.script.after_value = 100
    assert await house.status(make_bid("g", 7, reduce_only=False)) == "SHADOWED"
    await house.refused(make_bid("not an id", 3))
    assert counted(house) == {
        "SHADOWED": (3, 92),
        "BUDGET_EXCEEDED": (3, 76),
        "STEP_TOO_LARGE": (1, 10),
        "INVALID_BID": (1, 3),
    }
    worst = house.core.books.tallies.one(SHADOW, "BUDGET_EXCEEDED").worst_micros
    assert worst == (40 - 15) * USD


async def test_the_first_and_the_last_time_are_told(build: Build, make_bid: MakeBid) -> None:
    house = await build(mode="shadow", **CARELESS)
    times = []
    for request_id in ("a", "b", "c"):
        times.append(house.core.keeper.now_ns())
        await house.call(make_bid(request_id))
        house.clock.advance(5)
    told = house.core.books.tallies.one(SHADOW, "SHADOWED")
    assert (told.first_ns, told.last_ns) == (times[0], times[2])


async def test_answers_from_memory_and_questions_are_not_counted(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(mode="shadow", **CARELESS)
    for _ in range(3):
        await house.call(make_bid("r"))
    await house.call(make_bid("q", validate_only=True))
    await house.refused(make_bid("q", 101, validate_only=True))
    assert counted(house) == {"SHADOWED": (1, 15)}


async def test_a_bid_that_many_callers_wait_for_is_counted_once(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(mode="shadow", **CARELESS)
    (idempotency,) = (i for i in house.core.chain if isinstance(i, Idempotency))
    plan, everybody = house.script.plans, asyncio.Event()

    async def once_everybody_waits(request: Any, priced: Any) -> Plan:
        await everybody.wait()
        return await plan(request, priced)

    house.script.plans = once_everybody_waits
    for bid in (make_bid("r"), make_bid("large", 101)):
        everybody.clear()
        calls = [house.begin(bid) for _ in range(5)]
        await house.until(lambda: [r.waiting for r in idempotency._running.values()] == [5])
        everybody.set()
        await asyncio.gather(*calls, return_exceptions=True)
    assert counted(house) == {"SHADOWED": (1, 15), "BUDGET_EXCEEDED": (1, 101)}


async def test_a_bid_is_counted_though_its_caller_hangs_up(build: Build, make_bid: MakeBid) -> None:
    house = await build(mode="shadow", **CARELESS)
    plan = house.script.plans

    async def hang_up_after(request: Any, priced: Any) -> Plan:
        # Runs when the bid next waits, which is for its hold to be written.
        asyncio.get_running_loop().call_soon(call.cancel)
        return await plan(request, priced)

    house.script.plans = hang_up_after
    call = house.begin(make_bid("r"))
    await asyncio.wait([call])
    assert call.cancelled()
    assert counted(house) == {}
    await house.until(lambda: house.money(SHADOW) == {"committed": 15 * USD})
    await house.until(lambda: counted(house) == {"SHADOWED": (1, 15)})


async def test_each_bid_of_a_batch_is_counted_for_itself(build: Build, make_bid: MakeBid) -> None:
    house = await build(mode="shadow", **CARELESS)
    house.script.max_batch = 50
    bids = [make_bid(f"r{n}", 30, campaign=str(n)) for n in range(5)]
    await house.call(ads_pb2.PlaceBidsRequest(bids=bids))
    assert counted(house) == {"SHADOWED": (3, 90), "BUDGET_EXCEEDED": (2, 60)}
    assert house.script.batches == []


async def test_the_report_survives_restarts_and_the_way_to_live(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(mode="shadow", **CARELESS)
    await house.call(make_bid("a"))
    await house.app.stop()
    house = await build(mode="shadow", **CARELESS)
    await house.call(make_bid("b"))
    await house.app.stop()
    house = await build(mode="live", adopt=True, **CARELESS)
    await house.call(make_bid("c"))
    assert counted(house) == {"SHADOWED": (2, 30)}


async def test_outside_of_shadow_mode_nothing_is_counted(build: Build, make_bid: MakeBid) -> None:
    for mode in ("sandbox", "live"):
        house = await build(mode=mode, adopt=True, **CARELESS)
        await house.call(make_bid(f"{mode}-small", 5))
        await house.refused(make_bid(f"{mode}-large", 101))
        assert counted(house) == {}
        await house.app.stop()
    await build(adopt=True)


# Candidate limits


async def test_a_candidate_refuses_nothing_and_says_what_it_would_have_vetoed(
    build: Build, make_bid: MakeBid
) -> None:
    """$20 each on a limit of $100, with $50 as the candidate: it would have taken two, and the
    small one that still fits beside them."""
    house = await build(budget={"limit": "100", "candidate_limit": "50"})
    for number in range(4):
        assert await house.status(make_bid(f"r{number}", 20)) == "PLACED"
    assert await house.status(make_bid("small", 10)) == "PLACED"
    await house.refused(make_bid("large", 20))
    assert candidate(house) == {
        "ADMITTED": (3, 50),
        "WOULD_VETO": (2, 40),
        "LIMIT_VETOED": (1, 20),
    }
    assert house.core.books.candidates.used_micros("google_ads") == 50 * USD
    assert house.money() == {"committed": 90 * USD}


async def test_what_a_candidate_would_have_vetoed_takes_none_of_its_room(
    build: Build, make_bid: MakeBid
) -> None:
    """$40 every five minutes commits $80 in ten; a candidate of $50 would take every second."""
    house = await build(budget={"limit": "100", "candidate_limit": "50"})
    for number in range(6):
        assert await house.status(make_bid(f"r{number}", 40)) == "PLACED"
        house.clock.advance(301)
    assert candidate(house) == {"ADMITTED": (3, 120), "WOULD_VETO": (3, 120)}


async def test_a_candidate_is_weighed_in_shadow_mode_against_shadow_money(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(mode="shadow", budget={"limit": "100", "candidate_limit": "30"}, **CARELESS)
    await house.call(make_bid("a", 20))
    await house.call(make_bid("b", 20))
    assert candidate(house, SHADOW) == {"ADMITTED": (1, 20), "WOULD_VETO": (1, 20)}


async def test_a_candidates_window_and_counts_go_on_after_a_restart(
    build: Build, make_bid: MakeBid
) -> None:
    settings = {"budget": {"limit": "100", "candidate_limit": "50"}}
    house = await build(**settings)
    for number in range(3):
        await house.call(make_bid(f"r{number}", 20))
    await house.app.stop()
    house = await build(**settings)
    assert house.core.books.candidates.used_micros("google_ads") == 40 * USD
    await house.call(make_bid("r3", 20))
    await house.call(make_bid("small", 10))
    assert candidate(house) == {"ADMITTED": (3, 50), "WOULD_VETO": (2, 40)}


async def test_another_candidate_is_counted_anew(build: Build, make_bid: MakeBid) -> None:
    house = await build(budget={"limit": "100", "candidate_limit": "10"})
    await house.call(make_bid("a", 20))
    await house.app.stop()
    house = await build(budget={"limit": "100", "candidate_limit": "30"})
    assert candidate(house) == {}
    await house.call(make_bid("b", 10))
    assert candidate(house) == {"ADMITTED": (1, 10)}


async def test_what_was_not_sent_is_not_weighed(build: Build, make_bid: MakeBid) -> None:
    house = await build(budget={"limit": "100", "candidate_limit": "10"})

    async def away(*_: Any) -> Plan:
        raise PlatformUnavailable("nobody there")

    house.script.sends = away  # type: ignore[assignment]
    await house.refused(make_bid("r", 20))
    assert candidate(house) == {}
