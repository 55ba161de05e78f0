"""One request id, one dispatch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors_server.errors import (
    DeadlineTooShort,
    OutcomeUnknown,
    Overloaded,
    PlatformRejected,
    PlatformUnavailable,
    RequestIdReused,
)
from smartconnectors_server.ledger import HoldState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

USD = 1_000_000


class Gate:
    """Sends wait at it until it is opened."""

    def __init__(self, house: House) -> None:
        self._opened = asyncio.Event()
        house.script.sends = self._wait

    async def _wait(self, request: Any, call: Any) -> None:
        await self._opened.wait()

    def open(self) -> None:
        self._opened.set()


async def test_a_finished_request_is_answered_from_memory(
    house: House, make_bid: Callable[..., Any]
) -> None:
    first = await house.call(make_bid("r"))
    again = await house.call(make_bid("r"))
    assert (first.result.replayed, again.result.replayed) == (False, True)
    assert again.result.platform_bid_id == first.result.platform_bid_id
    assert house.script.sent == ["r"]


async def test_a_running_request_is_joined(house: House, make_bid: Callable[..., Any]) -> None:
    gate = Gate(house)
    first = house.begin(make_bid("r"))
    await house.until(lambda: house.script.sent)
    second = house.begin(make_bid("r"))
    await asyncio.sleep(0)
    gate.open()
    assert not (await first).result.replayed
    assert (await second).result.replayed
    assert house.script.sent == ["r"]


async def test_who_joins_a_request_that_is_refused_hears_the_refusal(
    house: House, make_bid: Callable[..., Any]
) -> None:
    gate = Gate(house)
    wait = house.script.sends

    async def refuse(request: Any, call: Any) -> None:
        await wait(request, call)
        raise PlatformRejected("no")

    house.script.sends = refuse
    calls = [house.begin(make_bid("r")) for _ in range(3)]
    await house.until(lambda: house.script.sent)
    gate.open()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [PlatformRejected] * 3
    assert house.money() == {}


async def test_another_payload_under_a_running_or_finished_id_is_refused(
    house: House, make_bid: Callable[..., Any]
) -> None:
    gate = Gate(house)
    first = house.begin(make_bid("r", 15))
    await house.until(lambda: house.script.sent)
    assert isinstance(await house.refused(make_bid("r", 16)), RequestIdReused)
    gate.open()
    await first
    assert isinstance(await house.refused(make_bid("r", 16)), RequestIdReused)
    assert house.money() == {"committed": 15 * USD}


@pytest.mark.parametrize("error", [PlatformRejected("no"), OutcomeUnknown("lost")])
async def test_what_the_platform_refused_or_may_have_is_remembered(
    house: House, make_bid: Callable[..., Any], error: Exception
) -> None:
    async def fail(request: Any, call: Any) -> None:
        raise error

    house.script.sends = fail
    for _ in range(2):
        assert type(await house.refused(make_bid("r"))) is type(error)
    assert house.script.sent == ["r"]


async def test_what_was_provably_not_sent_is_tried_anew(
    house: House, make_bid: Callable[..., Any]
) -> None:
    async def fail(request: Any, call: Any) -> None:
        raise PlatformUnavailable("refused")

    good = house.script.sends
    house.script.sends = fail
    await house.refused(make_bid("r"))
    assert house.money() == {}
    house.script.sends = good
    assert await house.status(make_bid("r")) == "PLACED"
    assert house.script.sent == ["r", "r"]


async def test_a_stored_answer_comes_before_deadline_room_and_breaker_can_refuse(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    house = await build(server={"max_in_flight": 1}, min_deadline_ms=50)
    await house.call(make_bid("done"))
    gate = Gate(house)
    running = house.begin(make_bid("running", 16))
    await house.until(lambda: house.script.sent == ["done", "running"])
    house.open_breaker()
    answer = await house.call(make_bid("done"), deadline_s=0.001)
    assert answer.result.replayed
    error = await house.refused(make_bid("new", campaign="2"), deadline_s=10)
    assert isinstance(error, Overloaded)
    gate.open()
    await running
    error = await house.refused(make_bid("new", campaign="2"), deadline_s=0.049)
    assert isinstance(error, DeadlineTooShort)


async def test_a_caller_that_hangs_up_before_anything_is_held_ends_its_request(
    house: House, make_bid: Callable[..., Any]
) -> None:
    planning = asyncio.Event()

    async def stuck(request: Any, priced: Any) -> Any:
        planning.set()
        await asyncio.Event().wait()

    house.script.plans = stuck
    call = house.begin(make_bid("r"))
    await planning.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await house.until(lambda: len(house.runtime.targets) == 0)
    assert house.money() == {}


async def test_a_retry_in_the_very_moment_its_first_call_is_given_up_is_a_request_of_its_own(
    house: House, make_bid: Callable[..., Any]
) -> None:
    """The first call is being cancelled and has not ended yet when the second one comes."""
    planning = asyncio.Event()
    plan = house.script.plans

    async def stuck(request: Any, priced: Any) -> Any:
        planning.set()
        await asyncio.Event().wait()

    house.script.plans = stuck
    first = house.begin(make_bid("r"))
    await planning.wait()
    house.script.plans = plan
    first.cancel()
    second = house.begin(make_bid("r"))
    third = house.begin(make_bid("r"))
    assert (await second).result.budget.committed_micros == 15 * USD
    assert (await third).result.replayed
    assert first.cancelled()
    assert house.script.sent == ["r"]


async def test_while_anybody_waits_a_request_goes_on_though_others_hang_up(
    house: House, make_bid: Callable[..., Any]
) -> None:
    gate = asyncio.Event()
    plan = house.script.plans

    async def slow(request: Any, priced: Any) -> Any:
        await gate.wait()
        return await plan(request, priced)

    house.script.plans = slow
    first, second = house.begin(make_bid("r")), house.begin(make_bid("r"))
    await house.until(lambda: "plan" in house.script.log)
    await house.pass_time(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    gate.set()
    assert (await second).result.status
    assert house.script.sent == ["r"]


async def test_once_money_is_held_a_request_ends_by_itself_though_every_caller_hangs_up(
    house: House, make_bid: Callable[..., Any]
) -> None:
    gate = Gate(house)
    calls = [house.begin(make_bid("r")) for _ in range(3)]
    await house.until(lambda: house.script.sent)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert house.money() == {"held": 15 * USD}
    gate.open()
    await house.until(lambda: house.holds(HoldState.HELD) == 0)
    assert house.money() == {"committed": 15 * USD}


async def test_a_validation_is_neither_joined_nor_remembered(
    house: House, make_bid: Callable[..., Any]
) -> None:
    gate = Gate(house)
    request = make_bid("r", validate_only=True)
    calls = [house.begin(request) for _ in range(2)]
    await house.until(lambda: house.script.sent)
    gate.open()
    answers = await asyncio.gather(*calls)
    assert house.script.sent == ["r", "r"]
    assert [answer.result.replayed for answer in answers] == [False, False]
    assert house.money() == {}
    assert await house.status(make_bid("r")) == "PLACED"
