"""Many bids, one platform call: each goes through the chain for itself, holds its own money, and
waits at the end of it until the others of its batch have come as far or have dropped out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from google.protobuf.message import Message

from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.connector import Placed
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.interceptors._base import Interceptor, Next, PlatformRuntime

Arrived = tuple[Message, Call, "asyncio.Future[Message]"]


class Batch:
    """The bids of one `PlaceBids`.

    A bid that waits for a target, or for another call with its request id, is not waited for: it
    comes with a later part of the batch. So two bids on one target never wait for each other.
    """

    def __init__(
        self,
        runtime: PlatformRuntime,
        spec: MethodSpec,
        guards: Sequence[Interceptor],
        alone: Next,
        max_batch: int,
    ) -> None:
        """`guards`: breaker and rate limit, outermost first. `alone`: how a bid is sent that cannot
        go with others.
        """
        self._runtime = runtime
        self._spec = spec
        self._guards = guards
        self._alone = alone
        self._max_batch = max_batch
        self._on_their_way: set[int] = set()
        self._arrived: list[Arrived] = []
        self._parts: set[asyncio.Task[None]] = set()

    def enter(self, call: Call) -> None:
        """The bid belongs to the batch and is on its way."""
        call.batch = self
        self._on_their_way.add(id(call))

    def resume(self, call: Call) -> None:
        self._on_their_way.add(id(call))

    def pause(self, call: Call) -> None:
        self._on_their_way.discard(id(call))
        self._send_when_complete()

    def leave(self, call: Call) -> None:
        """The bid has its answer, or has dropped out."""
        self.pause(call)

    async def dispatch(self, request: Message, call: Call) -> Message:
        """The end of a bid's own chain: sends it with the others and returns its response.

        Raises what the bid would have raised alone.
        """
        if call.validate_only:
            self.pause(call)
            response: Message = await self._alone(request, call)
            return response
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._arrived.append((request, call, answer))
        self.pause(call)
        return await answer

    def _send_when_complete(self) -> None:
        if self._on_their_way or not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        for first in range(0, len(arrived), self._max_batch):
            part = arrived[first : first + self._max_batch]
            task = asyncio.create_task(self._send(part))
            self._parts.add(task)
            task.add_done_callback(self._parts.discard)

    async def _send(self, part: Sequence[Arrived]) -> None:
        """One call of the platform, through breaker and rate limit, for this part of the batch."""
        first = part[0][1]
        together = Call(spec=self._spec, started_ns=first.started_ns, caller=first.caller)
        send: Next = self._place
        for guard in reversed(self._guards):
            send = partial(guard.intercept, send)
        try:
            connector = await self._runtime.connector()
            together.weight = connector.batch_calls(len(part))
            placed = await send(part, together)
        except BaseException as error:
            for _, _, answer in part:
                if not answer.done():
                    answer.set_exception(error)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        for (_, call, answer), result in zip(part, placed, strict=True):
            call.platform_latency_ns = together.platform_latency_ns
            if answer.done():
                continue
            if isinstance(result, ConnectorError):
                answer.set_exception(result)
            else:
                answer.set_result(result)

    async def _place(self, part: Sequence[Arrived], together: Call) -> Sequence[Placed]:
        for _, call, _ in part:
            call.dispatched = True
        connector = await self._runtime.connector()
        placed: Any = await connector.place_many([(request, call) for request, call, _ in part])
        lost = any(isinstance(p, ConnectorError) and p.platform_fault for p in placed)
        if lost and together.permit is not None:
            together.permit.fail()
        return placed  # type: ignore[no-any-return]
