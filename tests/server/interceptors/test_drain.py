"""A server that stops: what is not sent yet is refused at once, what was read is answered, and
streams end with a word that the server ended them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.errors import PlatformUnavailable, ServerDraining

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.interceptors.conftest import Build, House

USD = 1_000_000


class Sending:
    """A platform that takes a change only when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()

    async def __call__(self, request: Any, call: Any) -> None:
        await self.let.wait()


async def read(house: House, messages: list[Any], answers: list[Any], *, ends: bool) -> None:
    """Sends them on one stream, and keeps it open unless it `ends`; gathers the answers."""

    async def raws() -> AsyncIterator[bytes]:
        for message in messages:
            yield ads_pb2.StreamBidsRequest(bid=message).SerializeToString()
        if not ends:
            await asyncio.Event().wait()

    async for answer in house.stream(raws()):
        answers.append(answer.answer)  # noqa: PERF401 - as they come


async def test_bids_of_a_stream_that_wait_for_one_campaign_are_refused_at_once(
    house: House, make_bid: Callable[..., Any]
) -> None:
    """One is at the platform and is answered when that has answered."""
    house.script.sends = sending = Sending()
    answers: list[Any] = []
    bids = [make_bid(f"r{number}", 1) for number in range(64)]
    reading = asyncio.ensure_future(read(house, bids, answers, ends=False))
    await house.until(lambda: house.script.sent == ["r0"])
    house.core.begin_drain()
    await house.until(lambda: len(answers) == 63)
    assert {answer.error.reason for answer in answers} == {24}
    assert not reading.done()
    sending.let.set()
    with pytest.raises(ServerDraining):
        await reading
    assert answers[-1].request_id == "r0"
    assert answers[-1].HasField("response")
    assert house.script.sent == ["r0"]
    assert house.money() == {"committed": 1 * USD}


async def test_every_bid_that_was_read_is_answered_before_the_server_ends_a_stream(
    house: House, make_bid: Callable[..., Any]
) -> None:
    answers: list[Any] = []
    bids = [make_bid(f"r{number}", 1, campaign=str(number)) for number in range(22)]
    reading = asyncio.ensure_future(read(house, bids, answers, ends=False))
    await house.until(lambda: len(house.script.sent) >= 3)
    house.core.begin_drain()
    with pytest.raises(ServerDraining) as ended:
        await reading
    assert "SAME request id" in ended.value.message
    sent = set(house.script.sent)
    assert sent == {answer.request_id for answer in answers if answer.HasField("response")}


async def test_a_stream_that_its_caller_has_ended_ends_well_while_the_server_drains(
    house: House, make_bid: Callable[..., Any]
) -> None:
    house.script.sends = sending = Sending()
    answers: list[Any] = []
    reading = asyncio.ensure_future(read(house, [make_bid("r")], answers, ends=True))
    await house.until(lambda: house.script.sent == ["r"])
    house.core.begin_drain()
    sending.let.set()
    await reading
    assert len(answers) == 1


async def test_a_bid_that_waits_for_what_the_platform_has_now_is_refused_at_once(
    house: House, make_bid: Callable[..., Any]
) -> None:
    async def hangs(_request: Any, _priced: Any) -> Any:
        await asyncio.Event().wait()

    house.script.plans = hangs
    placing = house.begin(make_bid("r"))
    await house.until(lambda: "plan" in house.script.log)
    house.core.begin_drain()
    with pytest.raises(ServerDraining) as refused:
        await placing
    assert "Nothing was sent" in refused.value.message
    assert refused.value.retry_after_s
    assert house.money() == {}


async def test_a_bid_that_waits_for_its_platform_to_be_connected_is_refused_at_once(
    build: Build, make_bid: Callable[..., Any]
) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    house = await build(connects=hangs)
    placing = house.begin(make_bid("r"))
    await house.pass_time(0)
    house.core.begin_drain()
    with pytest.raises(ServerDraining):
        await placing


async def test_a_bid_that_comes_while_the_server_drains_is_refused(
    house: House, make_bid: Callable[..., Any]
) -> None:
    house.core.begin_drain()
    assert isinstance(await house.refused(make_bid("r")), ServerDraining)


async def test_what_was_answered_before_is_answered_while_the_server_drains(
    house: House, make_bid: Callable[..., Any]
) -> None:
    assert await house.status(make_bid("r")) == "PLACED"
    house.core.begin_drain()
    assert await house.status(make_bid("r")) == "PLACED"


async def test_a_batch_that_waits_for_one_campaign_is_refused_bid_by_bid(
    house: House, make_bid: Callable[..., Any]
) -> None:
    house.script.sends = sending = Sending()
    first = house.begin(make_bid("first", 1))
    await house.until(lambda: house.script.sent == ["first"])
    batch = house.begin(ads_pb2.PlaceBidsRequest(bids=[make_bid("a", 1), make_bid("b", 1)]))
    await house.pass_time(0)
    house.core.begin_drain()
    answer = await batch
    assert [one.error.reason for one in answer.answers] == [24, 24]
    sending.let.set()
    await first


async def test_a_deferred_bid_that_is_being_planned_stays_deferred_when_the_server_drains(
    house: House, make_bid: Callable[..., Any]
) -> None:
    house.open_breaker()
    assert await house.status(make_bid("r")) == "DEFERRED"

    async def hangs(_request: Any, _priced: Any) -> Any:
        await asyncio.Event().wait()

    house.script.plans = hangs
    await house.until(lambda: "plan" in house.script.log, passing_s=1)
    await asyncio.wait_for(house.app.stop(), 5)
    assert house.script.sent == []


async def test_deferred_bids_that_wait_are_logged_at_most_once_a_minute(
    house: House, make_bid: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """They are looked at four times a second."""
    caplog.set_level("INFO")
    house.open_breaker()
    for number in range(3):
        request = make_bid(f"r{number}", campaign=str(number))
        assert await house.status(request) == "DEFERRED"

    async def away(_request: Any, _priced: Any) -> Any:
        raise PlatformUnavailable("nobody answers")

    house.script.plans = away
    begun_ns = house.clock.monotonic_ns()
    await house.until(lambda: house.clock.monotonic_ns() - begun_ns > 180 * 10**9, passing_s=0.25)
    lines = [line for line in caplog.messages if "waits" in line or "deferred bids wait" in line]
    assert 1 <= len(lines) <= 4
    assert "times in" in lines[-1]
