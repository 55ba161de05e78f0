"""What is counted here reads as if the library had counted it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric as Family

from smartconnectors_server.telemetry import names
from smartconnectors_server.telemetry.counting import Counted, Measured

BOUNDS = (0.001, 0.5, 1.0, 10.0)
PLATFORMS = st.sampled_from(["google_ads", "meta"])
VALUES = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 20))
TRACES = st.sampled_from(["", "a" * 32, "b" * 32])


def told(families: Iterable[Family]) -> list[Any]:
    """Every sample with its exemplar; what the library adds of when it began is left out."""
    return sorted(
        (
            sample.name,
            sorted(sample.labels.items()),
            sample.value,
            (sample.exemplar.labels["trace_id"], sample.exemplar.value) if sample.exemplar else (),
        )
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    )


@given(st.lists(st.tuples(PLATFORMS, VALUES, TRACES)))
def test_a_histogram_has_the_same_buckets_sums_and_exemplars(
    observed: list[tuple[str, float, str]],
) -> None:
    metric = names.BID_SECONDS
    ours = Measured(metric, BOUNDS)
    theirs = Histogram(
        metric.name, metric.meaning, metric.labels, buckets=BOUNDS, registry=CollectorRegistry()
    )
    for platform, value, trace_id in observed:
        ours.add((platform,), value, trace_id)
        theirs.labels(platform).observe(value, {"trace_id": trace_id} if trace_id else None)
    assert told([ours.family()]) == told(theirs.collect())


@given(st.lists(st.tuples(PLATFORMS, st.integers(1, 10**12), TRACES)))
def test_a_counter_has_the_same_sums_and_exemplars(added: list[tuple[str, int, str]]) -> None:
    metric = names.COMMITTED
    ours = Counted(metric)
    theirs = Counter(metric.name, metric.meaning, metric.labels, registry=CollectorRegistry())
    for platform, amount, trace_id in added:
        labels = (platform, "ai", "USD")
        ours.add(labels, amount, trace_id)
        theirs.labels(*labels).inc(amount, {"trace_id": trace_id} if trace_id else None)
    assert told([ours.family()]) == told(theirs.collect())


def test_what_has_no_labels_is_there_from_the_start() -> None:
    (count,) = (s for s in Measured(names.COMMIT_STEPS, (1,)).family().samples if "count" in s.name)
    assert count.value == 0
