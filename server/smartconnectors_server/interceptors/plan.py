"""What would change, and may it? Before any money is held, and alone on its target.

Two things that need the platform's present state are decided here: a change that is none (answered
UNCHANGED, no call, no hold), and a step that is larger or sooner than the settings allow.
"""

from __future__ import annotations

from typing import Any, ClassVar

from google.protobuf.message import Message

from smartconnectors.common.v1 import bid_pb2
from smartconnectors_server.call import Call, Kind, MethodSpec, Plan
from smartconnectors_server.errors import PermissionDenied
from smartconnectors_server.interceptors._base import Engines, Next
from smartconnectors_server.interceptors.answers import add_budget, fill_result
from smartconnectors_server.interceptors.change_rules import ChangeRules, check_daily_budget
from smartconnectors_server.interceptors.fallback import circuit_refusal, heuristic
from smartconnectors_server.interceptors.gate import BreakerOpen
from smartconnectors_server.ledger import HoldState
from smartconnectors_server.telemetry import names


class PlanChange:
    """Asks the connector for its plan, with the target locked until the call is over."""

    name: ClassVar[str] = "plan"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._keeper = engines.keeper

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.holds_money

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        runtime = self._engines.runtime(call)
        if call.priced is not None and call.priced.defer:
            target = runtime.link.offline().offline_target(request)
            return await self._offline(call_next, request, call, target)
        connector = await runtime.connector(call)
        target = connector.offline_target(request)
        waits = connector.defers(request)
        if call.spec.kind is Kind.CAMPAIGN_BUDGET:
            asked: Any = request
            check_daily_budget(asked.update.daily_budget_micros, call.currency_code, runtime)
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
        response: Message = await call_next(self._narrowed(request, call), call)
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
        rules = ChangeRules.of(runtime.settings, runtime.mode)
        call.plan = plan
        self._engines.unknown_ids.seen(runtime.book, plan.marker, plan.target)
        if rules.is_none(plan):
            response: Any = call.spec.response_class()
            fill_result(response, call, call.present_price(), bid_pb2.BID_STATUS_UNCHANGED)
            add_budget(response, self._keeper.state(runtime.book))
            return response  # type: ignore[no-any-return]
        await self._check_moved(request, call, plan)
        rules.check_step(plan, reduce_only=call.reduce_only)
        # It may yet be deferred, and is planned again then.
        request = self._narrowed(request, call)
        if not waits:
            answer: Message = await call_next(request, call)
            return answer
        rules.check_interval(runtime, plan, self._keeper.now_ns())
        answer = await call_next(request, call)
        if call.hold is not None:
            runtime.last_change_ns[plan.target] = self._keeper.now_ns()
        return answer

    def _narrowed(self, request: Message, call: Call) -> Message:
        """What is kept of a request for when its caller cannot be asked any more: a restricted
        caller's moves its own campaign alone then.
        """
        runtime = self._engines.runtime(call)
        if call.caller.scope.has_all_of(runtime.name):
            return request
        narrowed: Message = runtime.platform.alone(request)
        return narrowed

    async def _check_moved(self, request: Message, call: Call, plan: Plan) -> None:
        """Raises PermissionDenied when other campaigns share what is changed, and the caller is
        not let at all of them.
        """
        runtime, scope = self._engines.runtime(call), call.caller.scope
        if not plan.may_move_others or scope.has_all_of(runtime.name):
            return
        connector = await runtime.connector(call)
        moved = await connector.moved_by(request, plan)
        if moved is not None and all(scope.has_campaign(runtime.name, one) for one in moved):
            return
        denied = PermissionDenied(
            f"{call.actor} may not {call.spec.name} here: it is restricted, and {plan.target} is "
            "shared with campaigns that it is not let at. Platform setting unchanged.",
            metadata={"needs": "every campaign that shares it", "target": plan.target},
        )
        self._engines.telemetry.event(
            names.EVENT_ACCESS_REFUSED,
            method=call.spec.path,
            actor=call.actor,
            reason=denied.reason,
            why=denied.message,
        )
        raise denied


def remembered_changes(engines: Engines, book: str) -> dict[str, int]:
    """When each target was last changed, as far as the ledger remembers."""
    return {
        hold.target: hold.updated_ns
        for hold in engines.keeper.recent_settled(book)
        if hold.state is HoldState.SETTLED
    }
