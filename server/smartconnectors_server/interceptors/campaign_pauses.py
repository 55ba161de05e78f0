"""Pauses campaigns at their platforms to stop all spending, and lets those run again.

Each pause goes through the chain as if a caller had asked for that one campaign: past budgets and
an open circuit breaker, with the reserved share of the quota.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smartconnectors.common.v1.connector_pb2 import CampaignStatusResult, CampaignStatusUpdate
from smartconnectors_server.access import Caller, Role
from smartconnectors_server.budget import CampaignOutcome, CampaignStanding
from smartconnectors_server.call import Call, MethodSpec, MethodTable
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.connector import Mode
from smartconnectors_server.errors import (
    ConnectorError,
    InternalError,
    InvalidBid,
    LedgerUnavailable,
    NotFound,
    PlatformRejected,
    RequestError,
)
from smartconnectors_server.interceptors._base import Engines, Next, PlatformRuntime
from smartconnectors_server.interceptors.campaign_stops import CampaignStops
from smartconnectors_server.ledger import Stop
from smartconnectors_server.telemetry import Lasting

AT_ONCE = 8
"""Campaigns of one platform that are paused side by side."""
WITHIN_S = 30.0
LOOK_WITHIN_S = 2.0
"""How long a pause may be held up by looking which campaigns run."""
AGAIN_AFTER_S = 1.0
"""When a platform that did not answer is asked again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for, of one platform."""

    runtime: PlatformRuntime
    reason: str
    actor: str
    until_ns: int
    """Monotonic."""
    number: int
    """Of the pause that was the last one then: a resumption gives way to a later one."""


class _GaveWay(Exception):
    """Campaigns were paused while they were being resumed."""


class CampaignPauses:
    """Pauses and resumes many campaigns. What was begun goes on when its caller hangs up."""

    def __init__(
        self,
        engines: Engines,
        methods: MethodTable,
        chain: Callable[[MethodSpec], Next],
        stops: CampaignStops,
    ) -> None:
        """`chain`: what a message of the method goes through, from telemetry inwards. `stops`:
        keeps callers from resuming what is being paused.
        """
        self._engines = engines
        self._clock = engines.clock
        self._lasting = Lasting(log, engines.clock)
        self._records = engines.keeper.campaigns
        self._chain = chain
        self._specs = {(spec.platform, spec.name): spec for spec in methods}
        self._stops = stops
        self._pauses = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def pause(
        self,
        platform: str,
        campaign_ids: Sequence[str] | None,
        reason: str,
        actor: str = "",
        *,
        within_s: float = WITHIN_S,
    ) -> list[CampaignStanding]:
        """Pauses campaigns at their platform; one that fails keeps none of the others from it.

        Args:
            platform: empty: every platform.
            campaign_ids: None: every campaign that this server has changed.
            reason: why; the audit ledger keeps it.
            actor: who wants it; empty: nobody in particular.
            within_s: how long to try again what is refused for now.

        Raises NotFound for an unknown platform, InvalidBid for ids without a platform, and
        LedgerUnavailable when it cannot be read which campaigns were changed.
        """
        orders = self._orders(platform, campaign_ids, reason, actor, within_s)
        self._pauses += 1
        return await self._all(orders, campaign_ids, self._pause_those)

    async def pause_or_raise(self, platform: str, campaign_ids: Sequence[str], reason: str) -> None:
        """For the server's own use: pauses these, and raises the first error of one that failed."""
        standings = await self.pause(platform, campaign_ids, reason)
        for standing in standings:
            if standing.error is not None:
                raise standing.error

    async def resume(
        self,
        platform: str,
        campaign_ids: Sequence[str] | None,
        reason: str,
        actor: str = "",
        *,
        within_s: float = WITHIN_S,
    ) -> list[CampaignStanding]:
        """Lets campaigns run again that `pause` has paused, and leaves all others. As `pause`;
        `campaign_ids` None: every campaign that `pause` has paused.
        """
        orders = self._orders(platform, campaign_ids, reason, actor, within_s)
        return await self._all(orders, campaign_ids, self._resume_those)

    async def drain(self) -> None:
        """Returns when what was begun has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # Which

    def _orders(
        self,
        platform: str,
        campaign_ids: Sequence[str] | None,
        reason: str,
        actor: str,
        within_s: float,
    ) -> list[_Order]:
        runtimes = self._engines.runtimes
        if campaign_ids is not None and not platform:
            raise InvalidBid.of("platform", "is needed to say whose campaigns these are")
        if platform and platform not in runtimes:
            there_are = ", ".join(sorted(runtimes))
            raise NotFound(f"no platform is called {platform!r}; there are: {there_are}")
        until_ns = self._clock.monotonic_ns() + round(within_s * NANOS_PER_SECOND)
        chosen = [runtimes[platform]] if platform else runtimes.values()
        return [_Order(runtime, reason, actor, until_ns, self._pauses) for runtime in chosen]

    async def _all(
        self,
        orders: Sequence[_Order],
        campaign_ids: Sequence[str] | None,
        work: Callable[[_Order, Sequence[str] | None], Awaitable[list[CampaignStanding]]],
    ) -> list[CampaignStanding]:
        async def together() -> list[CampaignStanding]:
            found = await asyncio.gather(
                *(work(order, campaign_ids) for order in orders), return_exceptions=True
            )
            await self._on_disk()
            standings: list[CampaignStanding] = []
            for each in found:
                if isinstance(each, BaseException):
                    raise each
                standings += each
            return sorted(standings, key=lambda one: (one.platform, one.campaign_id))

        task = asyncio.ensure_future(together())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _on_disk(self) -> None:
        try:
            await self._records.flush()
        except LedgerUnavailable as error:
            said = "which campaigns were paused or resumed is not on disk yet: %s"
            self._lasting.say("disk", said, error, level=logging.WARNING)

    # Pausing

    async def _pause_those(
        self, order: _Order, campaign_ids: Sequence[str] | None
    ) -> list[CampaignStanding]:
        runtime = order.runtime
        with self._stops.stopping(runtime.name, campaign_ids):
            ids = campaign_ids
            if ids is None:
                ids = await self._records.changed(runtime.name)
            if runtime.mode is Mode.SHADOW:
                shadowed = CampaignOutcome.SHADOWED
                return [CampaignStanding(runtime.name, one, shadowed) for one in ids]
            stopped = await self._records.stopped(runtime.name)
            running = await self._running(runtime, ids)
            return await self._each(
                order, ids, lambda one: self._pause(order, one, running.get(one), one in stopped)
            )

    async def _running(self, runtime: PlatformRuntime, ids: Sequence[str]) -> Mapping[str, bool]:
        """Which run, as far as that can be seen soon."""
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                return await (await runtime.connector()).running(ids)
        except (TimeoutError, ConnectorError):
            return {}

    async def _pause(
        self, order: _Order, campaign_id: str, was_running: bool | None, on_record: bool
    ) -> CampaignStanding:
        """`was_running` None: that could not be seen, so what is on record stays. A campaign that
        was paused already is put on record too: callers may not resume it before an operator does.
        """
        name = order.runtime.name
        result = await self._ask(order, "PauseCampaign", campaign_id)
        if was_running is None and not result.changed:
            was_running = False
        if was_running or not on_record:
            self._records.record_pause(
                name, campaign_id, order.reason, order.actor, was_running=was_running
            )
        if was_running is not False:
            return CampaignStanding(name, campaign_id, CampaignOutcome.PAUSED)
        return CampaignStanding(name, campaign_id, CampaignOutcome.ALREADY_PAUSED)

    # Resuming

    async def _resume_those(
        self, order: _Order, campaign_ids: Sequence[str] | None
    ) -> list[CampaignStanding]:
        runtime = order.runtime
        paused = await self._records.paused(runtime.name)
        stopped = await self._records.stopped(runtime.name)
        ids = list(paused) if campaign_ids is None else campaign_ids
        if runtime.mode is Mode.SHADOW:
            return [CampaignStanding(runtime.name, one, CampaignOutcome.SHADOWED) for one in ids]
        if campaign_ids is None:
            for one in stopped.keys() - paused.keys():
                self._release(order, one, stopped[one])
        return await self._each(
            order,
            ids,
            lambda one: self._resume(order, one, stopped.get(one), ours=paused.get(one, False)),
        )

    async def _resume(
        self, order: _Order, campaign_id: str, stop: Stop | None, *, ours: bool
    ) -> CampaignStanding:
        name = order.runtime.name
        if not ours:
            self._release(order, campaign_id, stop)
            return CampaignStanding(name, campaign_id, CampaignOutcome.LEFT)
        try:
            result = await self._ask(order, "ResumeCampaign", campaign_id, gives_way=True)
        except _GaveWay:
            return CampaignStanding(name, campaign_id, CampaignOutcome.LEFT)
        self._records.record_resumption(name, campaign_id, order.reason, order.actor)
        outcome = CampaignOutcome.RESUMED if result.changed else CampaignOutcome.ALREADY_RUNNING
        return CampaignStanding(name, campaign_id, outcome)

    def _release(self, order: _Order, campaign_id: str, stop: Stop | None) -> None:
        """Lets callers resume by name what stays paused, unless it was stopped by name or again."""
        if stop is Stop.WITH_OTHERS and order.number == self._pauses:
            self._records.record_release(order.runtime.name, campaign_id, order.reason, order.actor)

    # Asking

    async def _each(
        self, order: _Order, ids: Sequence[str], work: Callable[[str], Awaitable[CampaignStanding]]
    ) -> list[CampaignStanding]:
        room = asyncio.Semaphore(AT_ONCE)
        name = order.runtime.name

        async def one(campaign_id: str) -> CampaignStanding:
            async with room:
                try:
                    return await work(campaign_id)
                except ConnectorError as error:
                    return CampaignStanding(name, campaign_id, CampaignOutcome.FAILED, error)
                except Exception:
                    # What one campaign meets must not keep the others from it.
                    log.exception("%s: campaign %s", name, campaign_id)
                    ours = InternalError("The server failed; whether it was sent is not known.")
                    return CampaignStanding(name, campaign_id, CampaignOutcome.FAILED, ours)

        return list(await asyncio.gather(*map(one, dict.fromkeys(ids))))

    async def _ask(
        self, order: _Order, method: str, campaign_id: str, *, gives_way: bool = False
    ) -> CampaignStatusResult:
        """Asks until it is done or refused for good, within the order's time.

        Raises ConnectorError, and _GaveWay.
        """
        spec = self._specs[order.runtime.name, method]
        chain = self._chain(spec)
        make: Any = spec.request_class
        request = make(update=CampaignStatusUpdate(campaign_id=campaign_id))
        while True:
            call = Call(spec, self._clock.monotonic_ns(), order.until_ns)
            call.caller = Caller(order.actor, Role.OPERATE)
            try:
                # So that a resumption that is under way does not arrive after the pause.
                async with self._stops.alone(order.runtime.name, campaign_id, call):
                    if gives_way and order.number != self._pauses:
                        raise _GaveWay
                    response = await chain(request, call)
            except (RequestError, PlatformRejected):
                raise
            except ConnectorError as error:
                await self._wait(error, order)
            else:
                result: CampaignStatusResult = response.result
                return result

    async def _wait(self, error: ConnectorError, order: _Order) -> None:
        """Until it may be asked again. Raises the error when that is too late."""
        after_s = error.retry_after_s or AGAIN_AFTER_S
        left_s = (order.until_ns - self._clock.monotonic_ns()) / NANOS_PER_SECOND
        if after_s >= left_s:
            raise error
        await self._clock.sleep(after_s)
