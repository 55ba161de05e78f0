"""Decides amount, source and intent: the AI's bid while the breaker is closed, else the heuristic.

- breaker closed, the AI sent a bid: `ai`, sent;
- breaker closed, no AI bid: heuristic price, `fallback`, sent;
- breaker open, or the platform not connected: heuristic price, `fallback`, deferred.
"""

from __future__ import annotations

from typing import Any, ClassVar

from google.protobuf.message import Message

from smartconnectors_server.budget import Sample, fallback_price
from smartconnectors_server.call import Call, Kind, MethodSpec, Priced, Source
from smartconnectors_server.circuitbreaker import State
from smartconnectors_server.errors import CircuitOpenNoFallback, ConnectorError, InvalidBid
from smartconnectors_server.interceptors._base import Engines, Next, PlatformRuntime
from smartconnectors_server.interceptors.amounts import asked_micros
from smartconnectors_server.ledger import HoldState


def circuit_refusal(runtime: PlatformRuntime, why: str) -> CircuitOpenNoFallback:
    """The refusal while the breaker is open and nothing can be deferred."""
    return CircuitOpenNoFallback(
        f"{runtime.name}: the circuit breaker is {runtime.breaker.state.value}; {why} "
        "Nothing was sent.",
        retry_after_s=runtime.breaker.retry_after_s(),
        metadata={"circuit_state": runtime.breaker.state.value},
    )


def deferral_refusal(runtime: PlatformRuntime, why: str) -> ConnectorError:
    """The refusal of what cannot be deferred, while nothing can be sent."""
    if runtime.is_connected:
        return circuit_refusal(runtime, why)
    return runtime.link.refusal(why[:1].upper() + why[1:])


class Fallback:
    """Prices a bid."""

    name: ClassVar[str] = "fallback"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.holds_money

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        runtime = self._engines.runtime(call)
        await runtime.first_attempt(call)
        admits = self._admits_live_bids(runtime)
        call.circuit = runtime.breaker.state.value
        if call.spec.kind is Kind.CAMPAIGN_BUDGET:
            if not admits:
                raise deferral_refusal(runtime, "a campaign budget is not deferred.")
            call.priced = Priced(call.request_id, 0, 0, call.currency_code)
        else:
            call.priced = await self._price(request, call, runtime, admits)
        response: Message = await call_next(request, call)
        return response

    def _admits_live_bids(self, runtime: PlatformRuntime) -> bool:
        """Never while the platform is not connected. Half-open, deferred bids are the probes as
        long as there are any.
        """
        if not runtime.is_connected:
            return False
        if runtime.breaker.state is State.HALF_OPEN and any(
            hold.platform == runtime.book
            for hold in self._engines.keeper.open_holds(HoldState.DEFERRED)
        ):
            return False
        return runtime.breaker.would_admit()

    async def _price(
        self, request: Any, call: Call, runtime: PlatformRuntime, admits: bool
    ) -> Priced:
        bid = request.bid
        micros = asked_micros(request, call, runtime)
        if admits and micros:
            return Priced(
                request_id=call.request_id,
                bid_micros=micros,
                ltv_micros=bid.predicted_ltv_micros,
                currency_code=call.currency_code,
                ai_bid_micros=micros,
            )
        return await heuristic(self._engines, runtime, request, call, defer=not admits)


async def heuristic(
    engines: Engines, runtime: PlatformRuntime, request: Any, call: Call, *, defer: bool
) -> Priced:
    """The heuristic price of a bid.

    Raises:
        CircuitOpenNoFallback: to be deferred, and there is nothing to price from, or it must be a
            reduction, which a heuristic cannot promise, or what it is for does not wait.
        PlatformUnavailable: the same while the platform is not connected, or its account turns the
            server away.
        InvalidBid: to be sent, and there is nothing to price from; and as `asked_micros`.
        StepTooLarge: as `asked_micros`.
    """
    bid = request.bid
    if defer and call.reduce_only:
        raise deferral_refusal(runtime, "a reduction is not deferred.")
    if defer and not runtime.link.offline().defers(request):
        raise deferral_refusal(runtime, "an auction does not wait.")
    fallback = runtime.settings.fallback
    micros = asked_micros(request, call, runtime)
    price = fallback_price(
        [
            Sample(hold.ltv_micros, hold.ai_bid_micros)
            # Its own alone: what others bid neither moves its price nor is told by it.
            for hold in engines.keeper.recent_settled(runtime.book, call.actor)
        ],
        predicted_ltv_micros=bid.predicted_ltv_micros,
        ai_bid_micros=micros,
        multiplier_milli=fallback.multiplier or runtime.platform.defaults.fallback_multiplier_milli,
        capped=fallback.cap == "ai_bid",
        min_samples=fallback.min_samples,
    )
    if price is None and defer:
        raise deferral_refusal(runtime, "there is no LTV to price a fallback bid from.")
    if price is None:
        raise InvalidBid.of(
            "bid.bid_micros",
            "is absent, and there is no LTV to price the bid from: neither earlier bids of this "
            f"caller on {runtime.name} nor predicted_ltv_micros",
        )
    runtime.fallback_count += 1
    most_micros = runtime.settings.max_bid
    return Priced(
        request_id=call.request_id,
        # Lowered, not refused: nobody asked for so much, and a rule must not fail for it.
        bid_micros=price.bid_micros if most_micros is None else min(price.bid_micros, most_micros),
        ltv_micros=bid.predicted_ltv_micros,
        currency_code=call.currency_code,
        source=Source.FALLBACK,
        uncapped_micros=price.uncapped_micros,
        ai_bid_micros=micros,
        defer=defer,
    )
