"""What is logged and counted of callers that are refused, by gRPC and by HTTP alike."""

from __future__ import annotations

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import ConnectorError, plain
from smartconnectors_server.telemetry import Telemetry, names

LINES = 60
"""Log lines about one caller, or about all that are not known, in one period."""
PERIOD_S = 60.0
MOST_CALLERS = 1_000
"""More are not remembered apart; the oldest is forgotten."""
_MOST_PATH_BYTES = 200
_MOST_NAME_BYTES = 100
_MOST_WHY_BYTES = 300


class _Period:
    """The lines about one caller since the period began."""

    __slots__ = ("began_ns", "left_out", "lines")

    def __init__(self, began_ns: int) -> None:
        self.began_ns = began_ns
        self.lines = 0
        self.left_out = 0


class Refusals:
    """Keeps callers from filling the log: each line is bounded, and so is their number; what is
    left out is counted in the next line, and in the metric. For one event loop.
    """

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._periods: dict[str, _Period] = {}

    def tell(self, port: str, method: str, actor: str, error: ConnectorError) -> None:
        """A call or request was refused. `port`: `grpc` or `http`; `actor`: empty when the caller
        is not known.
        """
        self._telemetry.metrics.turned_away(port, error.reason)
        period = self._period(actor)
        if period.lines >= LINES:
            period.left_out += 1
            return
        left_out = {"left_out": period.left_out} if period.left_out else {}
        period.lines += 1
        period.left_out = 0
        self._telemetry.event(
            names.EVENT_ACCESS_REFUSED,
            port=port,
            method=plain(method, _MOST_PATH_BYTES),
            actor=plain(actor, _MOST_NAME_BYTES),
            reason=error.reason,
            why=plain(error.message, _MOST_WHY_BYTES),
            **left_out,
        )

    def _period(self, actor: str) -> _Period:
        now_ns = self._clock.monotonic_ns()
        period = self._periods.get(actor)
        if period is None:
            if len(self._periods) >= MOST_CALLERS:
                del self._periods[next(iter(self._periods))]
            period = self._periods[actor] = _Period(now_ns)
        elif now_ns - period.began_ns >= PERIOD_S * NANOS_PER_SECOND:
            period.began_ns = now_ns
            period.lines = 0
        return period
