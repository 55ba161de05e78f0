"""What metrics and traces add to a call, part by part, each measured alone.

On a machine with others on it two servers, or one at two times, differ by more than the whole of
this. What a part needs alone is steady: it is the least of several looks.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from bench.collector import OPENMETRICS
from bench.load import Server

from smartconnectors_server.clock import SystemClock
from smartconnectors_server.telemetry import Metrics, Telemetry, names
from smartconnectors_server.telemetry.otlp import OtlpSpans

LOOKS = 7
CALLS = 2000
SPANNED_CALLS = 300
SCRAPES = 30
BIDS_A_COMMIT = 20
"""Fewer than are gathered under load; a commit is counted once for all of them."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Processor time, in microseconds.

    Attributes:
        metrics_us: of counting one bid.
        spans_us: of one sampled call, until its spans are sent.
        scrape_us: of one scrape.
    """

    metrics_us: float
    spans_us: float
    scrape_us: float

    def of_a_call(self, sampled: float, calls_per_s: float) -> float:
        """What they add to each call, scraped each second."""
        return self.metrics_us + sampled * self.spans_us + self.scrape_us / calls_per_s


def measured(server: Server) -> Parts:
    """`server` has been under load, so that it has something to be scraped."""
    return Parts(_metrics_us(), _spans_us(server.collector), _scrape_us(server))


def _least_us(work: Callable[[], None], clock_ns: Callable[[], int], times: int) -> float:
    spent = []
    for _ in range(LOOKS):
        before_ns = clock_ns()
        work()
        spent.append(clock_ns() - before_ns)
    return min(spent) / times / 1000


def _metrics_us() -> float:
    metrics = Metrics()

    def count() -> None:
        for number in range(CALLS):
            metrics.bid("p", source="ai", status="placed", reason="", took_ns=50_000_000)
            metrics.committed("p", "ai", "USD", 15_000_000)
            metrics.platform_call("p", "change", 100_000)
            if number % BIDS_A_COMMIT == 0:
                metrics.commit(0.004, 3 * BIDS_A_COMMIT)

    return _least_us(count, time.thread_time_ns, CALLS)


def _spans_us(collector: str) -> float:
    clock = SystemClock()
    attributes = {f"smartconnectors.attribute_{number}": "value" for number in range(10)}

    def trace() -> None:
        telemetry = Telemetry(spans=OtlpSpans(collector, insecure=True), sample_ratio=1.0)
        for _ in range(SPANNED_CALLS):
            one = telemetry.tracer.begin()
            assert one is not None
            for name in (names.SPAN_RESERVE, names.SPAN_CHANGE, names.SPAN_SETTLE):
                with telemetry.tracer.inside(one, name, clock):
                    pass
            now_ns = clock.wall_ns()
            telemetry.finish(one, names.SPAN_BID, now_ns, now_ns, attributes)
        telemetry.shutdown()

    return _least_us(trace, time.process_time_ns, SPANNED_CALLS)


def _scrape_us(server: Server) -> float:
    request = urllib.request.Request(
        f"http://{server.http}/metrics", headers={"Accept": OPENMETRICS}
    )

    def scrape() -> None:
        for _ in range(SCRAPES):
            with urllib.request.urlopen(request, timeout=30) as page:
                page.read()

    return _least_us(scrape, server.cpu_ns, SCRAPES)
