"""The kill switch against real platforms' sandboxes: no bid begins after a pause was acknowledged,
and campaigns are paused whatever stands before bids.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Link, Server, Stage, Words

USD = 1_000_000
NAMES = sorted(PLATFORMS)
BIDDERS = 24
CAMPAIGNS = [str(number) for number in range(1001, 1009)]


async def pause(server: Link, scope: str, wait_s: int = 0) -> pb.PauseBudgetResponse:
    request = pb.PauseBudgetRequest(budget_id=scope, reason="stop", wait=Duration(seconds=wait_s))
    answer: pb.PauseBudgetResponse = await server.budgets.PauseBudget(request, timeout=30)
    return answer


async def resume(server: Link, scope: str) -> None:
    await server.budgets.ResumeBudget(pb.ResumeBudgetRequest(budget_id=scope, reason="go on"))


async def pause_campaigns(server: Link, **asked: Any) -> dict[str, str]:
    """Campaign -> what became of it."""
    request = pb.PauseCampaignsRequest(reason="stop", **asked)
    answer = await server.budgets.PauseCampaigns(request, timeout=60)
    return outcomes(answer)


async def resume_campaigns(server: Link, **asked: Any) -> dict[str, str]:
    request = pb.ResumeCampaignsRequest(reason="go on", **asked)
    return outcomes(await server.budgets.ResumeCampaigns(request, timeout=60))


def outcomes(answer: Any) -> dict[str, str]:
    return {
        f"{one.platform} {one.campaign_id}": pb.CampaignOutcome.Name(one.outcome).removeprefix(
            "CAMPAIGN_OUTCOME_"
        )
        for one in answer.campaigns
    }


async def bid_on(
    server: Server, name: str, request_id: str, campaign: str = "1001", usd: int = 5
) -> Any:
    """One bid on any platform."""
    method = PLATFORMS[name].service.methods_by_name["PlaceBid"]
    request: Any = GetMessageClass(method.input_type)(
        bid=bid_pb2.BidRequest(
            request_id=request_id,
            campaign_id=campaign,
            bid_micros=usd * USD,
            predicted_ltv_micros=30 * USD,
        )
    )
    call: Any = server.channel.unary_unary(
        f"/{PLATFORMS[name].service.full_name}/PlaceBid",
        request_serializer=type(request).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    return await call(request, timeout=60)


async def bid_without_end(server: Server, say: Words, number: int, campaign: str) -> None:
    """Bids again and again, each time something else, whatever is answered."""
    for count in itertools.count():
        request = say.bid(
            f"b{number}-{count}", 0.01, campaign=campaign, ltv_usd=0.02 + count % 50 / 100
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            await server.place(request)


@pytest.mark.parametrize("scope", ["google_ads", "google_ads/campaigns/1003", "all"])
async def test_nothing_is_begun_after_a_pause_was_acknowledged(
    stage: Stage, say: Words, scope: str
) -> None:
    server = await stage.serve(budget={"limit": "100000"})
    campaigns = ["1003"] if "campaigns" in scope else CAMPAIGNS
    bidding = [
        asyncio.ensure_future(
            bid_without_end(server, say, number, campaigns[number % len(campaigns)])
        )
        for number in range(BIDDERS)
    ]
    try:
        for _ in range(3):
            before = len(stage.mutates())
            await say.eventually(stage.mutates, lambda found, n=before: len(found) > n + 10)
            answer = await pause(server, scope, wait_s=10)
            at_the_platform = len(stage.sandbox.journal())
            assert answer.in_flight_count == 0
            assert answer.HasField("last_dispatch_ended_at")
            await asyncio.gather(*(refused_on(server, say, scope, campaigns) for _ in range(5)))
            assert len([e for e in stage.sandbox.journal()[at_the_platform:] if e.changes]) == 0
            await resume(server, scope)
    finally:
        for task in bidding:
            task.cancel()
        await asyncio.gather(*bidding, return_exceptions=True)


async def refused_on(server: Server, say: Words, scope: str, campaigns: list[str]) -> None:
    refusal = await say.refused(server.place(say.bid("late", 5, campaign=campaigns[0])))
    assert refusal.reason == "BUDGET_PAUSED"
    assert refusal.metadata["budget_id"] == scope
    assert "nothing was held" in refusal.message


async def test_what_is_being_sent_at_the_pause_is_in_its_answer_and_is_waited_for(
    stage: Stage, say: Words
) -> None:
    server = await stage.serve()
    await stage.fault(FaultKind.SLOW, delay_ms=400)
    placing = asyncio.ensure_future(server.place(say.bid("slow", 15)))
    await say.eventually(server.money, lambda money: money == {"held": 15 * USD})
    at_once = await pause(server, "google_ads/campaigns/1001")
    assert (at_once.in_flight_count, at_once.in_flight_micros) == (1, 15 * USD)
    assert at_once.currency_code == "USD"
    assert not at_once.HasField("last_dispatch_ended_at")
    later = await pause(server, "google_ads/campaigns/1001", wait_s=10)
    assert (later.in_flight_count, later.HasField("last_dispatch_ended_at")) == (0, True)
    assert (await placing).status == bid_pb2.BID_STATUS_PLACED


async def test_pauses_of_bids_and_of_campaigns_survive_a_kill(stage: Stage, say: Words) -> None:
    process = await stage.process()
    await process.place(say.bid("a", 15, campaign="1002"))
    await pause(process, "google_ads/campaigns/1001")
    await pause(process, "all")
    assert await pause_campaigns(process) == {"google_ads 1002": "PAUSED"}
    await process.kill()
    process = await stage.process()
    for scope, request in (
        ("all", say.bid("b", 16, campaign="1002")),
        ("google_ads/campaigns/1001", say.bid("c", 15, campaign="1001")),
    ):
        refusal = await say.refused(process.place(request))
        assert (refusal.reason, refusal.metadata["budget_id"]) == ("BUDGET_PAUSED", scope)
        assert "paused by an operator: stop." in refusal.message
        await resume(process, scope)
    assert await resume_campaigns(process) == {"google_ads 1002": "RESUMED"}
    assert len(stage.mutates()) == 3


@pytest.mark.parametrize("name", NAMES)
async def test_neither_an_open_breaker_nor_a_full_and_paused_budget_stops_a_pause(
    stage: Stage, say: Words, name: str
) -> None:
    each = {name: {"budget": {"limit": "5"}, "circuit_breaker": {"open_s": 600}}}
    server = await stage.serve(each=each)
    await bid_on(server, name, "first")
    assert (await say.refused(bid_on(server, name, "second", "1002"))).reason == "BUDGET_EXCEEDED"
    await pause(server, name)
    breaker = server.core.runtimes[name].breaker
    while breaker.would_admit():
        breaker.acquire().fail()
    assert await pause_campaigns(server) == {f"{name} 1001": "PAUSED"}
    assert await is_paused(stage, name)


@pytest.mark.parametrize("name", NAMES)
async def test_bids_leave_the_reserved_share_of_the_quota_to_pauses(
    stage: Stage, say: Words, name: str
) -> None:
    each = {name: {"rate_limit": {"calls": 20, "window_s": 3600, "reserve_percent": 20}}}
    server = await stage.serve(each=each)
    used_up = False
    for number in range(20):
        try:
            await bid_on(server, name, f"r{number}", CAMPAIGNS[number % 2], 5 + number)
        except grpc.aio.AioRpcError as error:
            used_up = say.refusal_of(error).reason == "RATE_LIMITED"
    assert used_up
    paused = await pause_campaigns(server, platform=name)
    assert paused == {f"{name} 1001": "PAUSED", f"{name} 1002": "PAUSED"}
    assert await is_paused(stage, name)


async def is_paused(stage: Stage, name: str) -> bool:
    """Whether campaign 1001 is, by what another server finds when it resumes it."""
    other = await stage.serve(state="other")
    method = PLATFORMS[name].service.methods_by_name["ResumeCampaign"]
    request: Any = GetMessageClass(method.input_type)()
    request.update.campaign_id = "1001"
    call: Any = other.channel.unary_unary(
        f"/{PLATFORMS[name].service.full_name}/ResumeCampaign",
        request_serializer=type(request).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    return bool((await call(request, timeout=60)).result.changed)


@pytest.mark.parametrize("name", NAMES)
async def test_only_what_we_paused_is_resumed(stage: Stage, say: Words, name: str) -> None:
    server = await stage.serve()
    for number, campaign in enumerate(CAMPAIGNS[:2]):
        await bid_on(server, name, f"r{number}", campaign)
    person = await stage.serve(state="a person's")
    assert await pause_campaigns(person, platform=name, campaign_ids=["1002"])
    paused = await pause_campaigns(server)
    assert paused == {f"{name} 1001": "PAUSED", f"{name} 1002": "ALREADY_PAUSED"}
    await server.stop()
    server = await stage.serve()
    assert await resume_campaigns(server) == {f"{name} 1001": "RESUMED"}
    named = await resume_campaigns(server, platform=name, campaign_ids=["1001", "1002"])
    assert named == {f"{name} 1001": "LEFT", f"{name} 1002": "LEFT"}
