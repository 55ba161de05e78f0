"""Names of metrics, their documentation, and what Prometheus reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from smartconnectors_server.telemetry import Metrics, names

TABLE = Path(__file__).parents[3] / "deploy" / "metrics.md"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def test_the_table_of_metrics_says_what_is_exported() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", TABLE.read_text(), re.MULTILINE)
    documented = [
        (name, kind, re.findall(r"`(\w+)`", labels), text) for name, kind, labels, text in rows
    ]
    assert documented == [
        (
            metric.name + ("_total" if metric.kind == "counter" else ""),
            metric.kind,
            list(metric.labels),
            metric.meaning,
        )
        for metric in names.METRICS
    ]


@pytest.mark.parametrize("metric", names.METRICS, ids=lambda metric: metric.name)
def test_a_name_says_whose_it_is_and_ends_in_its_unit(metric: names.Metric) -> None:
    assert re.fullmatch(r"smartconnectors_[a-z][a-z_]*[a-z]", metric.name)
    assert not metric.name.endswith(("_total", "_count", "_bucket", "_sum"))
    assert metric.meaning.endswith(".")
    money = "micros" in metric.meaning.split()
    assert not money or metric.name.endswith("_micros")


def test_a_trace_that_is_sampled_is_the_exemplar_of_what_it_added() -> None:
    metrics = Metrics()
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    metrics.bid(
        "meta", source="ai", status="placed", reason="", took_ns=30_000_000, trace_id=trace_id
    )
    body, content_type = metrics.exposition(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    parse: Any = openmetrics_families
    exemplars = {
        sample.name: sample.exemplar.labels
        for family in parse(body.decode())
        for sample in family.samples
        if sample.exemplar
    }
    assert exemplars == {
        "smartconnectors_bids_total": {"trace_id": trace_id},
        "smartconnectors_bid_duration_seconds_bucket": {"trace_id": trace_id},
    }


def test_two_servers_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.change("meta", "PauseCampaign", "ok", "")
    body, _ = other.exposition("")
    (family,) = [
        f for f in text_string_to_metric_families(body.decode()) if f.name == names.CHANGES.name
    ]
    assert family.samples == []


def test_a_commit_is_timed_and_its_changes_are_counted() -> None:
    metrics = Metrics()
    metrics.commit(0.004, 7)
    metrics.commit(0.2, 1)
    body, _ = metrics.exposition("")
    samples = {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert samples["smartconnectors_ledger_commit_duration_seconds_bucket", "0.005"] == 1
    assert samples["smartconnectors_ledger_commit_duration_seconds_count", ""] == 2
    assert samples["smartconnectors_ledger_commit_steps_sum", ""] == 8
