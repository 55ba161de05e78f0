"""What is counted as it happens, and the text that Prometheus reads.

On a bid's way it is only added; whatever can be asked for instead of counted is a gauge, read when
somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.telemetry import names
from smartconnectors_server.telemetry.counting import Counted, Measured
from smartconnectors_server.telemetry.names import Metric

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STEPS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)

Samples = Mapping[Metric, Iterable[tuple[tuple[str, ...], float]]]
"""Gauge -> (values of its labels, value) of each sample."""


_TURNED_AWAY = (("grpc", "DEADLINE_TOO_SHORT"), ("grpc", "OVERLOADED"), ("http", "too_many"))
"""Counted from zero, so that the first of them is seen as a rate."""


class Metrics:
    """One server's metrics, apart from those of any other in the process. For one event loop."""

    def __init__(self) -> None:
        self._bids = Counted(names.BIDS)
        self._bid_seconds = Measured(names.BID_SECONDS, _SECONDS)
        self._changes = Counted(names.CHANGES)
        self._committed = Counted(names.COMMITTED)
        self._platform_seconds = Measured(names.PLATFORM_SECONDS, _SECONDS)
        self._transitions = Counted(names.CIRCUIT_TRANSITIONS)
        self._commit_seconds = Measured(names.COMMIT_SECONDS, _SECONDS)
        self._commit_steps = Measured(names.COMMIT_STEPS, _STEPS)
        self._deliveries = Counted(names.ALERT_DELIVERIES)
        self._unknown_ids = Counted(names.UNKNOWN_REQUEST_IDS)
        self._turned_away = Counted(names.TURNED_AWAY)
        for port_and_reason in _TURNED_AWAY:
            self._turned_away.add(port_and_reason, 0)
        self._registry = CollectorRegistry()
        self._registry.register(
            _Counts(
                (
                    self._bids,
                    self._bid_seconds,
                    self._changes,
                    self._committed,
                    self._platform_seconds,
                    self._transitions,
                    self._commit_seconds,
                    self._commit_steps,
                    self._deliveries,
                    self._unknown_ids,
                    self._turned_away,
                )
            )
        )

    def bid(
        self,
        platform: str,
        *,
        source: str,
        status: str,
        reason: str,
        took_ns: int,
        trace_id: str = "",
    ) -> None:
        """One bid was answered. `trace_id`: of a sampled trace, as the exemplar; empty: none."""
        self._bids.add((platform, source, status, reason), 1, trace_id)
        self._bid_seconds.add((platform,), took_ns / NANOS_PER_SECOND, trace_id)

    def change(self, platform: str, method: str, status: str, reason: str) -> None:
        """One change of a campaign was answered."""
        self._changes.add((platform, method, status, reason))

    def committed(self, platform: str, source: str, currency: str, micros: int) -> None:
        """A platform accepted an amount."""
        self._committed.add((platform, source, currency), micros)

    def platform_call(self, platform: str, call: str, took_ns: int, trace_id: str = "") -> None:
        """One call of a platform has ended, well or not. `call`: `change`, `read` or
        `report`.
        """
        self._platform_seconds.add((platform, call), took_ns / NANOS_PER_SECOND, trace_id)

    def circuit(self, platform: str, before: str, after: str) -> None:
        """A circuit breaker changed."""
        self._transitions.add((platform, before, after))

    def commit(self, took_s: float, steps: int) -> None:
        """The ledger has committed."""
        self._commit_seconds.add((), took_s)
        self._commit_steps.add((), steps)

    def alert_delivery(self, sink: str, outcome: str) -> None:
        """An alert was delivered, or not."""
        self._deliveries.add((sink, outcome))

    def unknown_request_id(self, platform: str, count: int = 1) -> None:
        """A platform shows request ids that the ledger does not know; 0: none yet."""
        self._unknown_ids.add((platform,), count)

    def turned_away(self, port: str, reason: str) -> None:
        """A call, request or connection was refused or ended before anything was done for it."""
        self._turned_away.add((port, reason))

    def read_with(self, read: Callable[[], Samples]) -> None:
        """Has gauges read by `read` whenever somebody looks."""
        self._registry.register(_Gauges(read))

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Everything, in the format that an Accept header asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Counts:
    """What the library calls a collector, of what is counted."""

    def __init__(self, counted: Iterable[Counted | Measured]) -> None:
        self._counted = tuple(counted)

    def collect(self) -> Iterable[Family]:
        """As they are now."""
        return [one.family() for one in self._counted]


class _Gauges:
    """What the library calls a collector."""

    def __init__(self, read: Callable[[], Samples]) -> None:
        self._read = read

    def collect(self) -> Iterable[Family]:
        """Reads everything now."""
        for metric, samples in self._read().items():
            family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for labels, value in samples:
                family.add_metric(labels, value)
            yield family

    def describe(self) -> Iterable[Family]:
        """Nothing is read to learn names: the server may not be open yet."""
        return ()
