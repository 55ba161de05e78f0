"""What is counted as it happens, and the text that Prometheus reads.

The cost on a bid's way is two additions and two comparisons; whatever can be asked for instead of
counted is a gauge, read when somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family

from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.telemetry import names
from smartconnectors_server.telemetry.names import Metric

# A second series for each, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STEPS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)

Samples = Mapping[Metric, Iterable[tuple[tuple[str, ...], float]]]
"""Gauge -> (values of its labels, value) of each sample."""


class Metrics:
    """One server's metrics, apart from those of any other in the process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._parents = {
            metric: self._parent(metric) for metric in names.METRICS if metric.kind != "gauge"
        }
        self._children: dict[tuple[Metric, tuple[str, ...]], Any] = {}

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
        exemplar = {"trace_id": trace_id} if trace_id else None
        self._child(names.BIDS, platform, source, status, reason).inc(1, exemplar)
        self._child(names.BID_SECONDS, platform).observe(took_ns / NANOS_PER_SECOND, exemplar)

    def change(self, platform: str, method: str, status: str, reason: str) -> None:
        """One change of a campaign was answered."""
        self._child(names.CHANGES, platform, method, status, reason).inc()

    def committed(self, platform: str, source: str, currency: str, micros: int) -> None:
        """A platform accepted an amount."""
        self._child(names.COMMITTED, platform, source, currency).inc(micros)

    def platform_call(self, platform: str, call: str, took_ns: int, trace_id: str = "") -> None:
        """One call of a platform has ended, well or not. `call`: `change`, `read` or
        `report`.
        """
        exemplar = {"trace_id": trace_id} if trace_id else None
        child = self._child(names.PLATFORM_SECONDS, platform, call)
        child.observe(took_ns / NANOS_PER_SECOND, exemplar)

    def circuit(self, platform: str, before: str, after: str) -> None:
        """A circuit breaker changed."""
        self._child(names.CIRCUIT_TRANSITIONS, platform, before, after).inc()

    def commit(self, took_s: float, steps: int) -> None:
        """The ledger has committed."""
        self._child(names.COMMIT_SECONDS).observe(took_s)
        self._child(names.COMMIT_STEPS).observe(steps)

    def alert_delivery(self, sink: str, outcome: str) -> None:
        """An alert was delivered, or not."""
        self._child(names.ALERT_DELIVERIES, sink, outcome).inc()

    def read_with(self, read: Callable[[], Samples]) -> None:
        """Has gauges read by `read` whenever somebody looks."""
        self._registry.register(_Gauges(read))

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Everything, in the format that an Accept header asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    # Parts

    def _parent(self, metric: Metric) -> Any:
        if metric.kind == "counter":
            return Counter(metric.name, metric.meaning, metric.labels, registry=self._registry)
        buckets = _STEPS if metric is names.COMMIT_STEPS else _SECONDS
        return Histogram(
            metric.name, metric.meaning, metric.labels, buckets=buckets, registry=self._registry
        )

    def _child(self, metric: Metric, *labels: str) -> Any:
        """The library looks its children up under a lock; this look-up needs none."""
        key = (metric, labels)
        child = self._children.get(key)
        if child is None:
            parent = self._parents[metric]
            child = self._children[key] = parent.labels(*labels) if labels else parent
        return child


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
