"""More callers than the server takes, readers that do not read, connections that get nowhere."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from tests.soak.half_open import Kind, open_and_wait

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.budgets.v1 import budget_service_pb2_grpc as budgets_grpc
from smartconnectors.common.v1 import bid_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2_grpc as ads_grpc
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.interceptors.many import STREAM_CONCURRENCY

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Link, Stage, Words

USD = 1_000_000
CALLERS = 2_500
CONNECTIONS = 5
MAX_IN_FLIGHT = 64
HALF_OPEN_OF_EACH = 40
CAMPAIGNS = tuple(str(1001 + number) for number in range(8))
LEAST_ON_THE_WAY = (("grpc.http2.lookahead_bytes", 1), ("grpc.http2.bdp_probe", 0))
"""The least that HTTP/2 lets wait unread at a client: what is left is our own bound."""
APART = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
"""Channels with this do not share a connection."""
PATIENT = {"slow_call_ms": 60_000}
"""However slow this machine is, the circuit breaker stays closed."""


def rss_kib(process_id: int) -> int:
    with open(f"/proc/{process_id}/status") as status:  # noqa: PTH123 - not a file on a disk
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


async def test_callers_beyond_capacity_are_refused_early_and_the_others_served(
    stage: Stage, say: Words
) -> None:
    server = await stage.process(
        server={"max_in_flight": MAX_IN_FLIGHT},
        budget={"limit": str(CALLERS)},
        # The sandbox shares this process with thousands of callers, so it may be slow.
        timeout_ms=60_000,
        circuit_breaker=PATIENT,
    )
    # Who is served has to wait for others on the same campaign: capacity is what is short.
    await stage.fault(FaultKind.SLOW, times=CALLERS, delay_ms=1_000)
    requests = [
        say.bid(f"caller-{n}", 1, campaign=CAMPAIGNS[n % 8], ltv_usd=2 + n / 1000)
        for n in range(CALLERS)
    ]
    channels = [grpc.aio.insecure_channel(server.address, APART) for _ in range(CONNECTIONS)]
    stubs: list[Any] = [ads_grpc.GoogleAdsServiceStub(channel) for channel in channels]

    served: dict[str, int] = {}
    refused: dict[int, Any] = {}
    places = itertools.count()  # in the order in which answers come

    async def ask(request: ads_pb2.PlaceBidRequest, stub: Any) -> None:
        try:
            answer = (await stub.PlaceBid(request, timeout=600)).result
        except grpc.aio.AioRpcError as error:
            refused[next(places)] = say.refusal_of(error)
        else:
            assert answer.status == bid_pb2.BID_STATUS_PLACED
            served[request.bid.request_id] = next(places)

    await asyncio.gather(*(ask(r, stubs[n % CONNECTIONS]) for n, r in enumerate(requests)))

    assert {refusal.reason for refusal in refused.values()} == {"OVERLOADED"}
    assert all(refusal.retry_s is not None for refusal in refused.values())
    assert len(served) >= MAX_IN_FLIGHT
    assert len(refused) >= CALLERS // 2
    assert statistics.median(refused) < statistics.median(served.values())

    # The platform has what was served, each once, and nothing else; nothing is held any more.
    applied = Counter(entry.facts["target_roas"] for entry in stage.mutates())
    sent = {n: 2 + n / 1000 for n in range(CALLERS) if f"caller-{n}" in served}
    assert sorted(applied) == pytest.approx(sorted(sent.values()), abs=1e-6)
    assert set(applied.values()) == {1}
    assert await server.money() == {"committed": len(served) * USD}
    assert not (await server.budgets.ListHolds(budgets_pb2.ListHoldsRequest())).holds

    # Who was refused may come again at once.
    await stage.sandbox.clear_faults()
    again = next(r for r in requests if r.bid.request_id not in served)
    assert (await server.place(again)).status == bid_pb2.BID_STATUS_PLACED
    await asyncio.gather(*(channel.close() for channel in channels))


async def place_many(server: Link, say: Words, first: int, count: int) -> None:
    """Places that many bids, a few at a time."""
    room = asyncio.Semaphore(8)

    async def one(number: int) -> None:
        request = say.bid(
            f"r{number}", 1, campaign=CAMPAIGNS[number % 8], ltv_usd=2 + number / 10_000
        )
        async with room:
            answer = await server.place(request)
        assert answer.status == bid_pb2.BID_STATUS_PLACED, answer

    await asyncio.gather(*(one(n) for n in range(first, first + count)))


async def test_watchers_that_never_read_cost_no_memory_and_hold_up_no_bid(
    stage: Stage, say: Words
) -> None:
    server = await stage.process(budget={"limit": "1000000"}, circuit_breaker=PATIENT)
    # What memory holds of bids themselves comes first, so that only the unread changes are new.
    await place_many(server, say, 0, 900)
    before = rss_kib(server.process.pid)
    await place_many(server, say, 900, 300)
    by_the_bids_kib = rss_kib(server.process.pid) - before

    channels = [
        grpc.aio.insecure_channel(server.address, (*APART, *LEAST_ON_THE_WAY)) for _ in range(50)
    ]
    watching = [
        budgets_grpc.BudgetServiceStub(channel).WatchBudgetStats(
            budgets_pb2.WatchBudgetStatsRequest(budget_ids=["google_ads"])
        )
        for channel in channels
    ]
    await asyncio.gather(*(call.read() for call in watching))
    await place_many(server, say, 1_200, 300)
    before = rss_kib(server.process.pid)
    await place_many(server, say, 1_500, 300)
    grown_kib = rss_kib(server.process.pid) - before

    # 300 bids are some 600 changes for each of the 50.
    assert grown_kib < max(by_the_bids_kib, 1_000) + 1_000
    for call in watching:
        call.cancel()
    await asyncio.gather(*(channel.close() for channel in channels))


async def test_a_stream_whose_answers_are_never_read_stops_taking_bids(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve(budget={"limit": "1000000"}, circuit_breaker=PATIENT)
    channel = grpc.aio.insecure_channel(server.address, (*APART, *LEAST_ON_THE_WAY))
    call: Any = ads_grpc.GoogleAdsServiceStub(channel).StreamBids()

    async def send() -> None:
        for number in range(10 * STREAM_CONCURRENCY):
            ltv_usd = 2 + number / 10_000
            bid = say.bid(f"r{number}", 1, campaign=CAMPAIGNS[number % 8], ltv_usd=ltv_usd)
            await call.write(ads_pb2.StreamBidsRequest(bid=bid))

    sending = asyncio.create_task(send())
    await say.eventually(lambda: len(stage.mutates()), lambda n: n >= STREAM_CONCURRENCY)
    # Others are served meanwhile, more of them than the stream could have sent.
    others = 2 * STREAM_CONCURRENCY
    for number in range(others):
        request = say.bid(f"o{number}", 1, campaign=CAMPAIGNS[number % 8], ltv_usd=3 + number / 1e4)
        assert (await server.place(request)).status == bid_pb2.BID_STATUS_PLACED
    assert len(stage.mutates()) - others <= STREAM_CONCURRENCY + len(CAMPAIGNS)

    # What was taken is done and known, though nobody read it.
    sending.cancel()
    call.cancel()
    await channel.close()
    await server.settled_to(committed=len(stage.mutates()) * USD)


async def test_connections_that_get_nowhere_hold_up_no_bid(stage: Stage, say: Words) -> None:
    server = await stage.process(budget={"limit": "1000000"}, circuit_breaker=PATIENT)
    await place_many(server, say, 0, 500)
    before_kib = rss_kib(server.process.pid)

    async def always_one(kind: Kind) -> None:
        """However long it takes: the server closes each after a while."""
        while True:
            await open_and_wait(server.address, kind, drip_every_s=0.2)

    opened = [
        asyncio.create_task(always_one(kind)) for kind in Kind for _ in range(HALF_OPEN_OF_EACH)
    ]
    await place_many(server, say, 500, 200)
    grown_kib = rss_kib(server.process.pid) - before_kib
    assert not any(connection.done() for connection in opened)  # it was measured beside them
    for connection in opened:
        connection.cancel()
    await asyncio.gather(*opened, return_exceptions=True)
    assert grown_kib < 100 * len(opened)
