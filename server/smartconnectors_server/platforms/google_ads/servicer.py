"""Google Ads, connected: plans, sends exactly what was planned, and looks afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

from google.protobuf.message import Message

from smartconnectors.common.v1.connector_pb2 import CampaignStatusResult, CampaignStatusUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Call, Plan, Priced
from smartconnectors_server.connector import (
    AccountCampaigns,
    AccountFacts,
    Context,
    Finding,
    Mode,
    Placed,
    Sent,
    SpendReport,
)
from smartconnectors_server.errors import (
    CurrencyMismatch,
    InternalError,
    InvalidBid,
    PlatformRejected,
    UnknownTarget,
)
from smartconnectors_server.platforms.google_ads import (
    audience,
    batches,
    daily_budget,
    findings,
    knobs,
    overrides,
    wire,
)
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.reader import Reader
from smartconnectors_server.platforms.google_ads.sandbox_access import USD_CUSTOMER
from smartconnectors_server.platforms.google_ads.transport import Transport

_NO_LIMIT = 10_000


class GoogleAdsConnector:
    """Implements `Connector` and the methods of our GoogleAdsService."""

    max_batch = 1000
    """Google takes 10,000 operations in a mutate, and a bid may need two. Less than that half, so
    that a batch is answered within the time that one call may take."""

    def __init__(self, context: Context) -> None:
        options = context.options
        assert isinstance(options, GoogleAdsOptions)
        self._options = options
        in_sandbox = context.mode is Mode.SANDBOX
        self._customer_id = options.customer_id or (USD_CUSTOMER if in_sandbox else "")
        self._most_campaigns = options.max_shared_campaigns or (_NO_LIMIT if in_sandbox else 1)
        self._transport = Transport(
            options,
            customer_id=self._customer_id,
            endpoint=context.endpoint,
            timeout_s=context.timeout_ms / 1000,
            on_quota=context.gate.tighten,
            outgoing=context.outgoing,
        )
        self._reader = Reader(
            self._transport,
            context.gate,
            context.clock,
            customer_id=self._customer_id,
            ttl_s=options.cache_ttl_s,
            all_criteria=options.allow_partial_overrides,
        )
        self._report_timeout_s = context.report_timeout_ms / 1000
        self._sender = batches.Sender(self._transport, context.gate, self._reader)

    async def connect(self) -> None:
        await self._transport.open()

    async def close(self) -> None:
        await self._reader.close()
        await self._transport.close()

    async def plan(self, request: Message, priced: Priced) -> Plan:
        match request:
            case pb.PlaceBidRequest():
                # Before anything is read: a bid that no campaign could take costs no quota.
                return await self._plan_bid(request, priced, await self._intent(request, priced))
            case pb.UpdateCampaignBudgetRequest():
                campaign_id = knobs.check_id("update.campaign_id", request.update.campaign_id)
                campaign = await self._reader.campaign(_key_of(request), campaign_id)
                wire.check_currency(campaign, priced.currency_code)
                unit_micros = await self._reader.billable_unit_micros(campaign.currency_code)
                return daily_budget.plan(request, priced, campaign, unit_micros=unit_micros)
            case _:
                raise InternalError(f"{type(request).__name__} cannot be planned")

    async def _plan_bid(
        self, request: pb.PlaceBidRequest, priced: Priced, intent: knobs.Intent
    ) -> Plan:
        key = _key_of(request)
        campaign = await self._reader.campaign(key, request.bid.campaign_id)
        in_urls = self._options.ltv_in_click_urls
        plan = wire.plan_bid(request, priced, intent, campaign, ltv_in_click_urls=in_urls)
        overrides.check_campaign(intent, campaign)
        if overrides.matter(intent, campaign):
            allow_partial = self._options.allow_partial_overrides
            below = await self._reader.overrides(key)
            overrides.check(intent, campaign, below, allow_partial=allow_partial)
        return plan

    async def moved_by(self, request: Message, plan: Plan) -> frozenset[str] | None:
        del request
        after = plan.wire.after
        if after.portfolio is None:
            return None
        return await self._reader.sharers(after.portfolio.resource_name)

    def defers(self, request: Message) -> bool:
        del request  # a setting can be made later
        return True

    def offline_target(self, request: Message) -> str:
        return _key_of(request)

    def batch_calls(self, count: int) -> int:
        """One mutate, whatever the count; bids of several operations pay for their own."""
        del count
        return 1

    async def prefetch(self, requests: Sequence[Message]) -> None:
        try:
            await self._reader.prefetch(map(_key_of, requests))
        except PlatformRejected:
            return  # plan meets the same refusal, and says so for each bid

    async def running(self, campaign_ids: Sequence[str]) -> Mapping[str, bool]:
        statuses = await self._reader.statuses(campaign_ids)
        return {one: status == "ENABLED" for one, status in statuses.items()}

    async def place_many(self, planned: Sequence[tuple[Message, Call]]) -> Sequence[Placed]:
        items = [batches.planned(_key_of(request), call) for request, call in planned]
        return await self._sender.send_bids(items)

    async def lookup(self, sent: Sent) -> Finding:
        request = sent.request
        try:
            campaign = await self._reader.fresh(_key_of(request), _campaign_id_of(request))
        except UnknownTarget:
            return Finding.INCONCLUSIVE
        try:
            match request:
                case pb.PlaceBidRequest():
                    intent = await self._intent(request, sent.priced, was_sent=True)
                    request_id = sent.priced.request_id
                    return findings.of_bid(request_id, intent, sent.before, campaign)
                case pb.UpdateCampaignBudgetRequest():
                    new_micros = request.update.daily_budget_micros
                    return findings.of_budget(new_micros, sent.before, campaign)
                case _:
                    raise InternalError(f"{type(request).__name__} cannot be looked up")
        except (InvalidBid, CurrencyMismatch):
            # Its strategy is another one by now, so nothing can be read off it.
            return Finding.INCONCLUSIVE

    async def account(self) -> AccountFacts:
        return await self._reader.account()

    async def campaigns(self) -> AccountCampaigns:
        return await self._reader.campaigns(self._most_campaigns)

    async def reported_spend(self, since: date) -> SpendReport:
        return await self._reader.reported_spend(since, self._report_timeout_s)

    async def PlaceBid(self, request: pb.PlaceBidRequest, call: Call) -> pb.PlaceBidResponse:
        """Sends the planned bid. Raises as `Transport.mutate`."""
        item = batches.planned(_key_of(request), call)
        return batches.bid_answer(item.change, await self._sender.send(item))

    async def UpdateCampaignBudget(
        self, request: pb.UpdateCampaignBudgetRequest, call: Call
    ) -> pb.UpdateCampaignBudgetResponse:
        """Sends the planned budget. Raises as `Transport.mutate`."""
        item = batches.planned(_key_of(request), call)
        await self._sender.send(item)
        answer = pb.UpdateCampaignBudgetResponse()
        assert isinstance(item.change.answer, pb.UpdateCampaignBudgetResponse)
        answer.CopyFrom(item.change.answer)
        return answer

    async def UpdateTargetAudience(
        self, request: pb.UpdateTargetAudienceRequest, call: Call
    ) -> pb.UpdateTargetAudienceResponse:
        """Adds and removes user lists; sends nothing when nothing would change.

        Raises InvalidBid, UnknownTarget, and as `Transport.mutate`.
        """
        update = request.update
        audience.check(update)
        campaign = await self._reader.campaign(
            f"campaigns/{update.campaign_id}", update.campaign_id
        )
        present = await self._reader.audience(update.campaign_id)
        change = audience.change_of(update, campaign, present)
        if change.mutate is not None:
            await self._transport.mutate(
                change.mutate, validate_only=update.validate_only, dispatched=_dispatched(call)
            )
        return change.answer

    async def PauseCampaign(
        self, request: pb.PauseCampaignRequest, call: Call
    ) -> pb.PauseCampaignResponse:
        """Pauses it. Reads nothing, so that neither quota nor a slow answer can hold it up, and
        sends it also when the campaign is thought to be paused: that may have changed. `changed`
        is false when it was last seen paused. Raises InvalidBid, and as `Transport.mutate`.
        """
        campaign_id = knobs.check_id("update.campaign_id", request.update.campaign_id)
        changed = self._reader.status_of(campaign_id) != "PAUSED"
        await self._set_status(request.update, "PAUSED", call)
        result = CampaignStatusResult(campaign_id=campaign_id, paused=True, changed=changed)
        return pb.PauseCampaignResponse(result=result)

    async def ResumeCampaign(
        self, request: pb.ResumeCampaignRequest, call: Call
    ) -> pb.ResumeCampaignResponse:
        """Lets it run; sends nothing when it does. Raises InvalidBid, UnknownTarget, what a read
        raises, and as `Transport.mutate`.
        """
        campaign_id = knobs.check_id("update.campaign_id", request.update.campaign_id)
        # As it is now: what somebody else has paused must not be missed.
        campaign = await self._reader.fresh(f"campaigns/{campaign_id}", campaign_id)
        changed = campaign.status != "ENABLED"
        if changed:
            await self._set_status(request.update, "ENABLED", call)
        result = CampaignStatusResult(campaign_id=campaign_id, paused=False, changed=changed)
        return pb.ResumeCampaignResponse(result=result)

    async def _set_status(self, update: CampaignStatusUpdate, status: str, call: Call) -> None:
        mutate = wire.status_mutate(self._customer_id, update.campaign_id, status)
        accepted = False
        try:
            await self._transport.mutate(
                mutate, validate_only=update.validate_only, dispatched=_dispatched(call)
            )
            accepted = True
        finally:
            if not update.validate_only:
                self._reader.status_is(update.campaign_id, status if accepted else "")

    async def _intent(
        self, request: pb.PlaceBidRequest, priced: Priced, *, was_sent: bool = False
    ) -> knobs.Intent:
        """`was_sent`: to look for it, however many campaigns share the portfolio by now."""
        unit_micros = 0
        if knobs.needs_billable_unit(request):
            unit_micros = await self._reader.billable_unit_micros(priced.currency_code)
        return knobs.intent_of(
            request,
            priced,
            unit_micros=unit_micros,
            most_campaigns=_NO_LIMIT if was_sent else self._most_campaigns,
        )


def _dispatched(call: Call) -> Callable[[], None]:
    def dispatched() -> None:
        call.dispatched = True

    return dispatched


def _campaign_id_of(request: Message) -> str:
    match request:
        case pb.PlaceBidRequest():
            return request.bid.campaign_id
        case pb.UpdateCampaignBudgetRequest():
            return request.update.campaign_id
        case _:
            raise InternalError(f"{type(request).__name__} names no campaign")


def _key_of(request: Message) -> str:
    """What is known of the target without asking Google, and what it is cached under."""
    if isinstance(request, pb.PlaceBidRequest) and request.WhichOneof("knob") == "manual_cpc":
        return f"ad_groups/{request.manual_cpc.ad_group_id}"
    return f"campaigns/{_campaign_id_of(request)}"
