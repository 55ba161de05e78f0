"""One server's side of a scripted platform: a connector as the real ones are, for any of them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from tests.simulation.broken import Promise
from tests.simulation.change import Change
from tests.simulation.platform import ScriptedPlatform
from tests.simulation.terms import AUCTION, SHARED

from smartconnectors.common.v1.bid_pb2 import BidRequest
from smartconnectors.common.v1.campaign_pb2 import CampaignBudgetUpdate
from smartconnectors_server.call import Call, Plan, Priced
from smartconnectors_server.connector import (
    Context,
    Finding,
    OneByOne,
    Placed,
    Platform,
    QuotaSignal,
    Sent,
)
from smartconnectors_server.errors import (
    ConnectorError,
    NoBid,
    PlatformRejected,
    PlatformUnavailable,
    UnknownTarget,
)

NOT_BIDDABLE = (UnknownTarget, PlatformRejected, NoBid)


def _common(request: Any) -> BidRequest | CampaignBudgetUpdate:
    """What every platform's request has in common."""
    common = request.bid if "bid" in request.DESCRIPTOR.fields_by_name else request.update
    assert isinstance(common, BidRequest | CampaignBudgetUpdate)
    return common


class ScriptedConnector(OneByOne):
    """Plans, sends and looks up bids. What is sent it knows from the plan alone, and the answer is
    of whichever class the platform's service has.
    """

    def __init__(self, platform: ScriptedPlatform, context: Context) -> None:
        self.platform = platform
        self.context = context
        self.max_batch = platform.terms.max_batch

    async def connect(self) -> None:
        await asyncio.sleep(0.3)

    async def close(self) -> None:
        """Nothing to close."""

    def batch_calls(self, count: int) -> int:
        return 1 if self.platform.terms.one_call_a_batch else count

    # Planning

    def _is_auction(self, request: Any) -> bool:
        is_for = _common(request).campaign_id
        return self.platform.terms.has_auctions and bool(is_for == AUCTION)

    def _target(self, request: Any) -> str:
        common = _common(request)
        if self._is_auction(request):
            return f"auctions/{common.request_id}"
        if not isinstance(common, BidRequest):
            return f"budgets/{common.campaign_id}"
        return "portfolios/1" if common.campaign_id in SHARED else f"campaigns/{common.campaign_id}"

    def defers(self, request: Any) -> bool:
        return not self._is_auction(request)

    def offline_target(self, request: Any) -> str:
        common = _common(request)
        certain = self._is_auction(request) or not isinstance(common, BidRequest)
        if self.platform.terms.knows_targets or certain:
            return self._target(request)
        return f"campaigns/{common.campaign_id}"

    async def _read(self) -> None:
        async with self.context.gate.read("campaign"):
            self.platform.called(1)
            await self.platform.reach()
            await asyncio.sleep(self.platform.chance.uniform(0.002, 0.1))
            if self.platform.chance.random() < self.platform.read_fails:
                raise PlatformUnavailable("cannot be read")

    async def prefetch(self, requests: Sequence[Message]) -> None:
        if self.platform.chance.random() < 0.3:
            await self._read()

    async def plan(self, request: Any, priced: Priced) -> Plan:
        chance, common = self.platform.chance, _common(request)
        if chance.random() < self.platform.reads:
            await self._read()
        if chance.random() < self.platform.declines:
            raise chance.choice(NOT_BIDDABLE)("this cannot be bid on")
        target = self._target(request)
        before = json.dumps(self.platform.show(target))
        if isinstance(common, BidRequest):
            commits, lowers = priced.bid_micros, common.reduce_only
            amount = 0 if lowers else commits
            now, after = 100, 90 if lowers else 110
        else:
            now, after = self.platform.daily_micros(target), common.daily_budget_micros
            commits = amount = max(0, after - now)
            lowers = after < now
        return Plan(
            target=target,
            amount_micros=commits,
            before=before,
            wire=Change(
                self.platform.name, common.request_id, common.campaign_id, target, amount, after
            ),
            before_value=now,
            after_value=after,
            lowers_exposure=lowers,
            unchanged=now == after or chance.random() < self.platform.declines,
        )

    async def lookup(self, sent: Sent) -> Finding:
        if self.platform.looked_for is not None:
            self.platform.looked_for(sent.priced.request_id)
        await self._read()
        request: Any = sent.request
        shown = self.platform.show(sent.target)
        if self._is_auction(request):
            return Finding.INCONCLUSIVE
        if shown == _common(request).request_id:
            return Finding.APPLIED
        unchanged = bool(sent.before) and shown == json.loads(sent.before)
        return Finding.NOT_APPLIED if unchanged else Finding.INCONCLUSIVE

    # Sending

    def _order_pause(self, pause_s: float) -> None:
        self.context.gate.tighten(QuotaSignal(retry_after_s=pause_s))

    @staticmethod
    def _change(call: Call) -> Change:
        assert call.plan is not None
        change = call.plan.wire
        assert isinstance(change, Change), "a bid is sent that was not planned"
        return change

    async def PlaceBid(self, request: Message, call: Call) -> Any:  # noqa: N802 - on the wire
        if call.validate_only:
            self.platform.called(1)
            return call.spec.response_class()
        (verdict,) = await self.platform.take([self._change(call)], 1, self._order_pause)
        if verdict is not None:
            raise verdict
        return call.spec.response_class()

    UpdateCampaignBudget = PlaceBid

    async def place_many(self, planned: Sequence[tuple[Message, Call]]) -> Sequence[Placed]:
        if len(planned) > self.max_batch:
            self.platform.is_broken(Promise.QUOTA, f"a batch of {len(planned)}")
        changes = [self._change(call) for _, call in planned]
        calls = self.batch_calls(len(changes))
        verdicts = await self.platform.take(changes, calls, self._order_pause)
        return [
            verdict if isinstance(verdict, ConnectorError) else call.spec.response_class()
            for verdict, (_, call) in zip(verdicts, planned, strict=True)
        ]


def registered(entry: Platform, platform: ScriptedPlatform) -> Platform:
    """The registry's entry with the scripted platform behind it."""
    return dataclasses.replace(
        entry, connector=lambda context: ScriptedConnector(platform, context)
    )
