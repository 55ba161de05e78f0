"""Calls before their message is there: how many there may be, and for how long.

A call takes a slot from its headers on. So a caller is identified by its headers, a caller that is
not known takes no slot of those that are, and a call whose message does not come is ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import DeadlineTooShort, InvalidBid, Overloaded

LOOK_EVERY_S = 0.25
YIELDS_AFTER_NS = NANOS_PER_SECOND
"""When every slot is taken, a call that has waited so long for its message loses its own."""
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class ArrivalRules:
    """How many calls there may be at once, and how long a message may take. The defaults are those
    of the default settings.
    """

    message_s: float = 10.0
    """From a call's headers to the end of its message."""
    known: int = 10_000
    """Calls of callers that are known; of everybody, without access control."""
    unknown: int = 1_000
    """Calls that need no caller to be known: health."""
    unknown_on_one_connection: int = 100
    refusals: int = 2_000
    """Calls that are being refused: a client that reads nothing keeps them from ending."""
    refusals_on_one_connection: int = 1_000


@dataclass(slots=True, eq=False)
class _Waiting:
    """A call whose message has not arrived."""

    task: asyncio.Task[Any]
    since_ns: int
    patient: bool
    """True: only another call that needs the slot ends it."""
    ended: DeadlineTooShort | Overloaded | None = None
    """Why the server has ended it."""


class _Places:
    """Places for calls of callers that are not known: in total and on each connection."""

    def __init__(self, most: int, most_on_one: int) -> None:
        self._most = most
        self._most_on_one = most_on_one
        self._taken: Counter[str] = Counter()
        self._total = 0

    def take(self, peer: str) -> bool:
        """False: none is left."""
        if self._total >= self._most or self._taken[peer] >= self._most_on_one:
            return False
        self._taken[peer] += 1
        self._total += 1
        return True

    def give_back(self, peer: str) -> None:
        """One that was taken."""
        self._total -= 1
        self._taken[peer] -= 1
        if not self._taken[peer]:
            del self._taken[peer]


class Arrivals:
    """Slots for calls, and what waits for its message. For one event loop."""

    def __init__(
        self, clock: Clock, rules: ArrivalRules, turned_away: Callable[[str], None]
    ) -> None:
        """`turned_away`: is told the reason of each call that gets no slot, or loses it."""
        self._clock = clock
        self._turned_away = turned_away
        self._rules = rules
        self._known = 0
        self._unknown = _Places(rules.unknown, rules.unknown_on_one_connection)
        self._refusals = _Places(rules.refusals, rules.refusals_on_one_connection)
        self._waiting: dict[_Waiting, None] = {}

    @contextmanager
    def slot(self) -> Iterator[None]:
        """One for a known caller's call. Raises Overloaded when there is none, and no call waits
        that would yield its own.
        """
        if self._known >= self._rules.known and not self._one_yields():
            raise self._overloaded(
                f"{self._known} calls are under way, as many as this server takes"
            )
        self._known += 1
        try:
            yield
        finally:
            self._known -= 1

    @contextmanager
    def unknown_slot(self, peer: str) -> Iterator[None]:
        """One for a call that anybody may make, on one connection. Raises Overloaded."""
        if not self._unknown.take(peer):
            raise self._overloaded(
                "too many calls without a known caller are under way, in total or on this "
                "connection; end some of them, or show a token"
            )
        try:
            yield
        finally:
            self._unknown.give_back(peer)

    @contextmanager
    def refusal(self, peer: str) -> Iterator[None]:
        """While a refusal is on its way. Raises CancelledError, which drops the call without an
        answer, when too many are already.
        """
        if not self._refusals.take(peer):
            raise asyncio.CancelledError
        try:
            yield
        finally:
            self._refusals.give_back(peer)

    async def message(self, context: Any) -> Any:
        """The one message of a call. Raises DeadlineTooShort when it is late, Overloaded when
        another call needed the slot, InvalidBid when the caller sends none.
        """
        with self.waiting() as waiting:
            message = await context.read()
            self.arrived(waiting)
        if message is grpc.aio.EOF:
            raise InvalidBid.of("(message)", "is missing: the call ended without one")
        return message

    @contextmanager
    def waiting(self, *, patient: bool = False) -> Iterator[_Waiting]:
        """While the current task waits for a call's first message, which `arrived` says. Raises as
        `message` does when the server ended it.
        """
        task = asyncio.current_task()
        assert task is not None
        one = _Waiting(task, self._clock.monotonic_ns(), patient)
        self._waiting[one] = None
        try:
            yield one
        except asyncio.CancelledError:
            if one.ended is None:
                raise
            task.uncancel()
            raise one.ended from None
        finally:
            self._waiting.pop(one, None)

    def arrived(self, one: _Waiting) -> None:
        """Its message is there."""
        self._waiting.pop(one, None)

    async def run(self) -> None:
        """Ends what is late, until it is cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            self._end_late()

    def _end_late(self) -> None:
        late_ns = self._clock.monotonic_ns() - round(self._rules.message_s * NANOS_PER_SECOND)
        for one in [one for one in self._waiting if one.since_ns <= late_ns and not one.patient]:
            self._turned_away(DeadlineTooShort.reason)
            self._end(
                one,
                DeadlineTooShort(
                    "the message of this call did not arrive within "
                    f"{self._rules.message_s:g} s of its headers; nothing was done"
                ),
            )

    def _one_yields(self) -> bool:
        """Ends the call that has waited longest for its message, if that is long enough."""
        oldest = next(iter(self._waiting), None)
        if oldest is None or self._clock.monotonic_ns() - oldest.since_ns < YIELDS_AFTER_NS:
            return False
        self._end(
            oldest,
            self._overloaded(
                "this call's message did not arrive, and another call needed its place"
            ),
        )
        return True

    def _overloaded(self, message: str) -> Overloaded:
        self._turned_away(Overloaded.reason)
        return Overloaded(message, retry_after_s=RETRY_S, quota_subject="server/calls")

    def _end(self, one: _Waiting, why: DeadlineTooShort | Overloaded) -> None:
        del self._waiting[one]
        one.ended = why
        one.task.cancel()
