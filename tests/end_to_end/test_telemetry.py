"""What operators see of bids: traces at a real OTLP receiver and metrics over HTTP, both of which
agree with what callers were told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc.aio
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from smartconnectors.common.v1 import bid_pb2
from smartconnectors.google_ads.v1 import google_ads_service_pb2 as ads_pb2
from smartconnectors_server.connector.sandbox import FaultKind
from smartconnectors_server.http import Pages
from smartconnectors_server.serving import pages_of
from smartconnectors_server.settings import HttpSettings
from smartconnectors_server.telemetry import Telemetry, names
from smartconnectors_server.telemetry.otlp import OtlpSpans

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, Stage, Words

USD = 1_000_000
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"
SAMPLED = f"00-{CALLER}-{CALLERS_SPAN}-01"
NOT_SAMPLED = f"00-{CALLER}-{CALLERS_SPAN}-00"


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, trace_id: str) -> dict[str, Span]:
        """The spans of a trace, by name."""
        return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}


class Traced:
    """A telemetry whose spans go to a receiver."""

    def __init__(self, receiver: Receiver, endpoint: str) -> None:
        self.receiver = receiver
        self._spans = OtlpSpans(endpoint, insecure=True)

    def sampling(self, ratio: float = 0) -> Telemetry:
        """Samples what callers sample, and this share of the rest."""
        return Telemetry(spans=self._spans, sample_ratio=ratio)

    async def received(self) -> Receiver:
        """Everything, once it has been sent."""
        await asyncio.to_thread(self._spans.shutdown)
        return self.receiver


@pytest_asyncio.fixture(loop_scope="session")
async def traced() -> AsyncIterator[Traced]:
    receiver = Receiver()
    collector = grpc.aio.server()
    register: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    register(receiver, collector)
    port = collector.add_insecure_port("127.0.0.1:0")
    await collector.start()
    yield Traced(receiver, f"127.0.0.1:{port}")
    await collector.stop(None)


def said(span: Span) -> dict[str, Any]:
    """A span's attributes."""
    return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}


async def place(server: Server, request: ads_pb2.PlaceBidRequest, traceparent: str) -> Any:
    answer = await server.ads.PlaceBid(
        request, timeout=60, metadata=(("traceparent", traceparent),)
    )
    return answer.result


async def test_a_callers_trace_goes_on_through_reserve_platform_and_settle(
    stage: Stage, say: Words, traced: Traced
) -> None:
    server = await stage.serve(telemetry=traced.sampling())
    await place(server, say.bid("seen", 15), SAMPLED)
    spans = (await traced.received()).of(CALLER)

    assert set(spans) == {
        names.SPAN_BID,
        names.SPAN_READ,
        names.SPAN_RESERVE,
        names.SPAN_CHANGE,
        names.SPAN_SETTLE,
    }
    bid = spans.pop(names.SPAN_BID)
    assert bid.parent_span_id.hex() == CALLERS_SPAN
    assert bid.kind == Span.SPAN_KIND_SERVER
    assert said(bid)[names.ATTR_SOURCE] == "ai"
    assert said(bid)[names.ATTR_OUTCOME] == "PLACED"
    for span in spans.values():
        assert span.parent_span_id == bid.span_id
        assert bid.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= bid.end_time_unix_nano
    assert spans[names.SPAN_RESERVE].end_time_unix_nano <= (
        spans[names.SPAN_CHANGE].start_time_unix_nano
    )


async def test_the_platform_is_handed_the_trace_with_the_span_that_asks_it(
    stage: Stage, say: Words, traced: Traced
) -> None:
    server = await stage.serve(telemetry=traced.sampling())
    await place(server, say.bid("handed", 15), SAMPLED)
    change = (await traced.received()).of(CALLER)[names.SPAN_CHANGE]
    (entry,) = stage.mutates("handed")
    assert entry.facts["traceparent"] == f"00-{CALLER}-{change.span_id.hex()}-01"


async def test_what_the_caller_does_not_sample_makes_no_span_and_goes_on_unsampled(
    stage: Stage, say: Words, traced: Traced
) -> None:
    server = await stage.serve(telemetry=traced.sampling())
    await place(server, say.bid("unsampled", 15), NOT_SAMPLED)
    await server.place(say.bid("without", 15, campaign="1002"))
    assert (await traced.received()).spans == []
    (entry,) = stage.mutates("unsampled")
    assert entry.facts["traceparent"].startswith(f"00-{CALLER}-")
    assert entry.facts["traceparent"].endswith("-00")
    (entry,) = stage.mutates("without")
    assert "traceparent" not in entry.facts


async def test_a_refused_bid_is_an_error_in_its_trace_by_its_reason(
    stage: Stage, say: Words, traced: Traced
) -> None:
    server = await stage.serve(telemetry=traced.sampling())
    await say.refused(place(server, say.bid("too-much", 2000, ltv_usd=4000), SAMPLED))
    bid = (await traced.received()).of(CALLER)[names.SPAN_BID]
    assert said(bid)[names.ATTR_OUTCOME] == "BUDGET_EXCEEDED"
    assert bid.status.code == bid.status.STATUS_CODE_ERROR


async def test_a_deferred_bid_that_is_placed_links_to_the_trace_that_deferred_it(
    stage: Stage, say: Words, traced: Traced
) -> None:
    server = await stage.serve(
        telemetry=traced.sampling(1),
        circuit_breaker={"failure_threshold": 1, "slow_call_ms": 120, "open_s": 0.3},
    )
    await stage.fault(FaultKind.SLOW, times=1, delay_ms=180)
    await server.place(say.bid("slow", 10, campaign="1001"))
    deferred = await place(server, say.bid("waits", 15, campaign="1002", ltv_usd=60), SAMPLED)
    assert deferred.status == bid_pb2.BID_STATUS_DEFERRED
    await server.audited("waits", "dispatch", "settle")
    receiver = await traced.received()
    first = receiver.of(CALLER)[names.SPAN_BID]
    (placed,) = [s for s in receiver.spans if s.links and s.name == names.SPAN_BID]
    assert placed.links[0].trace_id.hex() == CALLER
    assert placed.links[0].span_id == first.span_id
    assert said(placed)[names.ATTR_SOURCE] == "fallback"


class Scraped:
    """One look at `/metrics`."""

    def __init__(self, text: str) -> None:
        self.families = {f.name: f for f in text_string_to_metric_families(text)}

    def value(self, metric: names.Metric, *labels: str) -> float:
        """The sample with exactly these labels."""
        wanted = dict(zip(metric.labels, labels, strict=True))
        suffix = {"counter": "_total", "gauge": "", "histogram": "_count"}[metric.kind]
        (value,) = [
            sample.value
            for sample in self.families[metric.name].samples
            if sample.name == metric.name + suffix and sample.labels == wanted
        ]
        return float(value)


@pytest_asyncio.fixture(loop_scope="session")
async def pages() -> AsyncIterator[list[Pages]]:
    opened: list[Pages] = []
    yield opened
    for one in opened:
        await one.stop()


async def browse(server: Server, pages: list[Pages]) -> str:
    """The address of a server's HTTP port."""
    one = pages_of(server.app)
    pages.append(one)
    return await one.start(HttpSettings(port=0))


async def look(address: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as page:
        return page.status, await page.text()


async def scrape(address: str) -> Scraped:
    status, text = await look(address, "/metrics")
    assert status == 200
    return Scraped(text)


async def test_metrics_count_what_callers_were_told(
    stage: Stage, say: Words, pages: list[Pages]
) -> None:
    server = await stage.serve(budget={"limit": "100"})
    address = await browse(server, pages)
    for number in (1, 2, 3):
        await server.place(say.bid(f"m-{number}", 30, campaign=f"100{number}", ltv_usd=60))
    await server.place(say.bid("m-1", 30, campaign="1001", ltv_usd=60))
    await say.refused(server.place(say.bid("m-4", 30, campaign="1004", ltv_usd=60)))

    seen = await scrape(address)
    assert seen.value(names.BIDS, "google_ads", "ai", "placed", "") == 3
    assert seen.value(names.BIDS, "google_ads", "ai", "replayed", "") == 1
    assert seen.value(names.BIDS, "google_ads", "ai", "refused", "BUDGET_EXCEEDED") == 1
    assert seen.value(names.COMMITTED, "google_ads", "ai", "USD") == 90 * USD
    assert seen.value(names.BUDGET_COMMITTED, "google_ads", "USD", "600s") == 90 * USD
    assert seen.value(names.BUDGET_LIMIT, "google_ads", "USD", "600s") == 100 * USD
    assert seen.value(names.BUDGET_REMAINING, "google_ads", "USD") == 10 * USD
    assert seen.value(names.BUDGET_UTILIZATION, "google_ads") == 0.9
    assert seen.value(names.BUDGET_ALERT_LEVEL, "google_ads") == 1
    assert seen.value(names.BUDGET_VETOES, "google_ads") == 1
    assert seen.value(names.BUDGET_VETO_RATIO, "google_ads") == 0.25
    assert seen.value(names.PLATFORM_SECONDS, "google_ads", "change") == 3
    assert seen.value(names.CIRCUIT_STATE, "google_ads", "closed") == 1
    assert seen.value(names.CIRCUIT_STATE, "google_ads", "open") == 0
    assert seen.value(names.CONNECTED, "google_ads", "sandbox") == 1
    used = seen.value(names.RATE_LIMIT_USED, "google_ads")
    assert used == sum(entry.method != "oauth_token" for entry in stage.sandbox.journal())
    assert seen.value(names.RATE_LIMIT_HEADROOM, "google_ads") == 100_000 - used


async def test_everything_that_is_exported_is_in_the_list_of_names(
    stage: Stage, say: Words, pages: list[Pages]
) -> None:
    server = await stage.serve()
    address = await browse(server, pages)
    await server.place(say.bid("named", 15))
    _, text = await look(address, "/metrics")
    exported = {family.name: family for family in text_string_to_metric_families(text)}
    ours = {metric.name: metric for metric in names.METRICS}
    assert exported.keys() <= ours.keys()
    for name, family in exported.items():
        assert family.type == ours[name].kind
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(ours[name].labels)


async def test_health_over_http_tells_alive_from_ready(stage: Stage, pages: list[Pages]) -> None:
    server = await stage.serve()
    address = await browse(server, pages)
    assert await look(address, "/healthz") == (200, "alive\n")
    assert await look(address, "/readyz") == (200, "ready\n")
    await server.stop_server()
    assert await look(address, "/healthz") == (200, "alive\n")
    assert (await look(address, "/readyz"))[0] == 503
