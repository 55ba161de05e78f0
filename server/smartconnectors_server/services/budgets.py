"""BudgetService: budgets, holds and the audit ledger."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.common.v1.budget_pb2 import BudgetStats
from smartconnectors_server.budget import Keeper, Watch
from smartconnectors_server.call import Call
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.ledger import ALL, platform_and_campaign
from smartconnectors_server.messages import entry_message, hold_message, stats_message
from smartconnectors_server.services.shadow_report import ShadowReports

DEFAULT_PAGE_SIZE = 100
_PAGE_TOKEN = re.compile("[0-9]{0,18}")  # a sequence number, within 64 bits

PAUSE_NOTICE = (
    "New bids are refused. Campaigns that are live on the platform keep spending by their last "
    "bids."
)


def _page_size(asked: int) -> int:
    return asked or DEFAULT_PAGE_SIZE


class BudgetServicer:
    """See budget_service.proto for what each method promises.

    Called by the chain with the request and our own `Call`, never with grpc's context.
    """

    def __init__(self, keeper: Keeper, watch: Watch, reports: ShadowReports) -> None:
        self._keeper = keeper
        self._watch = watch
        self._reports = reports

    async def GetBudgetStats(
        self, request: pb.GetBudgetStatsRequest, _call: Call
    ) -> pb.GetBudgetStatsResponse:
        state = self._keeper.state(request.budget_id)
        return pb.GetBudgetStatsResponse(stats=stats_message(state))

    async def ListBudgetStats(
        self, _request: pb.ListBudgetStatsRequest, _call: Call
    ) -> pb.ListBudgetStatsResponse:
        states = [self._keeper.state(b) for b in self._keeper.budget_ids()]
        return pb.ListBudgetStatsResponse(stats=[stats_message(s) for s in states])

    async def WatchBudgetStats(
        self, request: pb.WatchBudgetStatsRequest, _call: Call
    ) -> AsyncIterator[pb.WatchBudgetStatsResponse]:
        budget_ids = tuple(dict.fromkeys(request.budget_ids)) or self._keeper.budget_ids()
        for budget_id in budget_ids:
            self._keeper.state(budget_id)
        async for state in self._watch.subscribe(budget_ids):
            yield pb.WatchBudgetStatsResponse(stats=stats_message(state))

    async def UpdateBudget(
        self, request: pb.UpdateBudgetRequest, call: Call
    ) -> pb.UpdateBudgetResponse:
        state = await self._keeper.set_limit(
            request.budget_id, request.limit_micros, request.reason, actor=call.actor
        )
        return pb.UpdateBudgetResponse(stats=stats_message(state))

    async def PauseBudget(
        self, request: pb.PauseBudgetRequest, call: Call
    ) -> pb.PauseBudgetResponse:
        await self._keeper.set_paused(request.budget_id, True, request.reason, actor=call.actor)
        return pb.PauseBudgetResponse(stats=self._stats_of(request.budget_id), notice=PAUSE_NOTICE)

    async def ResumeBudget(
        self, request: pb.ResumeBudgetRequest, call: Call
    ) -> pb.ResumeBudgetResponse:
        await self._keeper.set_paused(request.budget_id, False, request.reason, actor=call.actor)
        return pb.ResumeBudgetResponse(stats=self._stats_of(request.budget_id))

    def _stats_of(self, scope: str) -> BudgetStats | None:
        """The figures of a scope's budget, else of its platform's; None: of all of them."""
        campaign = platform_and_campaign(scope)
        if campaign is not None and scope not in self._keeper.budget_ids():
            scope = campaign[0]
        return None if scope == ALL else stats_message(self._keeper.state(scope))

    async def ListHolds(self, request: pb.ListHoldsRequest, _call: Call) -> pb.ListHoldsResponse:
        size = _page_size(request.page_size)
        holds = [
            hold
            for hold in self._keeper.open_holds()
            if not request.budget_id or request.budget_id in hold.budget_ids
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
        settled = request.state == pb.HOLD_STATE_SETTLED
        hold = await self._keeper.end_by_operator(
            request.hold_id, settled=settled, reason=request.reason, actor=call.actor
        )
        return pb.ResolveHoldResponse(hold=hold_message(hold))

    async def ListLedgerEntries(
        self, request: pb.ListLedgerEntriesRequest, _call: Call
    ) -> pb.ListLedgerEntriesResponse:
        if not _PAGE_TOKEN.fullmatch(request.page_token):
            raise InvalidBid.of("page_token", "is not one that this server gave")
        page = await self._keeper.entries(
            budget_id=request.budget_id,
            request_id=request.request_id,
            size=_page_size(request.page_size),
            token=request.page_token,
        )
        return pb.ListLedgerEntriesResponse(
            entries=[entry_message(e) for e in page.rows], next_page_token=page.next_token
        )

    async def GetShadowReport(
        self, request: pb.GetShadowReportRequest, _call: Call
    ) -> pb.GetShadowReportResponse:
        return self._reports.of(request.platform)
