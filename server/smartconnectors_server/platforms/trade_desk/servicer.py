"""The Trade Desk, connected: plans, sends exactly what was planned, and looks afterwards."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime

from google.protobuf.message import Message

from smartconnectors.common.v1.bid_pb2 import BidResponse
from smartconnectors.common.v1.connector_pb2 import CampaignStatusResult
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as pb
from smartconnectors_server.call import Call, Plan, Priced
from smartconnectors_server.clock import NANOS_PER_MILLI, NANOS_PER_SECOND
from smartconnectors_server.connector import (
    AccountCampaigns,
    AccountFacts,
    Context,
    Finding,
    OneByOne,
    Sent,
    SpendReport,
    Traffic,
)
from smartconnectors_server.errors import (
    ConnectorError,
    InternalError,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.trade_desk import (
    bidder,
    daily_budget,
    findings,
    targeting,
    wire,
)
from smartconnectors_server.platforms.trade_desk.account import Account
from smartconnectors_server.platforms.trade_desk.connection import Connection
from smartconnectors_server.platforms.trade_desk.open_rtb import (
    Authored,
    auction_target,
    too_late,
)
from smartconnectors_server.platforms.trade_desk.options import TradeDeskOptions
from smartconnectors_server.platforms.trade_desk.reports import Reports
from smartconnectors_server.platforms.trade_desk.settings_changes import SettingsChanges
from smartconnectors_server.platforms.trade_desk.state import AdGroup, account_of


class TradeDeskConnector(OneByOne):
    """Implements `Connector` and the methods of our TradeDeskService."""

    def __init__(self, context: Context) -> None:
        options = context.options
        assert isinstance(options, TradeDeskOptions)
        self._options = options
        self._mode = context.mode
        self._clock = context.clock
        self._gate = context.gate
        self._connection = Connection(context, options)
        self._api = self._connection.api
        self._account = Account(self._api, context.clock, options.cache_ttl_s)
        self._changes = SettingsChanges(self._api, self._account, context.gate)
        self._reports = Reports(self._api, context)
        self._paused_here: frozenset[str] = frozenset()

    async def connect(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._account.close()
        await self._connection.close()

    async def plan(self, request: Message, priced: Priced) -> Plan:
        await self._api.ready()
        match request:
            case pb.PlaceBidRequest() if request.WhichOneof("target") == "open_rtb":
                return await self._plan_auction(request, priced)
            case pb.PlaceBidRequest():
                ad_groups = await self._account.ad_groups(request.bid.campaign_id)
                return wire.plan_bid(request, priced, ad_groups)
            case pb.UpdateCampaignBudgetRequest():
                campaign = await self._account.campaign(request.update.campaign_id)
                advertiser = await self._account.advertiser(campaign.advertiser_id)
                return daily_budget.plan(request, priced, campaign, advertiser, self._now())
            case _:
                raise InternalError(f"{type(request).__name__} cannot be planned")

    def defers(self, request: Message) -> bool:
        """An auction does not wait."""
        return not (
            isinstance(request, pb.PlaceBidRequest) and request.WhichOneof("target") == "open_rtb"
        )

    def offline_target(self, request: Message) -> str:
        match request:
            case pb.PlaceBidRequest() if request.WhichOneof("target") == "open_rtb":
                return auction_target(request.open_rtb.bid_request_json)
            case pb.PlaceBidRequest() if request.ad_group.ad_group_id:
                return wire.target_of(request.ad_group.ad_group_id)
            case pb.PlaceBidRequest():
                return f"campaigns/{request.bid.campaign_id}"
            case pb.UpdateCampaignBudgetRequest():
                return f"campaigns/{request.update.campaign_id}"
            case _:
                raise InternalError(f"{type(request).__name__} has no target")

    async def lookup(self, sent: Sent) -> Finding:
        request = sent.request
        try:
            match request:
                case pb.PlaceBidRequest() if request.WhichOneof("target") == "open_rtb":
                    return Finding.INCONCLUSIVE
                case pb.PlaceBidRequest():
                    ad_group_id = json.loads(sent.before)["ad_group_id"]
                    ad_group = await self._account.read_ad_group(ad_group_id)
                    return findings.of_bid(request, sent.priced, sent.before, ad_group)
                case pb.UpdateCampaignBudgetRequest():
                    campaign = await self._account.read_campaign(request.update.campaign_id)
                    new_micros = request.update.daily_budget_micros
                    return findings.of_budget(new_micros, sent.before, campaign)
                case _:
                    raise InternalError(f"{type(request).__name__} cannot be looked up")
        except UnknownTarget:
            return Finding.INCONCLUSIVE

    async def account(self) -> AccountFacts:
        """The advertiser, if one is configured: a partner's advertisers differ in currency."""
        if not self._options.advertiser_id:
            return AccountFacts()
        return account_of(await self._account.read_advertiser(self._options.advertiser_id))

    async def campaigns(self) -> AccountCampaigns | None:
        """Those of the advertiser, if one is configured."""
        if not self._options.advertiser_id:
            return None
        return await self._account.campaigns(self._options.advertiser_id)

    async def reported_spend(self, since: date) -> SpendReport | None:
        return await self._reports.read(since)

    async def PlaceBid(self, request: pb.PlaceBidRequest, call: Call) -> pb.PlaceBidResponse:
        """Sends the planned bid, or submits the authored one. Raises as `Api.change`."""
        del request  # all of it is in the plan
        plan = _planned(call)
        if isinstance(plan.wire, Authored):
            return await self._submit(plan.wire, call)
        change = _change_of(plan)
        if call.validate_only:
            return pb.PlaceBidResponse(result=BidResponse(platform_bid_id=_id_in(plan.target)))
        return wire.answer_of(await self._changes.bid(change, call))

    async def UpdateCampaignBudget(
        self, request: pb.UpdateCampaignBudgetRequest, call: Call
    ) -> pb.UpdateCampaignBudgetResponse:
        """Sends the planned daily target. Raises as `Api.change`."""
        del request  # all of it is in the plan
        plan = _planned(call)
        change = _change_of(plan)
        if not call.validate_only:
            await self._changes.daily_target(change, plan.after_value, call)
        return daily_budget.answer_of(plan)

    async def UpdateTargetAudience(
        self, request: pb.UpdateTargetAudienceRequest, call: Call
    ) -> pb.UpdateTargetAudienceResponse:
        """Sets the audience of each ad group that has another. Raises InvalidBid, UnknownTarget,
        and as `Api.change`, with the ad groups before that one changed.
        """
        update = request.update
        ad_groups = await self._account.ad_groups(update.campaign_id)
        after = targeting.audiences_after(update, ad_groups)
        if not update.validate_only:
            changes = targeting.audience_changes(after, ad_groups)
            await self._for_each(changes, lambda change: self._changes.targeting(change, call))
        result = targeting.audience_answer(after, ad_groups)
        return pb.UpdateTargetAudienceResponse(result=result)

    async def running(self, campaign_ids: Sequence[str]) -> Mapping[str, bool]:
        """A campaign runs when any of its ad groups does; each campaign takes a call of its own."""
        found: dict[str, bool] = {}
        for campaign_id in campaign_ids:
            try:
                ad_groups = await self._account.read_ad_groups(campaign_id)
            except (UnknownTarget, PlatformRejected):
                continue
            except (RateLimited, PlatformUnavailable):
                break
            found[campaign_id] = any(ad_group.enabled for ad_group in ad_groups)
        return found

    async def PauseCampaign(
        self, request: pb.PauseCampaignRequest, call: Call
    ) -> pb.PauseCampaignResponse:
        """Switches off every ad group that runs. Raises UnknownTarget, and as `Api.change`; then
        each of the others was tried, unless The Trade Desk takes no calls now.
        """
        update = request.update
        # Which ad groups run has to be read first, and each is switched off by a call of its own.
        with self._gate.urgent():
            ad_groups = await self._running(update.campaign_id)
            changes = targeting.pause_changes(ad_groups)
            if not update.validate_only:
                await self._for_each(
                    changes, lambda change: self._pause(change, call), all_are_tried=True
                )
        result = CampaignStatusResult(
            campaign_id=update.campaign_id, paused=True, changed=bool(changes)
        )
        return pb.PauseCampaignResponse(result=result)

    async def ResumeCampaign(
        self, request: pb.ResumeCampaignRequest, call: Call
    ) -> pb.ResumeCampaignResponse:
        """Switches on what PauseCampaign switched off, or the only ad group. Raises InvalidBid,
        UnknownTarget, and as `Api.change`.
        """
        update = request.update
        ad_groups = await self._running(update.campaign_id)
        changes = targeting.resume_changes(update.campaign_id, ad_groups, self._paused_here)
        if not update.validate_only:
            await self._for_each(changes, lambda change: self._resume(change, call))
        result = CampaignStatusResult(
            campaign_id=update.campaign_id, paused=False, changed=bool(changes)
        )
        return pb.ResumeCampaignResponse(result=result)

    async def _plan_auction(self, request: pb.PlaceBidRequest, priced: Priced) -> Plan:
        if self._connection.exchange is not None and not request.bid.validate_only:
            self._connection.exchange.check()
        started_ns = self._clock.monotonic_ns()
        advertiser, creatives = await self._account.creatives_of(
            request.bid.campaign_id, self._options.advertiser_id
        )
        plan = bidder.plan(request, priced, self._options, self._mode, advertiser, creatives)
        self._check_time(plan.wire, started_ns)
        return plan

    def _check_time(self, authored: Authored, since_ns: int) -> None:
        """Raises NoBid when the auction that arrived then does not wait for the bid any more."""
        if authored.tmax_ms is None:
            return
        left_ms = authored.tmax_ms - self._options.auction_margin_ms
        if self._clock.monotonic_ns() - since_ns >= left_ms * NANOS_PER_MILLI:
            raise too_late(authored)

    async def _submit(self, authored: Authored, call: Call) -> pb.PlaceBidResponse:
        self._check_time(authored, call.started_ns)
        exchange = self._connection.exchange
        submitted = exchange is not None and not call.validate_only
        if exchange is not None and submitted:
            await exchange.submit(authored.response_json, _dispatched(call))
        return pb.PlaceBidResponse(
            result=BidResponse(platform_bid_id=authored.bid_id),
            open_rtb=pb.OpenRtbBid(bid_response_json=authored.response_json, submitted=submitted),
        )

    async def _running(self, campaign_id: str) -> Sequence[AdGroup]:
        """The ad groups as they are now: what somebody else switched must not be missed."""
        ad_groups = await self._account.read_ad_groups(campaign_id)
        if not ad_groups:
            raise UnknownTarget(f"The Trade Desk knows no ad group of campaign {campaign_id}")
        return ad_groups

    async def _pause(self, change: wire.Change, call: Call) -> None:
        await self._changes.switch(change, call)
        self._paused_here |= {change.body["AdGroupId"]}

    async def _resume(self, change: wire.Change, call: Call) -> None:
        await self._changes.switch(change, call)
        self._paused_here -= {change.body["AdGroupId"]}

    async def _for_each(
        self,
        changes: Sequence[wire.Change],
        send: Callable[[wire.Change], Awaitable[None]],
        *,
        all_are_tried: bool = False,
    ) -> None:
        """Sends one after another; what comes after the first takes its own share of quota.
        `all_are_tried`: one that is refused or in doubt does not keep the others from being sent;
        the first error is raised at the end.
        """
        first_error: ConnectorError | None = None
        for index, change in enumerate(changes):
            try:
                if index == 0:
                    await send(change)
                else:
                    async with self._gate.read("change of a further ad group", Traffic.BIDS):
                        await send(change)
            except (PlatformRejected, OutcomeUnknown, UnknownTarget) as error:
                if not all_are_tried:
                    raise
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / NANOS_PER_SECOND, UTC)


def _planned(call: Call) -> Plan:
    if call.plan is None:
        raise InternalError("the bid was not planned")
    return call.plan


def _change_of(plan: Plan) -> wire.Change:
    if not isinstance(plan.wire, wire.Change):
        raise InternalError("the bid was not planned")
    return plan.wire


def _dispatched(call: Call) -> Callable[[], None]:
    def dispatched() -> None:
        call.dispatched = True

    return dispatched


def _id_in(target: str) -> str:
    return target.rpartition("/")[2]
