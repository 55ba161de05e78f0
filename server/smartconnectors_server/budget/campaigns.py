"""What the ledger remembers of campaigns: which were changed, and which were paused to stop all."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from smartconnectors_server.budget.refusal import spoken
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.ledger import (
    BY_NAME,
    BY_NAME_OF_OPERATOR,
    LEFT_PAUSED,
    NOT_SEEN_RUNNING,
    PAUSE_CAMPAIGN,
    RESUME_CAMPAIGN,
    WAS_PAUSED,
    WAS_RUNNING,
    Ledger,
    Stop,
    campaign_scope,
    platform_and_campaign,
)


class CampaignOutcome(enum.Enum):
    """What became of one campaign."""

    PAUSED = "paused"
    ALREADY_PAUSED = "already_paused"
    RESUMED = "resumed"
    ALREADY_RUNNING = "already_running"
    LEFT = "left"
    """Not paused by us, or it could not be seen that it was running before."""
    FAILED = "failed"
    SHADOWED = "shadowed"
    """The platform is in shadow mode: nothing was sent."""


@dataclass(frozen=True, slots=True)
class CampaignStanding:
    """One campaign afterwards. `error` says why it FAILED, and is None otherwise."""

    platform: str
    campaign_id: str
    outcome: CampaignOutcome
    error: ConnectorError | None = None


class StopsCampaigns(Protocol):
    """Pauses and resumes campaigns at their platforms."""

    async def pause(
        self,
        platform: str,
        campaign_ids: Sequence[str] | None,
        reason: str,
        actor: str = "",
        *,
        within_s: float = ...,
    ) -> list[CampaignStanding]:
        """Pauses campaigns; one that fails keeps none of the others from it.

        Args:
            platform: empty: every platform.
            campaign_ids: None: every campaign that this server has changed.
            reason: why; the audit ledger keeps it.
            actor: who wants it; empty: nobody in particular.
            within_s: how long to try again what is refused for now.

        Raises NotFound for an unknown platform, InvalidBid for ids without a platform, and
        LedgerUnavailable when it cannot be read which campaigns were changed.
        """
        ...

    async def resume(
        self,
        platform: str,
        campaign_ids: Sequence[str] | None,
        reason: str,
        actor: str = "",
        *,
        within_s: float = ...,
    ) -> list[CampaignStanding]:
        """Lets campaigns run again that `pause` has paused, and leaves all others. As `pause`;
        `campaign_ids` None: every campaign that `pause` has paused.
        """
        ...


class CampaignRecords:
    """Campaigns by platform. What is recorded becomes durable behind the caller's back; `flush`
    waits for it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def changed(self, platform: str) -> tuple[str, ...]:
        """The ids of all campaigns that something was ever sent for. Raises LedgerUnavailable."""
        with spoken():
            scopes = await self._ledger.campaigns()
        found = (platform_and_campaign(scope) for scope in scopes)
        return tuple(sorted(one[1] for one in found if one is not None and one[0] == platform))

    async def paused(self, platform: str) -> Mapping[str, bool]:
        """The ids of those that were paused to stop all spending, and whether they were seen
        running before. Raises LedgerUnavailable.
        """
        with spoken():
            scopes = await self._ledger.paused_campaigns()
        found = ((platform_and_campaign(scope), ours) for scope, ours in sorted(scopes.items()))
        return {one[1]: ours for one, ours in found if one is not None and one[0] == platform}

    async def stopped(self, platform: str) -> Mapping[str, Stop]:
        """The ids of those that only an operator may resume, and how they were stopped. Raises
        LedgerUnavailable.
        """
        with spoken():
            scopes = await self._ledger.stopped_campaigns()
        found = ((platform_and_campaign(scope), how) for scope, how in scopes.items())
        return {one[1]: how for one, how in found if one is not None and one[0] == platform}

    def record_pause(
        self, platform: str, campaign_id: str, reason: str, actor: str, *, was_running: bool | None
    ) -> None:
        """It was paused to stop all spending. `was_running` None: that could not be read."""
        if was_running is None:
            before = NOT_SEEN_RUNNING
        else:
            before = WAS_RUNNING if was_running else WAS_PAUSED
        note = f"{before}{reason}"
        self._record(platform, campaign_id, PAUSE_CAMPAIGN, note, actor)

    def record_resumption(self, platform: str, campaign_id: str, reason: str, actor: str) -> None:
        """It runs again."""
        self._record(platform, campaign_id, RESUME_CAMPAIGN, reason, actor)

    def record_release(self, platform: str, campaign_id: str, reason: str, actor: str) -> None:
        """It stays paused, and callers may resume it from now on."""
        self._record(platform, campaign_id, RESUME_CAMPAIGN, f"{LEFT_PAUSED}{reason}", actor)

    def record_by_name(
        self, platform: str, campaign_id: str, actor: str, *, paused: bool, by_operator: bool
    ) -> None:
        """A caller has paused or resumed this one, which counts from now on."""
        verb = PAUSE_CAMPAIGN if paused else RESUME_CAMPAIGN
        note = BY_NAME_OF_OPERATOR if by_operator else BY_NAME
        self._record(platform, campaign_id, verb, note, actor)

    async def flush(self) -> None:
        """Returns when all of it is on disk. Raises LedgerUnavailable."""
        with spoken():
            await self._ledger.flush()

    def _record(self, platform: str, campaign_id: str, verb: str, note: str, actor: str) -> None:
        scope = campaign_scope(platform, campaign_id)
        self._ledger.record_campaign(scope, verb, note, actor=actor)
