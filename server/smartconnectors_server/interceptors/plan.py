"""What would change, and may it? Before any money is held, and alone on its target.

Two things that need the platform's present state are decided here: a change that is none (answered
UNCHANGED, no call, no hold), and a step that is larger or sooner than the settings allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from google.protobuf.message import Message

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.call import Call, Kind, MethodSpec, Plan
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.connector import Mode
from smartconnectors_server.errors import NotAReduction, RateLimited, StepTooLarge
from smartconnectors_server.interceptors._base import Engines, Next, PlatformRuntime
from smartconnectors_server.interceptors.answers import add_budget, fill_result
from smartconnectors_server.interceptors.fallback import circuit_refusal, heuristic
from smartconnectors_server.interceptors.gate import BreakerOpen
from smartconnectors_server.ledger import HoldState
from smartconnectors_server.money import format_amount
from smartconnectors_server.settings import PlatformSettings


@dataclass(frozen=True, slots=True)
class ChangeRules:
    """How much and how often a target may change. 0, or None for the step: no rule."""

    min_change_percent: float
    min_interval_s: float
    max_step_percent: float | None

    @classmethod
    def of(cls, settings: PlatformSettings, mode: Mode) -> ChangeRules:
        """Off in a sandbox unless they are configured; careful elsewhere."""
        careful = mode is not Mode.SANDBOX
        change, interval, step = (
            settings.min_change_percent,
            settings.min_interval_s,
            settings.max_step_percent,
        )
        return cls(
            (5.0 if careful else 0.0) if change is None else change,
            (900.0 if careful else 0.0) if interval is None else interval,
            (30.0 if careful else None) if step is None else step,
        )


def change_percent(plan: Plan) -> float | None:
    """By how much the setting changes; None when it is not known or was zero."""
    if not plan.before_value:
        return None
    return abs(plan.after_value - plan.before_value) * 100 / plan.before_value


class PlanChange:
    """Asks the connector for its plan, with the target locked until the call is over."""

    name: ClassVar[str] = "plan"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._keeper = engines.keeper
        self._rules = {
            name: ChangeRules.of(runtime.settings, runtime.mode)
            for name, runtime in engines.runtimes.items()
        }

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.holds_money

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        runtime = self._engines.runtime(call)
        connector = await runtime.connector()
        target = connector.offline_target(request)
        waits = connector.defers(request)
        if call.priced is not None and call.priced.defer:
            return await self._offline(call_next, request, call, target)
        self._check_daily_budget(request, call, runtime)
        async with runtime.targets.hold(target, call):
            try:
                plan = await connector.plan(request, call.present_price())
            except BreakerOpen:
                return await self._opened(call_next, request, call, target)
            if plan.target == target:
                return await self._go_on(call_next, request, call, plan, waits)
            async with runtime.targets.hold(plan.target, call):
                # Who had the target until now may have changed it.
                plan = await connector.plan(request, call.present_price())
                return await self._go_on(call_next, request, call, plan, waits)

    async def _offline(self, call_next: Next, request: Message, call: Call, target: str) -> Message:
        call.plan = Plan(target=target, amount_micros=call.present_price().bid_micros)
        response: Message = await call_next(request, call)
        return response

    async def _opened(self, call_next: Next, request: Message, call: Call, target: str) -> Message:
        """The breaker opened while the call waited for its target."""
        runtime = self._engines.runtime(call)
        call.circuit = runtime.breaker.state.value
        if call.spec.kind is not Kind.BID:
            raise circuit_refusal(runtime, "a campaign budget is not deferred.")
        call.priced = await heuristic(self._engines, runtime, request, call, defer=True)
        return await self._offline(call_next, request, call, target)

    async def _go_on(
        self, call_next: Next, request: Message, call: Call, plan: Plan, waits: bool
    ) -> Message:
        """`waits` False: the target is gone in a moment (an auction), so nothing is remembered of
        it.
        """
        runtime = self._engines.runtime(call)
        rules = self._rules[runtime.name]
        call.plan = plan
        percent = change_percent(plan)
        too_small = percent is not None and percent < rules.min_change_percent
        if plan.unchanged or too_small:
            response: Any = call.spec.response_class()
            fill_result(response, call, call.present_price(), bid_pb2.BID_STATUS_UNCHANGED)
            add_budget(response, self._keeper.state(runtime.book))
            return response  # type: ignore[no-any-return]
        self._check_step(call, plan, percent, rules)
        if waits:
            self._check_interval(runtime, plan, rules)
        answer: Message = await call_next(request, call)
        if waits and call.hold is not None:
            runtime.last_change_ns[plan.target] = self._keeper.now_ns()
        return answer

    @staticmethod
    def _check_step(call: Call, plan: Plan, percent: float | None, rules: ChangeRules) -> None:
        if call.reduce_only and not plan.lowers_exposure:
            raise NotAReduction(
                f"{plan.target}: reduce_only was asked, but the setting would go from "
                f"{plan.before_value} to {plan.after_value}, which does not lower exposure. "
                "Platform setting unchanged.",
                metadata={
                    "target": plan.target,
                    "before": str(plan.before_value),
                    "after": str(plan.after_value),
                },
            )
        if rules.max_step_percent is None or percent is None or plan.lowers_exposure:
            return
        if percent > rules.max_step_percent:
            raise StepTooLarge(
                f"{plan.target}: the setting would change by {percent:.1f} %; one step may be "
                f"{rules.max_step_percent:g} % at most. Platform setting unchanged.",
                metadata={
                    "target": plan.target,
                    "change_percent": f"{percent:.3f}",
                    "max_step_percent": f"{rules.max_step_percent:g}",
                },
            )

    def _check_interval(self, runtime: PlatformRuntime, plan: Plan, rules: ChangeRules) -> None:
        last_ns = runtime.last_change_ns.get(plan.target)
        if last_ns is None or plan.lowers_exposure:
            return
        wait_s = rules.min_interval_s - (self._keeper.now_ns() - last_ns) / NANOS_PER_SECOND
        if wait_s > 0:
            raise RateLimited(
                f"{plan.target} was changed less than {rules.min_interval_s:g} s ago. "
                "Platform setting unchanged.",
                retry_after_s=wait_s,
                metadata={"limited_by": "min_interval", "target": plan.target},
                quota_subject=f"{runtime.name}/{plan.target}",
            )

    @staticmethod
    def _check_daily_budget(request: Any, call: Call, runtime: PlatformRuntime) -> None:
        most = runtime.settings.max_daily_budget
        if call.spec.kind is not Kind.CAMPAIGN_BUDGET or most is None:
            return
        asked = request.update.daily_budget_micros
        if asked > most:
            raise StepTooLarge(
                f"{runtime.name}: a daily budget of {format_amount(asked, call.currency_code)} is "
                f"above the largest that may be set, {format_amount(most, call.currency_code)}.",
                metadata={"daily_budget_micros": str(asked), "max_daily_budget_micros": str(most)},
            )


def remembered_changes(engines: Engines, book: str) -> dict[str, int]:
    """When each target was last changed, as far as the ledger remembers."""
    return {
        hold.target: hold.updated_ns
        for hold in engines.keeper.recent_settled(book)
        if hold.state is HoldState.SETTLED
    }
