"""What every platform of the registry does alike, asked for through gRPC and seen at its sandbox.

Nothing here knows a platform: requests are made from the descriptors, and what a bid looks like on
the wire is what the platform itself says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from smartconnectors.common.v1 import bid_pb2, connector_pb2, errors_pb2
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.platforms import PLATFORMS

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words

USD = 1_000_000
LTV_USD = 30
NAMES = sorted(PLATFORMS)

pytestmark = pytest.mark.parametrize("name", NAMES)


class Caller:
    """Calls one platform's service on a server, and looks at its sandbox."""

    def __init__(self, stage: Stage, server: Server, name: str) -> None:
        self.name = name
        self.server = server
        self._platform = PLATFORMS[name]
        self._sandbox = stage.sandboxes[name]
        assert self._platform.command_line is not None
        self._line = self._platform.command_line()

    def request(self, method: str, **fields: Any) -> Any:
        """A request of that method."""
        descriptor = self._platform.service.methods_by_name[method]
        return GetMessageClass(descriptor.input_type)(**fields)

    def bid(self, request_id: str, usd: int, campaign: str = "1001", **fields: Any) -> Any:
        """The barest bid there is."""
        common = bid_pb2.BidRequest(
            request_id=request_id,
            campaign_id=campaign,
            bid_micros=usd * USD,
            predicted_ltv_micros=LTV_USD * USD,
            **fields,
        )
        return self.request("PlaceBid", bid=common)

    async def ask(self, method: str, request: Any = None) -> Any:
        """One unary call."""
        descriptor = self._platform.service.methods_by_name[method]
        call: Any = self.server.channel.unary_unary(
            self._path(method),
            request_serializer=GetMessageClass(descriptor.input_type).SerializeToString,
            response_deserializer=GetMessageClass(descriptor.output_type).FromString,
        )
        return await call(self.request(method) if request is None else request, timeout=60)

    def stream(self, requests: AsyncIterator[Any]) -> Any:
        """A StreamBids."""
        descriptor = self._platform.service.methods_by_name["StreamBids"]
        call: Any = self.server.channel.stream_stream(
            self._path("StreamBids"),
            request_serializer=GetMessageClass(descriptor.input_type).SerializeToString,
            response_deserializer=GetMessageClass(descriptor.output_type).FromString,
        )
        return call(requests, timeout=30)

    def _path(self, method: str) -> str:
        return f"/{self._platform.service.full_name}/{method}"

    async def committed_usd(self) -> float:
        """What the budget says is committed; nothing else may be open in it."""
        stats = await self.server.stats(self.name)
        assert (stats.held_micros, stats.deferred_micros, stats.in_doubt_micros) == (0, 0, 0)
        return stats.committed_micros / USD

    def changes(self) -> int:
        """Requests that the sandbox applied."""
        return sum(entry.changes and entry.applied for entry in self._sandbox.journal())

    def assert_applied(self, bids: Sequence[Any]) -> None:
        """The sandbox applied these bids, each once, and no other."""
        seen = [
            pair
            for entry in self._sandbox.journal()
            if entry.changes and entry.applied
            for pair in self._line.wire_values(entry.facts)
        ]
        sent = [
            (
                one.bid.campaign_id,
                self._line.wire_value(one.bid.bid_micros, one.bid.predicted_ltv_micros),
            )
            for one in bids
        ]
        assert [campaign for campaign, _ in sorted(seen)] == [c for c, _ in sorted(sent)]
        values = [value for _, value in sorted(seen)]
        assert values == pytest.approx([value for _, value in sorted(sent)], abs=1e-4)


def reason_of(answer: Any) -> str:
    """`INVALID_BID`, of a BidAnswer that is an error."""
    assert answer.WhichOneof("answer") == "error", answer
    return errors_pb2.ErrorReason.Name(answer.error.reason).removeprefix("ERROR_REASON_")


async def test_the_barest_bid_is_placed_once_however_often_it_is_asked_for(
    stage: Stage, name: str
) -> None:
    caller = Caller(stage, await stage.serve(), name)
    bid = caller.bid("r", 15)
    first = (await caller.ask("PlaceBid", bid)).result
    again = (await caller.ask("PlaceBid", bid)).result
    assert (first.status, first.source) == (bid_pb2.BID_STATUS_PLACED, bid_pb2.BID_SOURCE_AI)
    assert (first.bid_micros, first.currency_code) == (15 * USD, "USD")
    assert first.platform_bid_id
    assert (first.replayed, again.replayed) == (False, True)
    assert again.platform_bid_id == first.platform_bid_id
    assert await caller.committed_usd() == 15
    caller.assert_applied([bid])


async def test_what_became_of_a_bid_can_be_asked_and_of_an_unknown_one_is_said_so(
    stage: Stage, say: Words, name: str
) -> None:
    caller = Caller(stage, await stage.serve(), name)
    placed = (await caller.ask("PlaceBid", caller.bid("r", 15))).result
    answer = (await caller.ask("GetBid", caller.request("GetBid", request_id="r"))).answer
    assert answer.request_id == "r"
    assert answer.response.result.status == bid_pb2.BID_STATUS_PLACED
    assert answer.response.result.platform_bid_id == placed.platform_bid_id
    refusal = await say.refused(caller.ask("GetBid", caller.request("GetBid", request_id="never")))
    assert (refusal.reason, refusal.code) == ("NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    assert caller.changes() == 1


async def test_a_connector_says_where_it_is_and_what_it_has_used(stage: Stage, name: str) -> None:
    caller = Caller(stage, await stage.serve(each={name: {"rate_limit": {"calls": 50}}}), name)
    await caller.ask("PlaceBid", caller.bid("r", 15))
    status = (await caller.ask("GetConnectorStatus")).status
    assert (status.platform, status.mode) == (name, connector_pb2.CONNECTOR_MODE_SANDBOX)
    assert status.connected
    assert status.circuit_state == bid_pb2.CIRCUIT_STATE_CLOSED
    assert status.rate_limit_calls == 50
    assert 2 <= status.used_calls <= 5  # at least a read and the change
    assert status.headroom_calls == 50 - status.used_calls
    assert (status.budget.budget_id, status.budget.committed_micros) == (name, 15 * USD)
    assert (status.fallback_count, status.deferred_count, status.in_doubt_count) == (0, 0, 0)


async def test_of_a_batch_each_bid_gets_its_own_answer_in_order_and_holds_its_own_money(
    stage: Stage, name: str
) -> None:
    caller = Caller(stage, await stage.serve(), name)
    bids = [
        caller.bid("r1", 15),
        caller.bid("not an id", 16, "1002"),
        caller.bid("r3", 20, "1003"),
    ]
    answers = (await caller.ask("PlaceBids", caller.request("PlaceBids", bids=bids))).answers
    assert [answer.request_id for answer in answers] == ["r1", "not an id", "r3"]
    assert reason_of(answers[1]) == "INVALID_BID"
    assert [one.field for one in answers[1].error.violations] == ["bid.request_id"]
    for answer, usd in ((answers[0], 15), (answers[2], 20)):
        result = answer.response.result
        assert (result.status, result.bid_micros) == (bid_pb2.BID_STATUS_PLACED, usd * USD)
    assert await caller.committed_usd() == 35
    caller.assert_applied([bids[0], bids[2]])


async def test_a_batch_that_is_sent_again_is_answered_from_memory(stage: Stage, name: str) -> None:
    caller = Caller(stage, await stage.serve(), name)
    bids = [caller.bid("r1", 15), caller.bid("r2", 20, "1002")]
    request = caller.request("PlaceBids", bids=bids)
    await caller.ask("PlaceBids", request)
    again = (await caller.ask("PlaceBids", request)).answers
    assert [answer.response.result.replayed for answer in again] == [True, True]
    assert await caller.committed_usd() == 35
    caller.assert_applied(bids)


async def test_an_error_is_one_message_of_a_stream_and_not_its_end(stage: Stage, name: str) -> None:
    caller = Caller(stage, await stage.serve(), name)
    bids = [
        caller.bid(f"r{number}", 11 + number, "999" if number == 7 else str(1001 + number % 8))
        for number in range(20)
    ]

    async def requests() -> AsyncIterator[Any]:
        for bid in bids:
            yield caller.request("StreamBids", bid=bid)

    answers = {one.answer.request_id: one.answer async for one in caller.stream(requests())}
    assert set(answers) == {bid.bid.request_id for bid in bids}
    assert reason_of(answers.pop("r7")) == "UNKNOWN_TARGET"
    assert {one.response.result.status for one in answers.values()} == {bid_pb2.BID_STATUS_PLACED}
    placed = [bid for bid in bids if bid.bid.request_id != "r7"]
    assert await caller.committed_usd() == sum(bid.bid.bid_micros for bid in placed) / USD
    caller.assert_applied(placed)


async def test_a_campaign_is_paused_and_resumed_at_the_platform_and_repeating_it_is_no_change(
    stage: Stage, name: str
) -> None:
    caller = Caller(stage, await stage.serve(), name)
    update = connector_pb2.CampaignStatusUpdate(campaign_id="1001")
    for method, paused in (("PauseCampaign", True), ("ResumeCampaign", False)):
        request = caller.request(method, update=update)
        before = caller.changes()
        first = (await caller.ask(method, request)).result
        assert (first.campaign_id, first.paused, first.changed) == ("1001", paused, True)
        assert caller.changes() == before + 1
        again = (await caller.ask(method, request)).result
        assert (again.campaign_id, again.paused, again.changed) == ("1001", paused, False)
    assert await caller.committed_usd() == 0


async def test_a_platform_that_is_down_changes_nothing_for_the_others(
    stage: Stage, say: Words, name: str
) -> None:
    server = await stage.serve()
    sick = Caller(stage, server, name)
    others = [Caller(stage, server, other) for other in NAMES if other != name]
    await stage.fault(FaultKind.REFUSE, platform=name)
    refusal = await say.refused(sick.ask("PlaceBid", sick.bid("r", 15)))
    assert refusal.reason == "PLATFORM_UNAVAILABLE"
    for other in others:
        bid = other.bid("r", 15)  # the same request id: each platform has its own
        result = (await other.ask("PlaceBid", bid)).result
        assert result.status == bid_pb2.BID_STATUS_PLACED
        assert await other.committed_usd() == 15
        other.assert_applied([bid])
    assert await sick.committed_usd() == 0
    sick.assert_applied([])
