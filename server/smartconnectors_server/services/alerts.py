"""Alerts as callers read them: pages from either end, and a stream that goes on where one was."""

from __future__ import annotations

from collections.abc import AsyncIterator

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors_server.access import Scope
from smartconnectors_server.budget.refusal import spoken
from smartconnectors_server.errors import ServerDraining
from smartconnectors_server.ledger import FROM_THE_END, Alert, AlertLog, id_of, sequence_of
from smartconnectors_server.messages import alert_message

DEFAULT_PAGE_SIZE = 100


def _sees(scope: Scope, alert: Alert) -> bool:
    """True when it may be told."""
    if scope.unrestricted:
        return True
    if alert.request_id:
        return scope.sees_hold(alert.platform, alert.budget_ids)
    return any(scope.sees_budget(budget_id) for budget_id in alert.budget_ids)


class AlertReader:
    """See budget_service.proto. What its caller may not see is left out."""

    def __init__(self, alerts: AlertLog) -> None:
        self._alerts = alerts

    async def page(self, request: pb.ListAlertsRequest, scope: Scope) -> pb.ListAlertsResponse:
        """One page. Raises LedgerUnavailable."""
        size = request.page_size or DEFAULT_PAGE_SIZE
        begin = FROM_THE_END if request.newest_first else 0
        begin = sequence_of(request.after_id) if request.after_id else begin
        look = self._alerts.newest if request.newest_first else self._alerts.page
        with spoken():
            found = await look(begin, size + 1)
        page, standing = found[:size], self._alerts.standing()
        return pb.ListAlertsResponse(
            alerts=[alert_message(one, standing) for one in page if _sees(scope, one)],
            next_after_id=page[-1].id if len(found) > size else "",
        )

    async def watch(
        self, request: pb.WatchAlertsRequest, scope: Scope
    ) -> AsyncIterator[pb.WatchAlertsResponse]:
        """Until the server stops. Raises LedgerUnavailable, and ServerDraining when it stops."""
        after = sequence_of(request.after_id) if request.after_id else self._alerts.last
        yield pb.WatchAlertsResponse(after_id=id_of(after))
        with spoken():
            async for alerts in self._alerts.follow(after):
                for alert in alerts:
                    if _sees(scope, alert):
                        message = alert_message(alert, self._alerts.standing())
                        yield pb.WatchAlertsResponse(alert=message, after_id=alert.id)
        raise ServerDraining.ended("Watch again from the last `after_id` to go on; none is missed.")
