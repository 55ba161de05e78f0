"""The guards of changes hold however a bid comes: alone, in a batch, in a stream, or deferred."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.common.v1 import errors_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.errors import (
    BudgetExceeded,
    PlatformRejected,
    RateLimited,
    StepTooLarge,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.server.interceptors.conftest import Build, House

    MakeBid = Callable[..., Any]

USD = 1_000_000


def said(answer: Any) -> str:
    """The status of a bid's answer, or why it was refused."""
    if answer.WhichOneof("answer") == "error":
        return errors_pb2.ErrorReason.Name(answer.error.reason).removeprefix("ERROR_REASON_")
    result = answer.response.result
    status = result.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[result.status]
    return str(status.name).removeprefix("BID_STATUS_")


async def alone(house: House, bids: list[Any]) -> list[str]:
    answers = []
    for bid in bids:
        try:
            answers.append(await house.status(bid))
        except (StepTooLarge, RateLimited) as error:
            answers.append(error.reason)
    return answers


async def batch(house: House, bids: list[Any]) -> list[str]:
    house.script.max_batch = 50
    answer = await house.call(ads_pb2.PlaceBidsRequest(bids=bids))
    return [said(one) for one in answer.answers]


async def stream(house: House, bids: list[Any]) -> list[str]:
    async def raws() -> AsyncIterator[bytes]:
        for bid in bids:
            yield ads_pb2.StreamBidsRequest(bid=bid).SerializeToString()

    found = {}
    async for response in house.stream(raws()):
        found[response.answer.request_id] = said(response.answer)
    return [found[bid.bid.request_id] for bid in bids]


WAYS = {"alone": alone, "batch": batch, "stream": stream}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_step_that_is_too_large_is_refused_and_holds_nothing(
    build: Build, make_bid: MakeBid, way: Any
) -> None:
    house = await build(max_step_percent=30)
    house.script.after_value = 131
    bids = [make_bid("a"), make_bid("b", campaign="2")]
    assert await way(house, bids) == ["STEP_TOO_LARGE"] * 2
    assert house.script.sent == house.script.batches == []
    assert house.money() == {}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_too_small_a_change_costs_nothing_not_even_room_in_a_full_budget(
    build: Build, make_bid: MakeBid, way: Any
) -> None:
    house = await build(min_change_percent=5, budget={"limit": "15"}, rate_limit={"calls": 1})
    house.script.after_value = 110
    assert await house.status(make_bid("full")) == "PLACED"
    house.script.after_value = 104
    bids = [make_bid("a"), make_bid("b", campaign="2")]
    assert await way(house, bids) == ["UNCHANGED"] * 2
    assert house.script.sent == ["full"]
    assert house.money() == {"committed": 15 * USD}
    assert house.runtime.limiter.used() == 1


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_target_is_changed_once_within_its_interval(
    build: Build, make_bid: MakeBid, way: Any
) -> None:
    house = await build(min_interval_s=60)
    house.script.after_value = 110
    bids = [make_bid("a"), make_bid("b"), make_bid("c", campaign="2")]
    assert sorted(await way(house, bids)) == ["PLACED", "PLACED", "RATE_LIMITED"]
    assert house.money() == {"committed": 30 * USD}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_bid_above_the_largest_is_refused_with_the_numbers_before_anything_is_read(
    build: Build, make_bid: MakeBid, way: Any
) -> None:
    house = await build(max_bid="15")
    assert await way(house, [make_bid("a", 15), make_bid("b", 16)]) == ["PLACED", "STEP_TOO_LARGE"]
    error = await house.refused(make_bid("c", 16))
    assert error.metadata == {"bid_micros": str(16 * USD), "max_bid_micros": str(15 * USD)}
    assert "$16.00 is above the largest that may be set, $15.00" in error.message
    assert house.script.log.count("plan") == 1
    assert house.money() == {"committed": 15 * USD}


async def test_a_bid_above_the_largest_is_refused_while_the_breaker_is_open_too(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(max_bid="15")
    house.open_breaker()
    assert isinstance(await house.refused(make_bid("r", 16)), StepTooLarge)
    assert house.money() == {}


async def test_a_reduction_may_end_above_the_largest_bid(build: Build, make_bid: MakeBid) -> None:
    """Somebody has lowered the cap below what the campaign bids; going down must stay possible."""
    house = await build(max_bid="15")
    house.script.after_value = 90
    assert await house.status(make_bid("r", 16, reduce_only=True)) == "PLACED"
    assert house.money() == {}


@pytest.mark.parametrize("open_circuit", [False, True], ids=["sent", "deferred"])
async def test_the_heuristics_price_is_lowered_to_the_largest_bid(
    build: Build, make_bid: MakeBid, open_circuit: bool
) -> None:
    house = await build(max_bid="12.50")
    if open_circuit:
        house.open_breaker()
    answer = await house.call(make_bid("r", None))
    assert answer.result.bid_micros == 12_500_000
    assert answer.result.uncapped_fallback_micros == 20 * USD


async def test_a_reduction_passes_an_exhausted_budget_and_a_bid_does_not(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(budget={"limit": "15"}, max_step_percent=30)
    assert await house.status(make_bid("full")) == "PLACED"
    assert isinstance(await house.refused(make_bid("more")), BudgetExceeded)
    house.script.after_value = 50  # far more than a step, and downwards
    assert await house.status(make_bid("less", reduce_only=True)) == "PLACED"
    assert house.money() == {"committed": 15 * USD}


# Deferred bids: their guards can only be asked when they are sent


async def deferred(house: House, request: Any) -> None:
    house.open_breaker()
    assert await house.status(request) == "DEFERRED"


async def test_a_deferred_bid_whose_step_is_too_large_is_ended_and_says_so(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(max_step_percent=30)
    house.script.after_value = 131
    await deferred(house, make_bid("r"))
    await house.pass_time(40)
    await house.until(lambda: house.money() == {})
    assert house.script.sent == []
    error = await house.refused(make_bid("r"))
    assert isinstance(error, PlatformRejected)
    assert "31.0 %" in error.message


async def test_a_deferred_bid_that_would_change_too_little_is_given_back(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(min_change_percent=5)
    house.script.after_value = 104
    await deferred(house, make_bid("r"))
    await house.pass_time(40)
    await house.until(lambda: house.money() == {})
    assert house.script.sent == []


async def test_a_deferred_bid_waits_for_the_interval_of_its_target_and_holds_up_no_other(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(min_interval_s=120)
    house.script.after_value = 110
    assert await house.status(make_bid("before")) == "PLACED"
    await deferred(house, make_bid("soon"))
    await deferred(house, make_bid("elsewhere", campaign="2"))
    await house.pass_time(60)
    await house.until(lambda: house.script.sent == ["before", "elsewhere"], passing_s=0.3)
    await house.pass_time(60)
    await house.until(lambda: house.script.sent == ["before", "elsewhere", "soon"], passing_s=0.3)


async def test_a_target_that_a_deferred_bid_has_changed_is_left_alone_for_its_interval(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(min_interval_s=60)
    house.script.after_value = 110
    await deferred(house, make_bid("waited"))
    await house.pass_time(40)
    await house.until(lambda: house.script.sent == ["waited"])
    assert isinstance(await house.refused(make_bid("next")), RateLimited)
    assert house.script.sent == ["waited"]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_step_is_as_large_as_the_largest_change_in_it(
    build: Build, make_bid: MakeBid, way: Any
) -> None:
    """A ceiling beside the bid is set by the same change."""
    house = await build(max_step_percent=30)
    house.script.after_value = 110
    house.script.beside = ((100, 131),)
    assert await way(house, [make_bid("a")]) == ["STEP_TOO_LARGE"]
    house.script.beside = ((100, 130), (0, 999))
    assert await way(house, [make_bid("b")]) == ["PLACED"]


async def test_a_change_is_as_small_as_the_largest_change_in_it(
    build: Build, make_bid: MakeBid
) -> None:
    house = await build(min_change_percent=5)
    house.script.after_value = 101
    house.script.beside = ((100, 120),)
    assert await house.status(make_bid("a")) == "PLACED"
