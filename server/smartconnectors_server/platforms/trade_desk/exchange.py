"""Where authored bid responses go. Sent once, never repeated."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.connector.http import Answer, HttpTransport
from smartconnectors_server.errors import OutcomeUnknown, PlatformRejected, RateLimited
from smartconnectors_server.platforms.trade_desk import answers

HEADERS = {"Content-Type": "application/json", "x-openrtb-version": "2.5"}
DEFAULT_RETRY_S = 1.0
LONGEST_WAIT_S = 86_400.0

_ACCEPTED = (200, 204)
_REQUEST_TIMEOUT = 408


class Exchange:
    """The exchange that bid responses are submitted to. What it says of its quota is about
    auctions alone: The Trade Desk's own API has nothing to do with it.
    """

    def __init__(self, transport: HttpTransport, clock: Clock) -> None:
        """`transport` goes to the submission URL itself."""
        self._transport = transport
        self._clock = clock
        self._not_before_ns = 0

    def check(self) -> None:
        """Raises RateLimited while the exchange asks for no bids."""
        wait_s = (self._not_before_ns - self._clock.monotonic_ns()) / NANOS_PER_SECOND
        if wait_s > 0:
            raise RateLimited(
                f"The exchange asks for no bids for another {math.ceil(wait_s)} s.",
                retry_after_s=wait_s,
                metadata={"limited_by": "platform"},
                quota_subject="trade_desk/exchange",
            )

    async def submit(self, response_json: str, dispatched: Callable[[], None]) -> None:
        """Submits a bid response, byte for byte as it was authored; returns when it was taken.

        Raises PlatformRejected, RateLimited, PlatformUnavailable, OutcomeUnknown.
        """
        dispatched()
        answer = await self._transport.send(
            "POST", "", changes=True, headers=HEADERS, content=response_json
        )
        now = datetime.fromtimestamp(self._clock.wall_ns() / NANOS_PER_SECOND, UTC)
        retry_after_s = answers.retry_after_of(answer, now) or DEFAULT_RETRY_S
        refusal = refusal_of(answer, retry_after_s)
        if isinstance(refusal, RateLimited):
            wait_ns = round(min(retry_after_s, LONGEST_WAIT_S) * NANOS_PER_SECOND)
            self._not_before_ns = self._clock.monotonic_ns() + wait_ns
        if refusal is not None:
            raise refusal


def refusal_of(
    answer: Answer, retry_after_s: float
) -> PlatformRejected | RateLimited | OutcomeUnknown | None:
    """What an exchange's answer means; None: it took the bid. Pure."""
    if answer.status in _ACCEPTED:
        return None
    words = f"the exchange answered {answer.status}"
    metadata = {"platform_status": str(answer.status)}
    if answer.status == answers.TOO_MANY:
        return RateLimited(
            f"The bid was refused for quota: {words}",
            retry_after_s=retry_after_s,
            metadata=metadata,
            quota_subject="trade_desk/exchange",
        )
    if 400 <= answer.status < 500 and answer.status != _REQUEST_TIMEOUT:
        return PlatformRejected(f"The bid was refused: {words}.", metadata=metadata)
    return OutcomeUnknown(f"Whether the bid was taken is not known: {words}.", metadata=metadata)
