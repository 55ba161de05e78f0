"""Places deferred bids when the breaker lets calls through again, and expires those too old.

Half-open, they are the probes: one at a time, within pause and rate limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from smartconnectors_server.budget import Verb, outcome_of
from smartconnectors_server.call import Call, MethodSpec, MethodTable, Plan, Priced
from smartconnectors_server.circuitbreaker import CircuitOpen
from smartconnectors_server.connector import Connector
from smartconnectors_server.errors import (
    ConnectorError,
    Outcome,
    RateLimited,
    RequestError,
    ServerDraining,
)
from smartconnectors_server.failpoints import Place, reached
from smartconnectors_server.interceptors._base import Engines, Next, PlatformRuntime
from smartconnectors_server.interceptors.amounts import check_bid
from smartconnectors_server.interceptors.answers import priced_of, store_error
from smartconnectors_server.interceptors.change_rules import ChangeRules
from smartconnectors_server.interceptors.sending import send_held
from smartconnectors_server.interceptors.telemetry import outcome_name, tell
from smartconnectors_server.ledger import Hold, HoldNotOpen, HoldState
from smartconnectors_server.telemetry import Lasting

LOOK_EVERY_S = 0.25

log = logging.getLogger(__name__)


class DeferredBids:
    """The worker of deferred bids."""

    def __init__(
        self, engines: Engines, methods: MethodTable, inner: Callable[[MethodSpec], Next]
    ) -> None:
        """`inner`: the chain from the circuit breaker inwards."""
        self._engines = engines
        self._keeper = engines.keeper
        self._methods = methods
        self._inner = inner
        self._looking = asyncio.Lock()
        self._draining = False
        self._planning: set[asyncio.Task[Plan]] = set()
        self._lasting = Lasting(log, engines.clock)
        self._planned_targets: dict[str, str] = {}
        """Hold -> its target as the platform names it, which is known from its first plan on."""

    def stop(self) -> None:
        """Begins no further bid, and gives up reading what those that wait would change."""
        self._draining = True
        for task in self._planning:
            task.cancel()

    async def drain(self) -> None:
        """Stops, and returns when those that are being sent have ended."""
        self.stop()
        async with self._looking:
            return

    async def run(self) -> None:
        """Looks again and again, until drained."""
        while not self._draining:
            try:
                async with self._looking:
                    await self.look()
            except ConnectorError as error:
                self._say_waiting("", "", error)
            except Exception as error:  # noqa: BLE001 - logged with its traceback
                # If this task died of it, nothing deferred would be placed any more.
                self._say_failed("", error)
            await self._engines.clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Expires what is too old and places what may be placed, platforms side by side."""
        by_book: dict[str, list[Hold]] = {}
        waiting = self._keeper.open_holds(HoldState.DEFERRED)
        ids = {hold.hold_id for hold in waiting}
        self._planned_targets = {h: t for h, t in self._planned_targets.items() if h in ids}
        for hold in waiting:
            if self._keeper.now_ns() >= hold.expires_ns:
                await self._keeper.expire(hold)
            else:
                by_book.setdefault(hold.platform, []).append(hold)
        # What waits in another book than the present mode's is not placed: it expires there.
        runtimes = [r for r in self._engines.runtimes.values() if r.book in by_book]
        await asyncio.gather(*(self._place_all(r, by_book[r.book]) for r in runtimes))

    async def _place_all(self, runtime: PlatformRuntime, holds: list[Hold]) -> None:
        for hold in self._ready(runtime.book, holds):
            if self._draining:
                return
            if not runtime.is_connected or not runtime.breaker.would_admit():
                return
            if runtime.limiter.look() is not None:
                return
            if len(runtime.accounts) > 1 and self._account_waits(runtime, hold):
                continue
            try:
                go_on = await self._place(runtime, hold)
            except ConnectorError:
                raise
            except Exception as error:  # noqa: BLE001 - logged with its traceback
                # What one bid meets must not keep the others waiting; it waits until it expires.
                self._say_failed(hold.request_id, error)
                continue
            if not go_on:
                return

    def _account_waits(self, runtime: PlatformRuntime, hold: Hold) -> bool:
        """True while the platform has asked the bid's own account to wait, and not the others."""
        spec = self._methods.get(hold.method)
        if spec is None:
            return False
        obeys = runtime.obeys(spec.request_class.FromString(hold.request))
        return runtime.limiter.look(obeys=obeys) is not None

    def _ready(self, book: str, holds: list[Hold]) -> list[Hold]:
        """Those that would not be refused for their target or their budgets in the end. They are
        not even planned: a plan may read the platform, and would take the quota that the end of a
        doubt needs.
        """
        keeper = self._keeper
        doubts = keeper.open_holds(HoldState.IN_DOUBT)
        doubtful = {doubt.target for doubt in doubts if doubt.platform == book}
        return [
            hold
            for hold in holds
            if doubtful.isdisjoint({hold.target, self._planned_targets.get(hold.hold_id, "")})
            and (not hold.amount_micros or keeper.pause_of(hold.counts_in) is None)
        ]

    async def _place(self, runtime: PlatformRuntime, hold: Hold) -> bool:
        """Places one; False when the platform should be left alone for now."""
        spec = self._methods.get(hold.method)
        if spec is None:
            await self._keeper.resolve(hold, Verb.RELEASE, note=f"{hold.method} is not served")
            return True
        request: Any = spec.request_class.FromString(hold.request)
        if not runtime.goes_to_place_of(hold, request):
            return True  # it expires
        call = Call(spec=spec, started_ns=self._engines.clock.monotonic_ns(), held=True)
        call.request_id, call.campaign_id = hold.request_id, request.bid.campaign_id
        call.customer = hold.customer
        call.priced = priced = priced_of(hold)
        connector = await runtime.connector()
        async with runtime.targets.hold(hold.target, call):
            try:
                plan = await self._plan(connector, request, priced)
            except RequestError as error:
                await self._reject(hold, error)
                return True
            except (ServerDraining, ConnectorError) as error:
                if isinstance(error, ConnectorError):
                    self._say_waiting(runtime.book, hold.request_id, error)
                return False
            call.plan = plan
            self._engines.unknown_ids.seen(runtime.book, plan.marker, plan.target)
            self._planned_targets[hold.hold_id] = plan.target
            if plan.target == hold.target:
                return await self._send(runtime, hold, request, call, plan)
            async with runtime.targets.hold(plan.target, call):
                return await self._send(runtime, hold, request, call, plan)

    async def _plan(self, connector: Connector, request: Any, priced: Priced) -> Plan:
        """What it would change. Raises ServerDraining when the server stops meanwhile."""
        planning = asyncio.ensure_future(connector.plan(request, priced))
        self._planning.add(planning)
        planning.add_done_callback(self._planning.discard)
        try:
            return await planning
        except asyncio.CancelledError:
            if self._draining and planning.cancelled():
                raise ServerDraining.refused() from None
            raise

    def _say_waiting(self, book: str, request_id: str, error: ConnectorError) -> None:
        """In the log, of all that wait on a platform for one reason together."""
        who = f"deferred request {request_id} waits" if request_id else "deferred bids wait"
        self._lasting.say((book, error.reason), "%s: %s", who, error.message)

    def _say_failed(self, request_id: str, error: Exception) -> None:
        who = f"deferred request {request_id} waits" if request_id else "deferred bids wait"
        self._lasting.say((request_id, type(error)), "%s", who, level=logging.ERROR, error=error)

    async def _send(
        self,
        runtime: PlatformRuntime,
        hold: Hold,
        request: Any,
        call: Call,
        plan: Plan,
    ) -> bool:
        priced = call.present_price()
        started_ns = self._engines.clock.wall_ns()
        call.trace = self._engines.telemetry.tracer.begin(link=hold.trace)
        if not await self._may_change(runtime, hold, priced, plan):
            return True
        if not runtime.breaker.would_admit():
            return False  # the reads of its plan were too slow: no disk sync for what waits anyway
        try:
            held = call.hold = await self._keeper.dispatch(
                hold, target=plan.target, before=plan.before
            )
            reached(Place.DEFERRED_DISPATCH)
        except HoldNotOpen:
            return True  # superseded or expired while it was planned
        except ConnectorError as error:
            self._say_waiting(runtime.book, hold.request_id, error)
            return False
        outcome = "INTERNAL"
        refusal: Exception | None = None
        try:
            response = await send_held(
                self._engines, runtime, self._inner(call.spec), request, call, held, priced
            )
            outcome = outcome_name(response)
            runtime.last_change_ns[plan.target] = self._keeper.now_ns()
        except (ConnectorError, CircuitOpen) as error:
            outcome, refusal = getattr(error, "reason", "DEFERRED"), error
            if outcome_of(error, dispatched=call.dispatched) is Outcome.NOT_SENT:
                await self._wait_again(held, priced, error)
            return False
        except Exception as error:
            # An unforeseen one leaves the hold held only when nothing was sent.
            refusal = error
            await self._wait_again(held, priced, error)
            raise
        finally:
            self._tell(call, outcome, started_ns, refusal)
        return True

    def _tell(self, call: Call, outcome: str, started_ns: int, refusal: Exception | None) -> None:
        engines = self._engines
        tell(engines.telemetry, engines.clock, call, outcome, started_ns, refusal, deferred=True)

    async def _may_change(
        self, runtime: PlatformRuntime, hold: Hold, priced: Priced, plan: Plan
    ) -> bool:
        """Whether the rules for changes let it go now, which could not be asked when it was
        deferred. If they never will, it is ended.
        """
        rules = ChangeRules.of(runtime.settings, runtime.mode)
        if rules.is_none(plan):
            await self._keeper.resolve(hold, Verb.RELEASE, note="the platform already has it")
            return False
        try:
            check_bid(priced.bid_micros, priced.currency_code, runtime)
            rules.check_step(plan)
            rules.check_interval(runtime, plan, self._keeper.now_ns())
        except RequestError as error:
            await self._reject(hold, error)
            return False
        except RateLimited as error:  # by the interval of its target, which others do not wait for
            self._say_waiting(runtime.book, hold.request_id, error)
            return False
        return True

    async def _reject(self, hold: Hold, error: RequestError) -> None:
        """It can never be sent, and whoever asks for it again reads why."""
        await self._keeper.resolve(hold, Verb.REJECT, error=store_error(error), note=error.message)

    async def _wait_again(self, held: Hold, priced: Priced, error: Exception) -> None:
        """Provably not sent: back among the deferred, with the life it had."""
        if isinstance(error, RequestError):
            await self._reject(held, error)
            return
        await self._keeper.defer(
            held,
            amount_micros=held.amount_micros,
            until_ns=held.expires_ns,
            source=priced.source.value,
            uncapped_micros=priced.uncapped_micros,
            note=f"not sent yet: {error}",
        )
