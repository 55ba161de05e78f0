"""Holds the money, durably, before anything is sent; resolves the hold by what happened."""

from __future__ import annotations

from typing import Any, ClassVar

from google.protobuf.message import Message

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.budget import Verb, outcome_of
from smartconnectors_server.call import Call, Kind, MethodSpec, Plan, Priced
from smartconnectors_server.circuitbreaker import CircuitOpen
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.errors import Outcome
from smartconnectors_server.interceptors._base import Engines, Next, PlatformRuntime
from smartconnectors_server.interceptors.answers import add_budget, fill_result
from smartconnectors_server.interceptors.fallback import circuit_refusal, heuristic
from smartconnectors_server.interceptors.sending import released_error, send_held
from smartconnectors_server.ledger import Reservation
from smartconnectors_server.telemetry import names

DEFERRED_LIFE_S = 600.0


class Budget:
    """From here inwards money is held."""

    name: ClassVar[str] = "budget"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._keeper = engines.keeper
        self._tracer = engines.telemetry.tracer

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.holds_money

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        runtime = self._engines.runtime(call)
        priced, plan = call.settled_plan()
        reservation = self._reservation(request, call, runtime, priced, plan)
        if call.validate_only:
            return await self._validate(call_next, request, call, priced, reservation)
        if not priced.defer:
            # A cheap look before the ledger writes: overload must not burn disk syncs.
            runtime.limiter.check(obeys=runtime.obeys(request), asker=call.asker)
        call.held = True
        try:
            with self._tracer.inside(call.trace, names.SPAN_RESERVE, self._engines.clock):
                call.hold = await self._keeper.reserve(reservation)
        except BaseException:
            call.held = False
            raise
        if priced.defer:
            response = self._deferred(call, priced)
        else:
            response = await self._send(call_next, request, call, runtime, priced)
        return self._with_budget(response, call)

    def _reservation(
        self,
        request: Message,
        call: Call,
        runtime: PlatformRuntime,
        priced: Priced,
        plan: Plan,
    ) -> Reservation:
        exempt = call.reduce_only or plan.amount_micros == 0
        return Reservation(
            platform=runtime.book,
            request_id=call.request_id,
            fingerprint=call.fingerprint,
            method=call.spec.path,
            target=plan.target,
            budget_ids=self._keeper.budget_ids_of(runtime.book, call.campaign_id),
            amount_micros=0 if exempt else plan.amount_micros,
            currency_code=priced.currency_code,
            source=priced.source.value,
            request=request.SerializeToString(),
            before=plan.before,
            ltv_micros=priced.ltv_micros,
            ai_bid_micros=priced.ai_bid_micros,
            uncapped_micros=priced.uncapped_micros,
            exempt=exempt,
            defer_until_ns=self._defer_until_ns(runtime) if priced.defer else None,
            actor=call.actor,
            customer=call.customer,
            place=runtime.place_of(request),
            trace=call.trace.traceparent if call.trace is not None and call.trace.sampled else "",
        )

    def _defer_until_ns(self, runtime: PlatformRuntime) -> int:
        life_s = min(DEFERRED_LIFE_S, runtime.settings.budget.window_s)
        return self._keeper.now_ns() + round(life_s * NANOS_PER_SECOND)

    async def _validate(
        self, call_next: Next, request: Message, call: Call, priced: Priced, asked: Reservation
    ) -> Message:
        await self._keeper.check(asked)
        response: Any = call.spec.response_class()
        if not priced.defer:
            try:
                response = await call_next(request, call)
            except CircuitOpen:
                runtime = self._engines.runtime(call)
                raise circuit_refusal(runtime, "it could not be asked.") from None
        fill_result(response, call, priced, bid_pb2.BID_STATUS_VALIDATED)
        return self._with_budget(response, call)

    async def _send(
        self,
        call_next: Next,
        request: Message,
        call: Call,
        runtime: PlatformRuntime,
        priced: Priced,
    ) -> Any:
        hold = call.hold
        assert hold is not None
        try:
            return await send_held(self._engines, runtime, call_next, request, call, hold, priced)
        except CircuitOpen:
            return await self._defer_held(request, call, runtime)
        except BaseException as error:
            if outcome_of(error, dispatched=call.dispatched) is Outcome.NOT_SENT:
                note = getattr(error, "message", type(error).__name__)
                await self._keeper.resolve(hold, Verb.RELEASE, note=note)
                raise released_error(error) from error
            raise

    async def _defer_held(self, request: Message, call: Call, runtime: PlatformRuntime) -> Any:
        """The breaker opened between the price and the permit: the hold waits, for what it held at
        most.
        """
        hold = call.hold
        assert hold is not None
        try:
            if call.spec.kind is not Kind.BID:
                raise circuit_refusal(runtime, "a campaign budget is not deferred.")
            priced = await heuristic(self._engines, runtime, request, call, defer=True)
        except Exception as error:
            await self._keeper.resolve(hold, Verb.RELEASE, note=str(error))
            raise
        amount_micros = min(hold.amount_micros, priced.bid_micros)
        priced = call.priced = priced.with_bid(amount_micros)
        call.hold = await self._keeper.defer(
            hold,
            amount_micros=amount_micros,
            until_ns=self._defer_until_ns(runtime),
            source=priced.source.value,
            uncapped_micros=priced.uncapped_micros,
            note="the circuit breaker opened before it was sent",
        )
        return self._deferred(call, priced)

    @staticmethod
    def _deferred(call: Call, priced: Priced) -> Any:
        response = call.spec.response_class()
        fill_result(response, call, priced, bid_pb2.BID_STATUS_DEFERRED)
        return response

    def _with_budget(self, response: Any, call: Call) -> Message:
        state = self._keeper.state(self._engines.runtime(call).book)
        add_budget(response, state)
        call.attributes[names.ATTR_REMAINING_MICROS] = response.result.budget.remaining_micros
        return response  # type: ignore[no-any-return]
