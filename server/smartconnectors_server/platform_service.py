"""A platform's gRPC service: what the connector does itself, and what is the same for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from smartconnectors.common.v1 import bid_pb2, connector_pb2
from smartconnectors_server.access import Role
from smartconnectors_server.budget import Keeper
from smartconnectors_server.call import Call, MethodSpec, MethodTable
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.connector import Mode, Traffic
from smartconnectors_server.errors import ConnectorError, NotFound, PermissionDenied
from smartconnectors_server.interceptors import (
    CampaignStops,
    ManyBids,
    PlatformRuntime,
    PlatformState,
    standing_of,
)
from smartconnectors_server.interceptors.answers import add_budget, stored_answer
from smartconnectors_server.interceptors.many import answer_message
from smartconnectors_server.ledger import HoldState, mode_of_place
from smartconnectors_server.messages import duration, stats_message
from smartconnectors_server.telemetry.recent import Recent

_MODES = {
    Mode.SANDBOX: connector_pb2.CONNECTOR_MODE_SANDBOX,
    Mode.SHADOW: connector_pb2.CONNECTOR_MODE_SHADOW,
    Mode.LIVE: connector_pb2.CONNECTOR_MODE_LIVE,
}

_CIRCUITS = {
    "closed": bid_pb2.CIRCUIT_STATE_CLOSED,
    "open": bid_pb2.CIRCUIT_STATE_OPEN,
    "half_open": bid_pb2.CIRCUIT_STATE_HALF_OPEN,
}

_STATES = {
    state: connector_pb2.PlatformState.Value(f"PLATFORM_STATE_{state.name}")
    for state in PlatformState
}


class PlatformServicer:
    """A platform's methods, available before the platform is: the first calls wait for it.

    Methods that are not written here are the connector's own.
    """

    def __init__(
        self,
        runtime: PlatformRuntime,
        keeper: Keeper,
        methods: MethodTable,
        many: ManyBids,
        recent: Recent,
        stops: CampaignStops,
    ) -> None:
        """`recent`: what was refused lately. `stops`: which campaigns operators stopped."""
        self._runtime = runtime
        self._keeper = keeper
        self._methods = methods
        self._many = many
        self._recent = recent
        self._stops = stops

    def of(self, name: str) -> Callable[[Any, Call], Awaitable[Any]]:
        """The connector's method of that name."""

        async def forward(request: Any, call: Call) -> Any:
            connector = await self._runtime.connector(call)
            return await getattr(connector, name)(request, call)

        return forward

    def __getattr__(self, name: str) -> Callable[[Any, Call], Awaitable[Any]]:
        return self.of(name)

    def end_streams(self) -> None:
        """Ends every StreamBids once what is under way on it is answered."""
        self._many.close()

    async def PauseCampaign(self, request: Any, call: Call) -> Any:
        return await self._set_status(request, call, paused=True)

    async def ResumeCampaign(self, request: Any, call: Call) -> Any:
        async with self._stops.resuming(self._runtime, request.update.campaign_id, call):
            return await self._set_status(request, call, paused=False)

    async def _set_status(self, request: Any, call: Call, *, paused: bool) -> Any:
        """What a caller asks for by name replaces what was recorded of the campaign."""
        response = await self.of(call.spec.name)(request, call)
        if not request.update.validate_only:
            self._keeper.campaigns.record_by_name(
                self._runtime.name,
                request.update.campaign_id,
                call.actor,
                paused=paused,
                by_operator=call.caller.role >= Role.OPERATE,
            )
        return response

    async def PlaceBids(self, request: Any, call: Call) -> Any:
        results = await self._many.batch(request.bids, call)
        response: Any = call.spec.response_class()
        for bid, result in zip(request.bids, results, strict=True):
            one = answer_message(call.spec, "answers", bid.bid.request_id, result)
            response.answers.extend(one.answers)
        return response

    async def StreamBids(self, raws: AsyncIterator[bytes], call: Call) -> AsyncIterator[Any]:
        async for request_id, result in self._many.stream(raws, call):
            yield answer_message(call.spec, "answer", request_id, result)

    async def GetBid(self, request: Any, call: Call) -> Any:
        owner = request.caller or call.actor
        if owner != call.actor and call.caller.role < Role.OPERATE:
            raise PermissionDenied(
                "another caller's bid needs the role `operate`; leave `caller` empty for your own",
                metadata={"needs": Role.OPERATE.word},
            )
        hold = await self._keeper.find(self._runtime.book, request.request_id, actor=owner)
        spec = None if hold is None else self._methods.get(hold.method)
        if hold is not None and not call.caller.scope.sees_hold(hold.platform, hold.budget_ids):
            hold, spec = None, None  # to this caller there is none
        if hold is None or spec is None or not self._answers_with(call.spec, spec):
            raise NotFound(f"{self._runtime.name}: no bid is known under {request.request_id!r}")
        if hold.place not in self._runtime.binding.places:
            raise NotFound(
                f"{self._runtime.name}: {request.request_id!r} was a bid for another account, mode "
                f"or endpoint (mode {mode_of_place(hold.place)}); none is known here"
            )
        result: Any
        try:
            result = stored_answer(spec, hold, self._runtime.breaker.state.value)
            add_budget(result, self._keeper.state(self._runtime.book))
        except ConnectorError as error:
            result = error
        return answer_message(call.spec, "answer", hold.request_id, result)

    @staticmethod
    def _answers_with(asked: MethodSpec, placed: MethodSpec) -> bool:
        """True when the answer to `asked` has room for the response of `placed`."""
        answer: Any = asked.response_class.DESCRIPTOR.fields_by_name["answer"].message_type
        expected = answer.fields_by_name["response"].message_type
        return bool(expected.full_name == placed.response_class.DESCRIPTOR.full_name)

    async def GetConnectorStatus(self, request: Any, call: Call) -> Any:
        del request
        runtime, keeper = self._runtime, self._keeper
        state, standing = runtime.breaker.state.value, standing_of(runtime, keeper)
        status = connector_pb2.ConnectorStatus(
            platform=runtime.name,
            mode=_MODES[runtime.mode],
            connected=runtime.is_connected,
            circuit_state=_CIRCUITS[state],
            rate_limit_calls=runtime.limiter.limit,
            rate_limit_window=duration(round(runtime.limiter.window_s * NANOS_PER_SECOND)),
            used_calls=runtime.limiter.used(),
            headroom_calls=runtime.limiter.headroom(),
            budget=stats_message(keeper.state(runtime.book)),
            fallback_count=runtime.fallback_count,
            deferred_count=self._count(HoldState.DEFERRED),
            in_doubt_count=self._count(HoldState.IN_DOUBT),
            state=_STATES[standing.state],
            state_reason=standing.reason,
            refusals=self._recent.refused_since_start(runtime.name),
        )
        if standing.retry_after_s is not None:
            status.state_retry_after.CopyFrom(
                duration(round(standing.retry_after_s * NANOS_PER_SECOND))
            )
        if state == "open":
            wait_ns = round(runtime.breaker.retry_after_s() * NANOS_PER_SECOND)
            status.circuit_retry_after.CopyFrom(duration(wait_ns))
        for throttled_for, traffic in (
            (status.bids_throttled_for, Traffic.BIDS),
            (status.reports_throttled_for, Traffic.REPORTS),
        ):
            if wait_s := runtime.throttled_s(traffic):
                throttled_for.CopyFrom(duration(round(wait_s * NANOS_PER_SECOND)))
        response: Any = call.spec.response_class()
        response.status.CopyFrom(status)
        return response

    def _count(self, state: HoldState) -> int:
        return sum(h.platform == self._runtime.book for h in self._keeper.open_holds(state))
