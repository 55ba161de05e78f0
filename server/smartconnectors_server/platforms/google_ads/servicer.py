"""Google Ads, connected: plans, sends exactly what was planned, and looks afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.call import Call, Plan, Priced
from smartconnectors_server.connector import Context, Finding, Mode, Sent
from smartconnectors_server.errors import (
    InternalError,
    InvalidBid,
    UnknownTarget,
)
from smartconnectors_server.platforms.google_ads import (
    audience,
    daily_budget,
    findings,
    knobs,
    wire,
)
from smartconnectors_server.platforms.google_ads.cache import CampaignCache
from smartconnectors_server.platforms.google_ads.options import GoogleAdsOptions
from smartconnectors_server.platforms.google_ads.sandbox_access import USD_CUSTOMER
from smartconnectors_server.platforms.google_ads.state import (
    Campaign,
    Row,
    ad_group_query,
    audience_query,
    campaign_of,
    campaign_query,
)
from smartconnectors_server.platforms.google_ads.transport import Transport

_NO_LIMIT = 10_000


class GoogleAdsConnector:
    """Implements `Connector` and the methods of our GoogleAdsService."""

    def __init__(self, context: Context) -> None:
        options = context.options
        assert isinstance(options, GoogleAdsOptions)
        self._options = options
        self._gate = context.gate
        in_sandbox = context.mode is Mode.SANDBOX
        self._customer_id = options.customer_id or (USD_CUSTOMER if in_sandbox else "")
        self._max_campaigns = options.max_shared_campaigns or (_NO_LIMIT if in_sandbox else 1)
        self._transport = Transport(
            options,
            customer_id=self._customer_id,
            endpoint=context.endpoint,
            timeout_s=context.timeout_ms / 1000,
            on_quota=context.gate.tighten,
        )
        self._cache = CampaignCache(context.clock, options.cache_ttl_s)

    async def connect(self) -> None:
        await self._transport.open()

    async def close(self) -> None:
        await self._cache.close()
        await self._transport.close()

    async def plan(self, request: Message, priced: Priced) -> Plan:
        match request:
            case pb.PlaceBidRequest():
                # Before anything is read: a bid that no campaign could take costs no quota.
                intent = self._intent(request, priced)
                return wire.plan_bid(
                    request,
                    priced,
                    intent,
                    await self._campaign(_key_of(request), request.bid.campaign_id),
                    ltv_in_click_urls=self._options.ltv_in_click_urls,
                )
            case pb.UpdateCampaignBudgetRequest():
                campaign_id = knobs.check_id("update.campaign_id", request.update.campaign_id)
                campaign = await self._campaign(_key_of(request), campaign_id)
                return daily_budget.plan(request, priced, campaign)
            case _:
                raise InternalError(f"{type(request).__name__} cannot be planned")

    def defers(self, request: Message) -> bool:
        del request  # a setting can be made later
        return True

    def offline_target(self, request: Message) -> str:
        return _key_of(request)

    async def lookup(self, sent: Sent) -> Finding:
        request = sent.request
        try:
            campaign = await self._read(_key_of(request), _campaign_id_of(request))
        except UnknownTarget:
            return Finding.INCONCLUSIVE
        try:
            match request:
                case pb.PlaceBidRequest():
                    intent = self._intent(request, sent.priced)
                    request_id = sent.priced.request_id
                    return findings.of_bid(request_id, intent, sent.before, campaign)
                case pb.UpdateCampaignBudgetRequest():
                    new_micros = request.update.daily_budget_micros
                    return findings.of_budget(new_micros, sent.before, campaign)
                case _:
                    raise InternalError(f"{type(request).__name__} cannot be looked up")
        except InvalidBid:
            # Its strategy is another one by now, so nothing can be read off it.
            return Finding.INCONCLUSIVE

    async def PlaceBid(self, request: pb.PlaceBidRequest, call: Call) -> pb.PlaceBidResponse:
        """Sends the planned bid. Raises as `Transport.mutate`."""
        planned, platform_request_id = await self._send(request, call)
        assert isinstance(planned, pb.PlaceBidResponse)
        answer = pb.PlaceBidResponse()
        answer.CopyFrom(planned)
        answer.google_ads.platform_request_id = platform_request_id
        return answer

    async def UpdateCampaignBudget(
        self, request: pb.UpdateCampaignBudgetRequest, call: Call
    ) -> pb.UpdateCampaignBudgetResponse:
        """Sends the planned budget. Raises as `Transport.mutate`."""
        planned, _ = await self._send(request, call)
        assert isinstance(planned, pb.UpdateCampaignBudgetResponse)
        answer = pb.UpdateCampaignBudgetResponse()
        answer.CopyFrom(planned)
        return answer

    async def UpdateTargetAudience(
        self, request: pb.UpdateTargetAudienceRequest, call: Call
    ) -> pb.UpdateTargetAudienceResponse:
        """Adds and removes user lists; sends nothing when nothing would change.

        Raises InvalidBid, UnknownTarget, and as `Transport.mutate`.
        """
        update = request.update
        audience.check(update)
        campaign = await self._campaign(f"campaigns/{update.campaign_id}", update.campaign_id)
        rows = await self._search("audience", audience_query(update.campaign_id))
        change = audience.change_of(update, campaign, rows)
        if change.mutate is not None:

            def dispatched() -> None:
                call.dispatched = True

            await self._transport.mutate(
                change.mutate, validate_only=update.validate_only, dispatched=dispatched
            )
        return change.answer

    async def _send(self, request: Message, call: Call) -> tuple[Message, str]:
        """(the planned answer, Google's request id) once Google has accepted it."""
        if call.plan is None or not isinstance(call.plan.wire, wire.Change):
            raise InternalError("the bid was not planned")
        change, key = call.plan.wire, _key_of(request)

        def dispatched() -> None:
            call.dispatched = True

        accepted = False
        try:
            platform_request_id = await self._transport.mutate(
                change.mutate, validate_only=call.validate_only, dispatched=dispatched
            )
            accepted = not call.validate_only
        finally:
            # Also when this is cancelled: then nobody knows what the campaign is like.
            if accepted:
                self._cache.put(key, change.after)
            elif call.dispatched and not call.validate_only:
                self._cache.drop(key)
        return change.answer, platform_request_id

    def _intent(self, request: pb.PlaceBidRequest, priced: Priced) -> knobs.Intent:
        return knobs.intent_of(request, priced, default_max_campaigns=self._max_campaigns)

    async def _campaign(self, key: str, campaign_id: str) -> Campaign:
        return await self._cache.get(key, lambda: self._read(key, campaign_id))

    async def _read(self, key: str, campaign_id: str) -> Campaign:
        """Reads it from Google. Raises UnknownTarget when there is none."""
        collection, _, entity_id = key.partition("/")
        in_ad_group = collection == "ad_groups"
        query = ad_group_query(entity_id) if in_ad_group else campaign_query(campaign_id)
        rows = await self._search("campaign", query)
        if not rows:
            what = f"ad group {entity_id}" if in_ad_group else f"campaign {campaign_id}"
            raise UnknownTarget(f"Google Ads account {self._customer_id} has no {what}")
        campaign = campaign_of(rows[0])
        if campaign.campaign_id != campaign_id:
            raise UnknownTarget(
                f"ad group {entity_id} is of campaign {campaign.campaign_id}, not {campaign_id}"
            )
        return campaign

    async def _search(self, what: str, query: str) -> Sequence[Row]:
        async with self._gate.read(what):
            return await self._transport.search(query)


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
