"""A provider's public keys by their address: fetched now and then, kept until others are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from smartconnectors_server.access.watched import Unusable
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.outgoing_proxy import Outgoing

if TYPE_CHECKING:
    import aiohttp

Content = TypeVar("Content")

TIMEOUT_S = 10.0
MOST_BYTES = 1024 * 1024
LEAST_INTERVAL_S = 30.0
"""Between two fetches, whatever is asked for: tokens with unknown keys come from anybody."""
LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)


class Fetched(Generic[Content]):
    """What is read at an address. For one event loop; what it says may be asked from any thread.

    Attributes:
        value: what it said when it could last be used.
        problem: why it cannot be used now; None: it can, or it was not asked yet.
    """

    def __init__(
        self,
        key: str,
        url: str,
        read: Callable[[bytes], Content],
        nothing: Content,
        clock: Clock,
        outgoing: Outgoing,
        refresh_s: float,
    ) -> None:
        """Asks nothing yet.

        Args:
            key: the settings key of the address.
            url: https, or http on this machine.
            read: makes of the body what it says. Raises Unusable.
            nothing: the value before the first answer.
            clock: when to ask again.
            outgoing: through which proxy, and whose certificates are believed.
            refresh_s: how often.
        """
        self._key = key
        self._url = url
        self._read = read
        self.value = nothing
        self.problem: Unusable | None = None
        self._clock = clock
        self._outgoing = outgoing
        self._refresh_ns = round(refresh_s * NANOS_PER_SECOND)
        self._changed = False
        self._wanted = False
        self._asked_ns: int | None = None

    def look(self) -> bool:
        """True when it says something else since the last look."""
        changed, self._changed = self._changed, False
        return changed

    def want(self) -> None:
        """Asks for a fetch before its time, since something is not in what was read."""
        self._wanted = True

    async def run(self) -> None:
        """Fetches when it is time to, until it is cancelled."""
        import aiohttp

        connector = aiohttp.TCPConnector(
            ssl=self._outgoing.ssl_context() or True, force_close=True, limit=1
        )
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            while True:
                if self.is_due():
                    await self.fetch(session)
                await self._clock.sleep(LOOK_EVERY_S)

    def is_due(self) -> bool:
        """True when it is time to fetch."""
        if self._asked_ns is None:
            return True
        waited_ns = self._clock.monotonic_ns() - self._asked_ns
        early = self._wanted or self.problem is not None
        soonest_ns = round(LEAST_INTERVAL_S * NANOS_PER_SECOND)
        return waited_ns >= (min(soonest_ns, self._refresh_ns) if early else self._refresh_ns)

    async def fetch(self, session: aiohttp.ClientSession) -> None:
        """Asks once. What cannot be used changes nothing but `problem` and the log."""
        self._asked_ns, self._wanted = self._clock.monotonic_ns(), False
        before = self.problem
        try:
            value = self._read(await self._body(session))
        except Unusable as error:
            self.problem = Unusable(self._key, error.why)
            if before is None or before.why != error.why:
                log.error(  # noqa: TRY400 - what it says must not be in a traceback
                    "%s %s. What was read before stays in force.", self._key, error.why
                )
            return
        self.problem = None
        if value != self.value:
            self.value, self._changed = value, True
            log.info("read again: %s", self._key)

    async def _body(self, session: aiohttp.ClientSession) -> bytes:
        """Raises Unusable, without what was answered."""
        import aiohttp

        through: dict[str, Any] = self._outgoing.for_aiohttp(self._url)
        try:
            async with session.get(
                self._url,
                headers={"accept": "application/json", **self._outgoing.headers_for(self._url)},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                **through,
            ) as answer:
                if answer.status != 200:
                    raise Unusable(self._key, f"cannot be fetched: answered {answer.status}")
                body = bytearray()
                async for part in answer.content.iter_any():
                    body += part
                    if len(body) > MOST_BYTES:
                        raise Unusable(self._key, f"is larger than {MOST_BYTES} bytes")
                return bytes(body)
        except TimeoutError:
            raise Unusable(self._key, "cannot be fetched: no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unusable(self._key, f"cannot be fetched: {type(error).__name__}") from None
