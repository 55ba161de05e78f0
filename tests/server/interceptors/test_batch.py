"""Many bids at once: each for itself in money and answer, together on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from smartconnectors.common.v1 import bid_pb2, errors_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.errors import OutcomeUnknown, PlatformRejected

if TYPE_CHECKING:
    from tests.server.interceptors.conftest import Build, House

    from smartconnectors_server.call import Call

USD = 1_000_000
MakeBid = Callable[..., Any]


async def place(house: House, bids: list[Any]) -> list[str]:
    """The status or the reason of each answer, in order."""
    response = await house.call(ads_pb2.PlaceBidsRequest(bids=bids))
    assert [a.request_id for a in response.answers] == [b.bid.request_id for b in bids]
    said = []
    for answer in response.answers:
        if answer.WhichOneof("answer") == "error":
            name = errors_pb2.ErrorReason.Name(answer.error.reason)
            said.append(name.removeprefix("ERROR_REASON_"))
        else:
            status = bid_pb2.BidStatus.Name(answer.response.result.status)
            said.append(status.removeprefix("BID_STATUS_"))
    return said


async def together(build: Build, **settings: Any) -> House:
    house = await build(**settings)
    house.script.max_batch = 50
    return house


async def test_bids_of_a_batch_go_out_as_one_call_and_are_read_ahead_together(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build)
    used = house.runtime.limiter.used()
    said = await place(house, [make_bid(f"r{n}", 1, campaign=str(n)) for n in range(30)])
    assert said == ["PLACED"] * 30
    assert house.script.batches == [[f"r{n}" for n in range(30)]]
    assert house.script.log.count("prefetch 30") == 1
    assert house.money() == {"committed": 30 * USD}
    assert house.runtime.limiter.used() - used == 30  # this platform counts each bid of a batch


async def test_bids_that_do_not_fit_are_refused_and_the_others_placed(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build, budget={"limit": "100"})
    said = await place(house, [make_bid(f"r{n}", 15, campaign=str(n)) for n in range(10)])
    assert said.count("PLACED") == 6
    assert said.count("BUDGET_EXCEEDED") == 4
    assert house.money() == {"committed": 90 * USD}
    assert len(house.script.batches) == 1


async def test_what_the_platform_refuses_of_a_batch_is_given_back_alone(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build)

    async def refuse_one(request: Any, call: Call) -> None:
        if request.bid.request_id == "r1":
            raise PlatformRejected("not this one")

    house.script.sends = refuse_one
    said = await place(house, [make_bid(f"r{n}", 15, campaign=str(n)) for n in range(3)])
    assert said == ["PLACED", "PLATFORM_REJECTED", "PLACED"]
    assert house.money() == {"committed": 30 * USD}


async def test_a_malformed_bid_is_answered_and_touches_no_other(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build)
    bids = [make_bid("r0", 15, campaign="1"), make_bid("bad id", 15), make_bid("r2", 15)]
    assert await place(house, bids) == ["PLACED", "INVALID_BID", "PLACED"]
    assert house.script.log.count("prefetch 2") == 1


async def test_two_bids_on_one_target_follow_each_other_instead_of_waiting_for_each_other(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build)
    bids = [make_bid(f"r{n}", 15, campaign="1") for n in range(3)]
    said = await asyncio.wait_for(place(house, bids), 60)
    assert said == ["PLACED"] * 3
    assert sorted(house.script.batches) == [["r0"], ["r1"], ["r2"]]


async def test_two_batches_with_the_same_bids_in_opposite_order_do_not_block_each_other(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build)
    bids = [make_bid(f"r{n}", 15, campaign=str(n)) for n in range(4)]
    both = await asyncio.wait_for(asyncio.gather(place(house, bids), place(house, bids[::-1])), 60)
    assert both == [["PLACED"] * 4, ["PLACED"] * 4]
    assert sorted(r for batch in house.script.batches for r in batch) == ["r0", "r1", "r2", "r3"]
    assert house.money() == {"committed": 60 * USD}


async def test_a_request_id_that_stands_twice_in_a_batch_is_refused_both_times(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build)
    bids = [make_bid("r", 15, campaign="1"), make_bid("r", 15, campaign="2"), make_bid("s", 15)]
    assert await place(house, bids) == ["INVALID_BID", "INVALID_BID", "PLACED"]


async def test_an_unknown_outcome_of_a_batch_puts_all_of_its_bids_in_doubt(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build)

    async def lose(request: Any, call: Call) -> None:
        raise OutcomeUnknown("no answer")

    house.script.sends = lose
    said = await place(house, [make_bid(f"r{n}", 15, campaign=str(n)) for n in range(3)])
    assert said == ["OUTCOME_UNKNOWN"] * 3
    assert house.money() == {"in_doubt": 45 * USD}


async def test_a_batch_larger_than_the_platform_takes_goes_out_in_parts(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build()
    house.script.max_batch = 4
    said = await place(house, [make_bid(f"r{n}", 1, campaign=str(n)) for n in range(10)])
    assert said == ["PLACED"] * 10
    assert sorted(len(batch) for batch in house.script.batches) == [2, 4, 4]


async def test_with_the_breaker_open_every_bid_of_a_batch_is_deferred(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build)
    house.open_breaker()
    said = await place(house, [make_bid(f"r{n}", 15, campaign=str(n)) for n in range(3)])
    assert said == ["DEFERRED"] * 3
    assert house.script.batches == []


async def test_a_batch_that_the_rate_limit_does_not_let_out_holds_nothing(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build, rate_limit={"calls": 5, "window_s": 60})
    said = await place(house, [make_bid(f"r{n}", 15, campaign=str(n)) for n in range(6)])
    assert said == ["RATE_LIMITED"] * 6
    assert house.money() == {}
    assert house.script.batches == []
    assert house.runtime.limiter.used() == 0  # all or none


async def test_a_caller_who_hangs_up_on_a_batch_changes_nothing_of_what_is_held(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build)
    on_the_wire, answer = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, call: Call) -> None:
        on_the_wire.set()
        await answer.wait()

    house.script.sends = slow
    bids = [make_bid(f"r{n}", 15, campaign=str(n)) for n in range(3)]
    calling = house.begin(ads_pb2.PlaceBidsRequest(bids=bids))
    await on_the_wire.wait()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    answer.set()
    await house.until(lambda: house.money() == {"committed": 45 * USD})
    assert await place(house, bids) == ["PLACED"] * 3
    assert len(house.script.batches) == 1


async def test_bids_of_a_batch_that_the_platform_lost_count_against_it(
    build: Build, make_bid: MakeBid
) -> None:
    house = await together(build, circuit_breaker={"failure_threshold": 1})

    async def lose(planned: Any) -> list[Any]:
        return [OutcomeUnknown("no answer"), ads_pb2.PlaceBidResponse()]

    script: Any = house.script
    script.place_many = lose
    bids = [make_bid("r0", 15, campaign="1"), make_bid("r1", 15, campaign="2")]
    assert await place(house, bids) == ["OUTCOME_UNKNOWN", "PLACED"]
    assert not house.runtime.breaker.would_admit()
    assert house.money() == {"committed": 15 * USD, "in_doubt": 15 * USD}
