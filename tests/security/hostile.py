"""A caller that does everything that a `bid` token on one campaign allows, as often as it can."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc.aio
from tests.server.access.people import Person

from smartconnectors.budgets.v1 import budget_service_pb2 as budgets_pb2
from smartconnectors.common.v1 import bid_pb2, campaign_pb2
from smartconnectors.common.v1.connector_pb2 import CampaignStatusUpdate
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2

USD = 1_000_000
AT_ONCE = 4
"""How often each kind of attack runs side by side."""


def bid_on(campaign_id: str, request_id: str, usd: float, **fields: Any) -> Any:
    """A bid that makes a target ROAS of 30 / usd."""
    return ads_pb2.PlaceBidRequest(
        bid=bid_pb2.BidRequest(
            request_id=request_id,
            campaign_id=campaign_id,
            bid_micros=round(usd * USD),
            predicted_ltv_micros=30 * USD,
            **fields,
        )
    )


class Hostile:
    """Attacks while it is entered.

    Attributes:
        outcomes: how its calls ended, by attack.
        answered: answers that came on streams, by attack.
    """

    def __init__(self, address: str, token: str, campaign_id: str) -> None:
        self._person = Person(address, token)
        self._campaign_id = campaign_id
        self._numbers = itertools.count()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.answered: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def attacking(self) -> AsyncIterator[None]:
        attacks: list[Callable[[], Coroutine[Any, Any, Any]]] = [
            self._bid,
            self._dry_run,
            self._batch,
            self._stream,
            self._pause,
            self._pause_dry_run,
            self._resume,
            self._audience,
            self._daily_budget,
            self._reads,
            self._watch,
        ]
        tasks = [
            asyncio.ensure_future(self._again_and_again(attack))
            for attack in attacks
            for _ in range(AT_ONCE)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await self._person.channel.close()
        wrong = [one for one in ended if not isinstance(one, asyncio.CancelledError)]
        assert not wrong, wrong

    async def _again_and_again(self, attack: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        while True:
            try:
                await attack()
                outcome = "OK"
            except grpc.aio.AioRpcError as error:
                outcome = error.code().name
            self.outcomes[attack.__name__, outcome] += 1
            await asyncio.sleep(0.01)  # so that those who are attacked have a processor, too

    def _ask(self, method: str, request: Any) -> Any:
        return self._person.ask(getattr(self._person.ads, method), request)

    def _one(self, **fields: Any) -> Any:
        number = next(self._numbers)
        return bid_on(self._campaign_id, f"hostile-{number}", 10 + number % 7, **fields)

    def _status(self, message: Any, *, validate_only: bool = False) -> Any:
        update = CampaignStatusUpdate(campaign_id=self._campaign_id, validate_only=validate_only)
        return message(update=update)

    async def _bid(self) -> None:
        await self._ask("PlaceBid", self._one())

    async def _dry_run(self) -> None:
        await self._ask("PlaceBid", self._one(validate_only=True))

    async def _batch(self) -> None:
        bids = [self._one() for _ in range(20)]
        await self._ask("PlaceBids", ads_pb2.PlaceBidsRequest(bids=bids))

    async def _stream(self) -> None:
        messages = [ads_pb2.StreamBidsRequest(bid=self._one()) for _ in range(20)]
        async for _ in self._ask("StreamBids", iter(messages)):
            self.answered["_stream"] += 1

    async def _pause(self) -> None:
        await self._ask("PauseCampaign", self._status(ads_pb2.PauseCampaignRequest))

    async def _pause_dry_run(self) -> None:
        request = self._status(ads_pb2.PauseCampaignRequest, validate_only=True)
        await self._ask("PauseCampaign", request)

    async def _resume(self) -> None:
        await self._ask("ResumeCampaign", self._status(ads_pb2.ResumeCampaignRequest))

    async def _audience(self) -> None:
        update = campaign_pb2.AudienceUpdate(
            campaign_id=self._campaign_id, add_audience_ids=[str(next(self._numbers) + 1)]
        )
        await self._ask("UpdateTargetAudience", ads_pb2.UpdateTargetAudienceRequest(update=update))

    async def _daily_budget(self) -> None:
        update = campaign_pb2.CampaignBudgetUpdate(
            request_id=f"hostile-{next(self._numbers)}",
            campaign_id=self._campaign_id,
            daily_budget_micros=90 * USD,
        )
        await self._ask("UpdateCampaignBudget", ads_pb2.UpdateCampaignBudgetRequest(update=update))

    async def _reads(self) -> None:
        request = budgets_pb2.ListLedgerEntriesRequest(page_size=100)
        await self._person.ask(self._person.budgets.ListLedgerEntries, request)

    async def _watch(self) -> None:
        request = budgets_pb2.WatchBudgetStatsRequest(budget_ids=["google_ads"])
        watch = self._person.ask(self._person.budgets.WatchBudgetStats, request)
        for _ in range(20):
            await watch.read()
            self.answered["_watch"] += 1
        watch.cancel()
