"""Meta, connected: plans, sends exactly what was planned, and looks afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from google.protobuf.message import Message

from smartconnectors.common.v1.connector_pb2 import CampaignStatusResult, CampaignStatusUpdate
from smartconnectors.meta.v1 import meta_service_pb2 as pb
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
    Traffic,
)
from smartconnectors_server.errors import (
    ConnectorError,
    InternalError,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.meta import (
    audience,
    batches,
    daily_budget,
    findings,
    knobs,
    refusals,
    wire,
)
from smartconnectors_server.platforms.meta.budget_changes import BudgetChanges
from smartconnectors_server.platforms.meta.graph import MAX_BATCH, GraphApi, status_form
from smartconnectors_server.platforms.meta.options import MetaOptions
from smartconnectors_server.platforms.meta.reader import Reader
from smartconnectors_server.platforms.meta.sandbox_access import USD_ACCOUNT


class MetaConnector:
    """Implements `Connector` and the methods of our MetaService."""

    max_batch = MAX_BATCH

    def __init__(self, context: Context) -> None:
        options = context.options
        assert isinstance(options, MetaOptions)
        self._gate = context.gate
        self._clock = context.clock
        in_sandbox = context.mode is Mode.SANDBOX
        account_id = options.ad_account_id or (USD_ACCOUNT if in_sandbox else "")
        self._graph = GraphApi(
            options,
            account_id=account_id,
            endpoint=context.endpoint,
            timeout_ms=context.timeout_ms,
            on_quota=context.gate.tighten,
            outgoing=context.outgoing,
        )
        self._reader = Reader(
            self._graph, context.gate, account_id, context.clock, options.cache_ttl_s
        )
        self._report_timeout_ms = context.report_timeout_ms
        self._budget_changes = BudgetChanges(context.clock)

    async def connect(self) -> None:
        await self._graph.open()

    async def close(self) -> None:
        await self._reader.cache.close()
        await self._graph.close()

    async def plan(self, request: Message, priced: Priced) -> Plan:
        match request:
            case pb.PlaceBidRequest():
                # Before anything is read: a bid that no campaign could take costs no quota.
                intent = knobs.intent_of(request, priced)
                campaign = await self._reader.campaign(request.bid.campaign_id, request.ad_set_id)
                return wire.plan_bid(request, priced, intent, campaign)
            case pb.UpdateCampaignBudgetRequest():
                campaign_id = knobs.check_id("update.campaign_id", request.update.campaign_id)
                campaign = await self._reader.campaign(campaign_id)
                plan = daily_budget.plan(request, priced, campaign)
                if plan.lowers_exposure:
                    least = await self._reader.least_daily_budget(campaign.currency_code)
                    daily_budget.check_least(plan, campaign, least)
                if not plan.unchanged:
                    self._budget_changes.check(plan.wire.ad_set_id)
                return plan
            case _:
                raise InternalError(f"{type(request).__name__} cannot be planned")

    async def moved_by(self, request: Message, plan: Plan) -> frozenset[str] | None:
        del request, plan  # an ad set, and its budget, are one campaign's
        return None

    def defers(self, request: Message) -> bool:
        del request
        return True

    def offline_target(self, request: Message) -> str:
        match request:
            case pb.PlaceBidRequest():
                if request.ad_set_id:
                    return f"ad_sets/{request.ad_set_id}"
                return f"campaigns/{request.bid.campaign_id}"
            case pb.UpdateCampaignBudgetRequest():
                # The bids' own, so that a bid and a budget of one campaign are not planned at once.
                return f"campaigns/{request.update.campaign_id}"
            case _:
                raise InternalError(f"{type(request).__name__} names no campaign")

    def batch_calls(self, count: int) -> int:
        return count

    async def prefetch(self, requests: Sequence[Message]) -> None:
        ids = [
            request.bid.campaign_id
            for request in requests
            if isinstance(request, pb.PlaceBidRequest) and request.bid.campaign_id.isdigit()
        ]
        try:
            await self._reader.prefetch(ids)
        except (PlatformRejected, UnknownTarget):
            return  # plan meets the same refusal, and says so for each bid

    async def place_many(self, planned: Sequence[tuple[Message, Call]]) -> Sequence[Placed]:
        changes = [_change_of(call) for _, call in planned]
        results: list[Placed] = [InternalError("it was not sent")] * len(planned)
        rounds = batches.rounds_of(changes)
        for indexes in rounds:
            calls = [planned[index][1] for index in indexes]
            try:
                answers = await self._send_batch([changes[index] for index in indexes], calls)
            except ConnectorError as error:
                if len(rounds) == 1:
                    raise
                answers = [error] * len(indexes)
            for index, answer in zip(indexes, answers, strict=True):
                results[index] = answer
        return results

    async def lookup(self, sent: Sent) -> Finding:
        campaign_id, ad_set_id = findings.target_of(sent.before)
        try:
            campaign = await self._reader.fresh(campaign_id, ad_set_id)
        except UnknownTarget:
            return Finding.INCONCLUSIVE
        return findings.of(sent.before, campaign)

    async def account(self) -> AccountFacts:
        return await self._reader.account()

    async def campaigns(self) -> AccountCampaigns:
        return await self._reader.campaigns()

    async def reported_spend(self, since: date) -> SpendReport:
        return await self._reader.reported_spend(since, self._report_timeout_ms)

    async def PlaceBid(self, request: pb.PlaceBidRequest, call: Call) -> pb.PlaceBidResponse:
        """Sends the planned bid. Raises as `GraphApi.post`."""
        del request  # the plan has everything of it
        change = _change_of(call)
        trace_id = await self._send(change, call)
        return batches.bid_answer(change, trace_id)

    async def UpdateCampaignBudget(
        self, request: pb.UpdateCampaignBudgetRequest, call: Call
    ) -> pb.UpdateCampaignBudgetResponse:
        """Sends the planned budget. Raises as `GraphApi.post`, and RateLimited before anything is
        sent when the ad set's budget was changed four times within an hour.
        """
        del request
        change = _change_of(call)
        ad_set_id = change.ad_set_id
        counts = bool(ad_set_id) and not call.validate_only
        if counts:
            self._budget_changes.check(ad_set_id)
            self._budget_changes.sent(ad_set_id)
        try:
            await self._send(change, call)
        except (PlatformUnavailable, PlatformRejected, UnknownTarget):
            if counts:
                self._budget_changes.not_made(ad_set_id)
            raise
        except RateLimited as error:
            if counts:
                self._budget_changes.not_made(ad_set_id)
                if refusals.is_budget_block(error):
                    self._budget_changes.blocked(ad_set_id, error.retry_after_s or 0.0)
            raise
        return batches.budget_answer(change)

    async def UpdateTargetAudience(
        self, request: pb.UpdateTargetAudienceRequest, call: Call
    ) -> pb.UpdateTargetAudienceResponse:
        """Adds custom audiences to every active ad set and removes them; sends nothing to those
        that are targeted so already.

        Raises InvalidBid, UnknownTarget, and as `GraphApi.post`; of several ad sets those before
        the one that failed are changed, and a repetition changes the rest.
        """
        update = request.update
        audience.check(update)
        changes = audience.changes_of(update, await self._reader.targeting(update.campaign_id))
        for number, (ad_set_id, form) in enumerate(changes.forms.items()):
            if number == 0:
                call.dispatched = True
                await self._graph.post(ad_set_id, form, validate_only=update.validate_only)
                continue
            # The call has paid for one. Meta takes no two ad sets of a campaign in one batch.
            async with self._gate.read("audience", Traffic.BIDS):
                await self._graph.post(ad_set_id, form, validate_only=update.validate_only)
        return changes.answer

    async def running(self, campaign_ids: Sequence[str]) -> Mapping[str, bool]:
        found = await self._reader.fresh_all(campaign_ids)
        return {one: not campaign.is_paused for one, campaign in found.items()}

    async def PauseCampaign(
        self, request: pb.PauseCampaignRequest, call: Call
    ) -> pb.PauseCampaignResponse:
        """Pauses it; sends nothing when it is paused. It is asked first only if it can be: quota
        and breaker, which stand before reads, do not stand before this. Raises as `GraphApi.post`.
        """
        update = request.update
        knobs.check_id("update.campaign_id", update.campaign_id)
        try:
            campaign = await self._reader.fresh(update.campaign_id)
        except (RateLimited, PlatformUnavailable):
            campaign = None
        changed = campaign is None or not campaign.is_paused
        if changed:
            await self._set_status(update, call, paused=True)
        result = CampaignStatusResult(campaign_id=update.campaign_id, paused=True, changed=changed)
        return pb.PauseCampaignResponse(result=result)

    async def ResumeCampaign(
        self, request: pb.ResumeCampaignRequest, call: Call
    ) -> pb.ResumeCampaignResponse:
        """Lets it run; sends nothing when it does. Raises as `GraphApi.post`, and what a read
        raises.
        """
        update = request.update
        knobs.check_id("update.campaign_id", update.campaign_id)
        campaign = await self._reader.fresh(update.campaign_id)
        if campaign.is_paused:
            await self._set_status(update, call, paused=False)
        result = CampaignStatusResult(
            campaign_id=update.campaign_id, paused=False, changed=campaign.is_paused
        )
        return pb.ResumeCampaignResponse(result=result)

    async def _send(self, change: wire.Change, call: Call) -> str:
        """Meta's trace id once it has accepted the change."""
        accepted = False
        call.dispatched = True
        try:
            trace_id = await self._graph.post(
                change.object_id, change.form, validate_only=call.validate_only
            )
            accepted = True
        finally:
            # Also when this is cancelled: then nobody knows what the campaign is like.
            self._remember(change, call, accepted=accepted)
        return trace_id

    async def _send_batch(
        self, changes: Sequence[wire.Change], calls: Sequence[Call]
    ) -> list[Placed]:
        answers: Sequence[str | ConnectorError] = ()
        for call in calls:
            call.dispatched = True
        try:
            answers = await self._graph.batch(
                [(change.object_id, change.form) for change in changes],
                validate_only=[call.validate_only for call in calls],
            )
        finally:
            for index, (change, call) in enumerate(zip(changes, calls, strict=True)):
                accepted = bool(answers) and isinstance(answers[index], str)
                self._remember(change, call, accepted=accepted)
        return [
            answer if isinstance(answer, ConnectorError) else batches.bid_answer(change, answer)
            for change, answer in zip(changes, answers, strict=True)
        ]

    def _remember(self, change: wire.Change, call: Call, *, accepted: bool) -> None:
        """Brings what is known of the campaign up to date after a change was sent."""
        if not accepted:
            self._reader.cache.drop(change.campaign_id)
        elif not call.validate_only:
            self._reader.cache.change(change.campaign_id, change.applied_to)

    async def _set_status(self, update: CampaignStatusUpdate, call: Call, *, paused: bool) -> None:
        call.dispatched = True
        form = status_form(paused=paused)
        await self._graph.post(update.campaign_id, form, validate_only=update.validate_only)


def _change_of(call: Call) -> wire.Change:
    if call.plan is None or not isinstance(call.plan.wire, wire.Change):
        raise InternalError("it was not planned")
    return call.plan.wire
