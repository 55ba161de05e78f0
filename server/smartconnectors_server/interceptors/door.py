"""How many calls and streams a known caller may have at once, whatever the method."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from smartconnectors_server.access import Caller, Role
from smartconnectors_server.clock import Clock
from smartconnectors_server.ratelimit import Slots
from smartconnectors_server.settings import Settings


class Door:
    """Without access control every caller is the same one, and nothing is counted here.

    Single calls of callers with the role `operate` are always let in: what they stop must not wait
    until others have ended.
    """

    def __init__(self, settings: Settings, clock: Clock, *, most: int) -> None:
        """`most`: calls, and streams, at once."""
        access = settings.access
        self._calls: Slots | None = None
        self._streams: Slots | None = None
        if access is None:
            return
        self._calls = Slots(
            "calls are under way",
            "server/calls",
            clock.monotonic_ns,
            most=most,
            active_for_s=access.active_caller_s,
        )
        self._streams = Slots(
            "streams are open",
            "server/streams",
            clock.monotonic_ns,
            most=most,
            most_each=access.max_streams_per_caller,
        )

    def call(self, caller: Caller) -> AbstractContextManager[None]:
        """Around one call. Raises Overloaded when it is entered."""
        if self._calls is None or caller.role >= Role.OPERATE:
            return nullcontext()
        return self._calls.of(caller.name)

    def stream(self, caller: Caller) -> AbstractContextManager[None]:
        """Around one stream. Raises Overloaded when it is entered."""
        return nullcontext() if self._streams is None else self._streams.of(caller.name)
