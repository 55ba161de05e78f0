"""Counters and histograms that are as cheap as a bid needs them: counted here, without locks, and
handed to the library only when somebody looks. For one event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, Exemplar, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.utils import floatToGoString

from smartconnectors_server.telemetry.names import Metric

Labels = tuple[str, ...]


def _exemplar(trace_id: str, value: float) -> Exemplar:
    return Exemplar({"trace_id": trace_id}, value)


class Counted:
    """A counter."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._values: dict[Labels, float] = {}
        self._exemplars: dict[Labels, Exemplar] = {}

    def add(self, labels: Labels, amount: float = 1, trace_id: str = "") -> None:
        """`trace_id`: of a sampled trace; empty: none."""
        values = self._values
        values[labels] = values.get(labels, 0) + amount
        if trace_id:
            self._exemplars[labels] = _exemplar(trace_id, amount)

    def family(self) -> Family:
        """As it is now."""
        metric = self._metric
        family = CounterMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value, exemplar=self._exemplars.get(labels))
        return family


class Measured:
    """A histogram. `bounds`: the largest value of each bucket but the last, ascending."""

    def __init__(self, metric: Metric, bounds: Sequence[float]) -> None:
        self._metric = metric
        self._bounds = bounds
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._exemplars: dict[tuple[Labels, int], Exemplar] = {}
        if not metric.labels:
            self._begin(())

    def add(self, labels: Labels, value: float, trace_id: str = "") -> None:
        """`trace_id`: of a sampled trace; empty: none."""
        bucket = bisect_left(self._bounds, value)
        counts = self._counts.get(labels) or self._begin(labels)
        counts[bucket] += 1
        self._sums[labels] += value
        if trace_id:
            self._exemplars[labels, bucket] = _exemplar(trace_id, value)

    def _begin(self, labels: Labels) -> list[int]:
        self._sums[labels] = 0.0
        counts = self._counts[labels] = [0] * len(self._names)
        return counts

    def family(self) -> Family:
        """As it is now."""
        metric = self._metric
        family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, counts in self._counts.items():
            buckets: list[Any] = []
            so_far = 0
            for index, (name, count) in enumerate(zip(self._names, counts, strict=True)):
                so_far += count
                buckets.append((name, so_far, self._exemplars.get((labels, index))))
            family.add_metric(labels, buckets, self._sums[labels])
        return family
