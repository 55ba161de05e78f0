"""BudgetService: budgets, holds and the audit ledger."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors_server.access import Scope
from smartconnectors_server.budget import Keeper, StopsCampaigns, Watch
from smartconnectors_server.call import Call
from smartconnectors_server.customers import Customers
from smartconnectors_server.errors import InvalidBid, NotFound
from smartconnectors_server.ledger import ALL, Entry, Reported, platform_and_campaign
from smartconnectors_server.messages import (
    NANOS_PER_SECOND,
    entry_message,
    hold_message,
    in_flight_message,
    reported_message,
    standing_message,
    stats_message,
)
from smartconnectors_server.services.alerts import AlertReader
from smartconnectors_server.services.shadow_report import ShadowReports

DEFAULT_PAGE_SIZE = 100
DEFAULT_DAYS = 4
_PAGE_TOKEN = re.compile("[0-9]{0,18}")  # a sequence number, within 64 bits

PAUSE_NOTICE = (
    "New bids are refused. Campaigns that are live on the platform keep spending by their last "
    "bids."
)


WITHIN_S = 30.0
"""For a caller without a deadline."""
_SHARE_OF_DEADLINE = 0.9
"""The rest is for the answer's way back."""


def _time_for(call: Call) -> float:
    """How long a call may take, in seconds, so that its answer is still waited for."""
    left_ns = call.remaining_ns(call.started_ns)
    return WITHIN_S if left_ns is None else left_ns * _SHARE_OF_DEADLINE / NANOS_PER_SECOND


ERASE_NOTICE = (
    "What platforms were sent, and logs and backups elsewhere, cannot be erased from here; what a "
    "platform said in refusing a bid stays in the audit ledger."
)


def _page_size(asked: int) -> int:
    return asked or DEFAULT_PAGE_SIZE


def _sees(scope: Scope, line: Entry) -> bool:
    """True when an audit line may be told."""
    if scope.unrestricted:
        return True
    if line.hold_id or line.request_id:
        return scope.sees_hold(line.platform, line.budget_ids)
    return any(scope.sees_budget(budget_id) for budget_id in line.budget_ids)


@contextmanager
def _unlisted(call: Call, budget_id: str) -> Iterator[None]:
    """A NotFound that lists what there is does so to callers who may see all of it."""
    try:
        yield
    except NotFound:
        if call.caller.scope.unrestricted:
            raise
        raise NotFound(f"no budget is called {budget_id!r}") from None


class BudgetServicer:
    """See budget_service.proto for what each method promises.

    Called by the chain with the request and our own `Call`, never with grpc's context. What a
    request names its caller may see; what it does not name is left out here when its caller may
    not.
    """

    def __init__(
        self,
        keeper: Keeper,
        watch: Watch,
        reported: Reported,
        campaigns: StopsCampaigns,
        reports: ShadowReports,
        customers: Customers,
        alerts: AlertReader,
    ) -> None:
        self._alerts = alerts
        self._customers = customers
        self._reported = reported
        self._keeper = keeper
        self._campaigns = campaigns
        self._watch = watch
        self._reports = reports

    def _seen_by(self, call: Call) -> tuple[str, ...]:
        """Every budget that a caller may see."""
        scope = call.caller.scope
        return tuple(b for b in self._keeper.budget_ids() if scope.sees_budget(b))

    async def GetBudgetStats(
        self, request: pb.GetBudgetStatsRequest, call: Call
    ) -> pb.GetBudgetStatsResponse:
        with _unlisted(call, request.budget_id):
            state = self._keeper.state(request.budget_id)
        return pb.GetBudgetStatsResponse(stats=stats_message(state))

    async def ListBudgetStats(
        self, _request: pb.ListBudgetStatsRequest, call: Call
    ) -> pb.ListBudgetStatsResponse:
        states = [self._keeper.state(b) for b in self._seen_by(call)]
        return pb.ListBudgetStatsResponse(stats=[stats_message(s) for s in states])

    async def WatchBudgetStats(
        self, request: pb.WatchBudgetStatsRequest, call: Call
    ) -> AsyncIterator[pb.WatchBudgetStatsResponse]:
        budget_ids = tuple(dict.fromkeys(request.budget_ids)) or self._seen_by(call)
        for budget_id in budget_ids:
            with _unlisted(call, budget_id):
                self._keeper.state(budget_id)
        async for state in self._watch.subscribe(budget_ids):
            yield pb.WatchBudgetStatsResponse(stats=stats_message(state))

    async def UpdateBudget(
        self, request: pb.UpdateBudgetRequest, call: Call
    ) -> pb.UpdateBudgetResponse:
        with _unlisted(call, request.budget_id):
            state = await self._keeper.set_limit(
                request.budget_id, request.limit_micros, request.reason, actor=call.actor
            )
        return pb.UpdateBudgetResponse(stats=stats_message(state))

    async def PauseBudget(
        self, request: pb.PauseBudgetRequest, call: Call
    ) -> pb.PauseBudgetResponse:
        scope = request.budget_id
        with _unlisted(call, scope):
            await self._keeper.set_paused(scope, True, request.reason, actor=call.actor)
        wait_s = min(request.wait.ToNanoseconds() / NANOS_PER_SECOND, _time_for(call))
        flight = await self._keeper.dispatches.idle(scope, wait_s)
        answer = in_flight_message(flight)
        answer.notice = PAUSE_NOTICE
        stats = self._stats_of(scope)
        if stats is not None:
            answer.stats.CopyFrom(stats)
        return answer

    async def ResumeBudget(
        self, request: pb.ResumeBudgetRequest, call: Call
    ) -> pb.ResumeBudgetResponse:
        with _unlisted(call, request.budget_id):
            await self._keeper.set_paused(
                request.budget_id, False, request.reason, actor=call.actor
            )
        return pb.ResumeBudgetResponse(stats=self._stats_of(request.budget_id))

    def _stats_of(self, scope: str) -> BudgetStats | None:
        """The figures of a scope's budget, else of its platform's; None: of all of them."""
        campaign = platform_and_campaign(scope)
        if campaign is not None and scope not in self._keeper.budget_ids():
            scope = campaign[0]
        return None if scope == ALL else stats_message(self._keeper.state(scope))

    async def PauseCampaigns(
        self, request: pb.PauseCampaignsRequest, call: Call
    ) -> pb.PauseCampaignsResponse:
        standings = await self._campaigns.pause(
            request.platform,
            list(request.campaign_ids) or None,
            request.reason,
            call.actor,
            within_s=_time_for(call),
        )
        return pb.PauseCampaignsResponse(campaigns=map(standing_message, standings))

    async def ResumeCampaigns(
        self, request: pb.ResumeCampaignsRequest, call: Call
    ) -> pb.ResumeCampaignsResponse:
        standings = await self._campaigns.resume(
            request.platform,
            list(request.campaign_ids) or None,
            request.reason,
            call.actor,
            within_s=_time_for(call),
        )
        return pb.ResumeCampaignsResponse(campaigns=map(standing_message, standings))

    async def ListHolds(self, request: pb.ListHoldsRequest, call: Call) -> pb.ListHoldsResponse:
        size = _page_size(request.page_size)
        holds = [
            hold
            for hold in self._keeper.open_holds()
            if not request.budget_id or request.budget_id in hold.counts_in
            if call.caller.scope.sees_hold(hold.platform, hold.budget_ids)
        ]
        # A hold's id grows with time, so the last id of a page says where the next one begins.
        after = sorted(
            (h for h in holds if h.hold_id > request.page_token), key=lambda h: h.hold_id
        )
        page = after[:size]
        token = page[-1].hold_id if len(after) > size else ""
        return pb.ListHoldsResponse(holds=[hold_message(h) for h in page], next_page_token=token)

    async def ResolveHold(
        self, request: pb.ResolveHoldRequest, call: Call
    ) -> pb.ResolveHoldResponse:
        asked = await self._keeper.hold(request.hold_id)
        if asked is None or not call.caller.scope.sees_hold(asked.platform, asked.budget_ids):
            raise NotFound(f"no hold is called {request.hold_id!r}")
        settled = request.state == pb.HOLD_STATE_SETTLED
        hold = await self._keeper.end_by_operator(
            request.hold_id, settled=settled, reason=request.reason, actor=call.actor
        )
        return pb.ResolveHoldResponse(hold=hold_message(hold))

    async def ListReportedSpend(
        self, request: pb.ListReportedSpendRequest, call: Call
    ) -> pb.ListReportedSpendResponse:
        if not _PAGE_TOKEN.fullmatch(request.page_token):
            raise InvalidBid.of("page_token", "is not one that this server gave")
        begin, size = int(request.page_token or 0), _page_size(request.page_size)
        days, scope = request.days or DEFAULT_DAYS, call.caller.scope
        rows = [
            row
            for row in self._reported.latest(request.platform, days, self._keeper.now_ns())
            if scope.has_campaign(row.platform, row.campaign_id)
        ]
        end = begin + size
        return pb.ListReportedSpendResponse(
            spend=[reported_message(day) for day in rows[begin:end]],
            next_page_token=str(end) if end < len(rows) else "",
        )

    async def EraseCustomer(
        self, request: pb.EraseCustomerRequest, call: Call
    ) -> pb.EraseCustomerResponse:
        customer = self._customers.hash_of(request.customer_id)
        done = await self._keeper.erase(customer, request.reason, actor=call.actor)
        return pb.EraseCustomerResponse(
            erased_count=done.holds,
            waiting_count=done.waiting,
            customer_hash=customer,
            notice=ERASE_NOTICE,
        )

    async def ListLedgerEntries(
        self, request: pb.ListLedgerEntriesRequest, call: Call
    ) -> pb.ListLedgerEntriesResponse:
        if not _PAGE_TOKEN.fullmatch(request.page_token):
            raise InvalidBid.of("page_token", "is not one that this server gave")
        page = await self._keeper.entries(
            budget_id=request.budget_id,
            request_id=request.request_id,
            size=_page_size(request.page_size),
            token=request.page_token,
        )
        visible = [line for line in page.rows if _sees(call.caller.scope, line)]
        return pb.ListLedgerEntriesResponse(
            entries=[entry_message(e) for e in visible], next_page_token=page.next_token
        )

    async def GetShadowReport(
        self, request: pb.GetShadowReportRequest, _call: Call
    ) -> pb.GetShadowReportResponse:
        return self._reports.of(request.platform)

    async def ListAlerts(self, request: pb.ListAlertsRequest, call: Call) -> pb.ListAlertsResponse:
        return await self._alerts.page(request, call.caller.scope)

    async def WatchAlerts(
        self, request: pb.WatchAlertsRequest, call: Call
    ) -> AsyncIterator[pb.WatchAlertsResponse]:
        async for message in self._alerts.watch(request, call.caller.scope):
            yield message
