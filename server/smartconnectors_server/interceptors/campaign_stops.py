"""Which campaigns a caller may resume by name: not what an operator stopped, nor under a pause."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from smartconnectors_server.access import Role
from smartconnectors_server.budget import Keeper
from smartconnectors_server.budget.refusal import paused_campaign
from smartconnectors_server.call import Call
from smartconnectors_server.errors import PermissionDenied
from smartconnectors_server.interceptors._base import PlatformRuntime
from smartconnectors_server.interceptors.targets import TargetLocks


class CampaignStops:
    """What is sent about one campaign, one at a time, so that a stop is the last word."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._locks = TargetLocks()
        self._under_way: list[tuple[str, Collection[str] | None]] = []

    def alone(
        self, platform: str, campaign_id: str, call: Call
    ) -> AbstractAsyncContextManager[None]:
        """Waits until nothing else is sent about the campaign."""
        return self._locks.hold(f"{platform}/{campaign_id}", call)

    @contextmanager
    def stopping(self, platform: str, campaign_ids: Collection[str] | None) -> Iterator[None]:
        """A stop is under way inside the block. `campaign_ids` None: of all of the platform's."""
        stop = (platform, campaign_ids)
        self._under_way.append(stop)
        try:
            yield
        finally:
            self._under_way.remove(stop)

    @asynccontextmanager
    async def resuming(
        self, runtime: PlatformRuntime, campaign_id: str, call: Call
    ) -> AsyncIterator[None]:
        """Inside the block a caller resumes a campaign by name, and no stop overtakes it. The role
        `operate` may always. Raises PermissionDenied, BudgetPaused, LedgerUnavailable.
        """
        if call.caller.role >= Role.OPERATE:
            yield
            return
        async with self.alone(runtime.name, campaign_id, call):
            stopped = await self._keeper.campaigns.stopped(runtime.name)
            if campaign_id in stopped or self._is_stopping(runtime.name, campaign_id):
                raise PermissionDenied(
                    f"{runtime.name}: campaign {campaign_id} was stopped, and only the role "
                    f"`{Role.OPERATE.word}` may resume it; nothing was sent. Ask an operator.",
                    metadata={"needs": Role.OPERATE.word},
                )
            # A pause of a platform or of all also counts for its campaigns.
            pause = self._keeper.pause_of(self._keeper.budget_ids_of(runtime.book, campaign_id))
            if pause is not None:
                raise paused_campaign(pause, campaign_id)
            yield

    def _is_stopping(self, platform: str, campaign_id: str) -> bool:
        return any(
            platform == name and (ids is None or campaign_id in ids)
            for name, ids in self._under_way
        )
