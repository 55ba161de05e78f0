"""Which holds and audit lines may be told to whom."""

from __future__ import annotations

from smartconnectors_server.access import Scope
from smartconnectors_server.budget import Keeper
from smartconnectors_server.call import MethodTable
from smartconnectors_server.ledger import Entry, Hold


class Visible:
    """Judges by the platform and the campaign that a hold's request names. What can no longer be
    read is for callers who may see every campaign.
    """

    def __init__(self, keeper: Keeper, methods: MethodTable) -> None:
        self._keeper = keeper
        self._methods = methods

    def hold(self, hold: Hold, scope: Scope) -> bool:
        """True when a hold may be told."""
        return scope.has_all_of(hold.platform) or scope.has_campaign(
            hold.platform, self._methods.campaign_of(hold)
        )

    async def entries(self, entries: tuple[Entry, ...], scope: Scope) -> list[Entry]:
        """The audit lines that may be told, in order. Raises LedgerUnavailable."""
        if scope.unrestricted:
            return list(entries)
        known: dict[str, bool] = {}
        visible = []
        for entry in entries:
            if not entry.hold_id:
                told = any(scope.sees_budget(budget_id) for budget_id in entry.budget_ids)
            elif scope.has_all_of(entry.platform):
                told = True
            else:
                if entry.hold_id not in known:
                    known[entry.hold_id] = await self._of_hold(entry.hold_id, scope)
                told = known[entry.hold_id]
            if told:
                visible.append(entry)
        return visible

    async def _of_hold(self, hold_id: str, scope: Scope) -> bool:
        hold = await self._keeper.hold(hold_id)
        return hold is not None and self.hold(hold, scope)
