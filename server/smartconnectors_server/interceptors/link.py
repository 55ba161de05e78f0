"""Whether a platform can be called, and what its bids meet while it cannot be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from smartconnectors_server.clock import NANOS_PER_MILLI, NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import PlatformUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from smartconnectors_server.call import Call
    from smartconnectors_server.connector import Connector

FIRST_ATTEMPT_S = 10.0
"""The longest that a call waits for the first attempt to connect, in seconds."""
_SOON_S = 1.0


class Link:
    """The connection of one platform. For one event loop.

    Attributes:
        attempted: True once the first attempt to connect has ended, well or not.
        refuses: True when the account turns the server away, which no waiting mends: nothing is
            deferred then.
    """

    def __init__(self, platform: str, clock: Clock) -> None:
        self._platform = platform
        self._clock = clock
        self._connector: Connector | None = None
        self._offline: Connector | None = None
        self._why: PlatformUnavailable | None = None
        self._next_attempt_ns = 0
        self._first = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.attempted = False
        self.refuses = False

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls it after each attempt to connect."""
        self._listeners.append(listener)

    # By whoever connects

    def made(self, connector: Connector) -> None:
        """A connector is there. It has not reached the platform, but says without it what may
        wait and what a request would change.
        """
        self._offline = connector

    def succeeded(self, connector: Connector) -> None:
        """The platform can be called."""
        self._connector = self._offline = connector
        self._why, self.refuses = None, False
        self._tried()

    def failed(self, why: PlatformUnavailable, retry_s: float, *, refuses: bool = False) -> None:
        """An attempt has failed; the next one begins in `retry_s`."""
        self._why, self.refuses = why, refuses
        self._next_attempt_ns = self._clock.monotonic_ns() + round(retry_s * NANOS_PER_SECOND)
        self._tried()

    def _tried(self) -> None:
        self.attempted = True
        self._first.set()
        for listener in self._listeners:
            listener()

    # By those who call

    @property
    def is_connected(self) -> bool:
        """True once the platform can be called."""
        return self._connector is not None

    @property
    def can_defer(self) -> bool:
        """True when a bid that may wait gets an answer, connected or not."""
        return self._offline is not None and not self.refuses

    @property
    def why(self) -> str:
        """Why it is not connected; empty while it is, and during the first attempt."""
        return "" if self._why is None else self._why.message

    @property
    def retry_after_s(self) -> float | None:
        """Until the next attempt, in seconds; None while it is connected."""
        if self.is_connected:
            return None
        left_s = (self._next_attempt_ns - self._clock.monotonic_ns()) / NANOS_PER_SECOND
        return max(_SOON_S, left_s)

    async def connector(self, call: Call | None = None, *, least_ms: int = 0) -> Connector:
        """The connector. Waits for the first attempt as `wait` does.

        Raises PlatformUnavailable when it is not connected.
        """
        if self._connector is None:
            await self.wait(call, least_ms=least_ms)
        if self._connector is None:
            raise self.refusal()
        return self._connector

    def offline(self) -> Connector:
        """What says, without the platform, which bids may wait and what they would change.

        Raises PlatformUnavailable when there is none, or nothing may wait.
        """
        connector = self._connector or self._offline
        if connector is None or self.refuses:
            raise self.refusal()
        return connector

    async def wait(self, call: Call | None = None, *, least_ms: int = 0) -> None:
        """Returns once the first attempt has ended, and in any case after `FIRST_ATTEMPT_S` or
        when no more than `least_ms` are left to the deadline of `call`.
        """
        if self.attempted:
            return
        at_most_s = FIRST_ATTEMPT_S
        left_ns = None if call is None else call.remaining_ns(self._clock.monotonic_ns())
        if left_ns is not None:
            at_most_s = min(at_most_s, (left_ns - least_ms * NANOS_PER_MILLI) / NANOS_PER_SECOND)
        if at_most_s <= 0:
            return
        waits: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._first.wait()),
            asyncio.ensure_future(self._clock.sleep(at_most_s)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def refusal(self, further: str = "") -> PlatformUnavailable:
        """What is raised while it is not connected. `further`: a sentence that says why the call
        does not wait.
        """
        if self._why is None:
            said = f"{self._platform} is still being connected."
        else:
            why = self._why.message.rstrip(".")
            named = why.startswith(self._platform)
            said = f"{why}." if named else f"{self._platform} is not connected: {why}."
        parts = [said, further, "Nothing was sent."]
        return PlatformUnavailable(
            " ".join(part for part in parts if part),
            retry_after_s=self.retry_after_s,
            metadata=None if self._why is None else self._why.metadata,
        )
