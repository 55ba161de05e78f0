"""One request id, one dispatch: stored answers are replayed, running requests joined.

From here inwards a spending call runs in a task of the server's own. Until money is held a caller
that hangs up ends it; from then on it runs to its own end, and the retry gets the stored answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from google.protobuf.message import Message

from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.clock import NANOS_PER_MILLI
from smartconnectors_server.errors import (
    DeadlineTooShort,
    RequestIdReused,
    ServerDraining,
)
from smartconnectors_server.interceptors._base import Engines, Next
from smartconnectors_server.interceptors.answers import (
    add_budget,
    priced_of,
    stored_answer,
)
from smartconnectors_server.ledger import Hold, RequestKey, mode_of_place
from smartconnectors_server.ratelimit import Slots


@dataclass(slots=True, eq=False)
class _Running:
    """A request under way. `waiting` callers have not hung up."""

    fingerprint: str
    call: Call
    task: asyncio.Task[Message]
    waiting: int = 0


def _reused(call: Call) -> RequestIdReused:
    return RequestIdReused(
        f"request id {call.request_id!r} was used with another payload; the first request is "
        "untouched. Use a new id for a new request.",
        metadata={"request_id": call.request_id},
    )


def _used_elsewhere(hold: Hold) -> RequestIdReused:
    mode = mode_of_place(hold.place)
    return RequestIdReused(
        f"request id {hold.request_id!r} was used for another account, mode or endpoint (mode "
        f"{mode}) before the state directory was adopted. Its answer is not this request's, and "
        "nothing was sent. Use a new id.",
        metadata={"request_id": hold.request_id, "mode": mode},
    )


class Idempotency:
    """Keyed by (platform, caller, request id), shared by every way of sending a bid.

    The caller is its name, so that a changed token of the same name still gets the first answer.
    Of other callers' ids nothing can be told from an answer. Without access control all callers
    have one name, and share their ids.
    """

    name: ClassVar[str] = "idempotency"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._keeper = engines.keeper
        self._clock = engines.clock
        self._slots = Slots(
            "calls are in flight",
            "server/in_flight",
            engines.clock.monotonic_ns,
            most=engines.settings.server.max_in_flight,
            active_for_s=engines.settings.active_callers_s,
        )
        self._running: dict[RequestKey, _Running] = {}
        self._calls: dict[asyncio.Task[Message], Call] = {}
        self._draining = False

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        return spec.holds_money

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        # As it was sent, before any pricing.
        sent = request.SerializeToString(deterministic=True)
        call.fingerprint = self._engines.customers.fingerprint_of(call.spec.path, sent)
        key = self._key(call)
        running = self._running.get(key)
        if running is not None and not call.validate_only:
            return await self._join(running, call)
        book, actor, request_id = key
        hold = await self._keeper.find(book, request_id, actor=actor)
        # Nothing is awaited between here and the entry into `_running`.
        running = self._running.get(key)
        if running is not None and not call.validate_only:
            return await self._join(running, call)
        if hold is not None:
            return self._replay(hold, request, call)
        if self._draining:
            raise ServerDraining.refused()
        self._slots.check(call.actor)
        self._check_deadline(call)
        running = self._start(call_next, request, call)
        if not call.validate_only:
            self._running[key] = running
            running.task.add_done_callback(lambda _: self._forget(running))
        return await self._wait(running)

    def refuse_unsent(self) -> None:
        """Refuses what comes from now on, and at once whatever holds no money yet: what waits for
        its target, for the platform's present state, or for the platform to be connected.
        """
        self._draining = True
        for task, call in list(self._calls.items()):
            if not call.held:
                task.cancel()

    async def drain(self) -> None:
        """Returns when every call that holds money has ended."""
        if not self._draining:
            self.refuse_unsent()
        while self._calls:
            await asyncio.wait(self._calls)

    @property
    def in_flight(self) -> int:
        """How many spending calls are under way."""
        return len(self._calls)

    def _key(self, call: Call) -> RequestKey:
        """By the book: what was shadowed is no answer when the platform is live."""
        return (self._engines.runtime(call).book, call.actor, call.request_id)

    def _start(self, call_next: Next, request: Message, call: Call) -> _Running:
        task: asyncio.Task[Message] = asyncio.ensure_future(call_next(request, call))
        call.task = task
        caller = call.actor
        self._slots.take(caller)
        task.add_done_callback(lambda _: self._slots.give_back(caller))
        self._calls[task] = call
        task.add_done_callback(self._ended)
        return _Running(call.fingerprint, call, task)

    def _ended(self, task: asyncio.Task[Message]) -> None:
        self._calls.pop(task, None)
        if not task.cancelled():
            task.exception()  # seen, also when every caller has hung up

    def _forget(self, running: _Running) -> None:
        key = self._key(running.call)
        if self._running.get(key) is running:
            del self._running[key]

    async def _join(self, running: _Running, call: Call) -> Message:
        if running.fingerprint != call.fingerprint:
            raise _reused(call)
        call.replayed = True
        if call.batch is not None:
            call.batch.pause(call)
        response = await self._wait(running)
        copy: Any = type(response)()
        copy.CopyFrom(response)
        copy.result.replayed = True
        call.priced = running.call.priced
        return copy  # type: ignore[no-any-return]

    async def _wait(self, running: _Running) -> Message:
        running.waiting += 1
        try:
            return await asyncio.shield(running.task)
        except asyncio.CancelledError:
            if self._draining and running.task.cancelled():
                raise ServerDraining.refused() from None
            nobody_else = running.waiting == 1
            if nobody_else and not running.call.held and not running.task.done():
                # Nobody may join what is being ended: a retry starts anew.
                self._forget(running)
                running.task.cancel()
            raise
        finally:
            running.waiting -= 1

    def _replay(self, hold: Hold, request: Message, call: Call) -> Message:
        if hold.fingerprint != call.fingerprint:
            raise _reused(call)
        if not self._engines.runtime(call).goes_to_place_of(hold, request):
            raise _used_elsewhere(hold)
        call.replayed = True
        call.hold = hold
        call.priced = priced_of(hold)
        circuit = self._engines.runtime(call).breaker.state.value
        response = stored_answer(call.spec, hold, circuit)
        add_budget(response, self._keeper.state(self._engines.runtime(call).book))
        return response  # type: ignore[no-any-return]

    def _check_deadline(self, call: Call) -> None:
        least_ms = self._engines.runtime(call).settings.min_deadline_ms
        left_ns = call.remaining_ns(self._clock.monotonic_ns())
        if left_ns is not None and left_ns < least_ms * NANOS_PER_MILLI:
            raise DeadlineTooShort(
                f"{max(0, left_ns) / NANOS_PER_MILLI:.0f} ms were left to the deadline; "
                f"{call.spec.platform} needs at least {least_ms} ms. Nothing was sent.",
                metadata={"min_deadline_ms": str(least_ms)},
            )
