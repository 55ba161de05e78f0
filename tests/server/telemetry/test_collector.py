"""Traces to a collector: what it says stays out of the log, and it holds nothing up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from smartconnectors_server.assembly import load_settings
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.settings import SettingsError, headers_of
from smartconnectors_server.telemetry.collector import Collector
from smartconnectors_server.telemetry.otlp import OtlpSpans
from smartconnectors_server.telemetry.tracing import Span, Tracer

KEY = "do-not-show-this-key"
ALL_CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """A collector that answers with `code`, repeating the key that it was sent; None: takes all."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.exports: list[Any] = []
        self.keys: list[Any] = []

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        said = dict(context.invocation_metadata())
        self.keys.append(said.get("api-key"))
        if self.code is not None:
            await context.abort(self.code, f"the key {said.get('api-key')} is not welcome")
        self.exports.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def names(self) -> set[str]:
        return {
            attribute.value.string_value
            for export in self.exports
            for one in export.resource_spans
            for attribute in one.resource.attributes
            if attribute.key == "service.name"
        }


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Receiver, str]]:
    receiver, server = Receiver(), grpc.aio.server()
    register: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    register(receiver, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield receiver, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


class Kept(logging.Handler):
    """Every line, whoever wrote it, as it would stand in the log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def kept() -> Any:
    handler, root = Kept(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def record(spans: OtlpSpans) -> None:
    trace = Tracer(1.0).begin()
    assert trace is not None
    spans.record(trace, Span("call", trace.span_id, "", "server", 1, 2, "", {}, ""))


@pytest.mark.parametrize("code", ALL_CODES, ids=lambda code: code.name)
async def test_what_a_collector_says_is_not_in_the_log_whatever_its_code(
    code: grpc.StatusCode, kept: Kept, capfd: pytest.CaptureFixture[str]
) -> None:
    async with receiving() as (receiver, endpoint):
        receiver.code = code
        spans = OtlpSpans(endpoint, insecure=True, headers=(("api-key", KEY),))
        record(spans)
        await asyncio.to_thread(spans.shutdown)
        assert receiver.keys[0] == KEY
        text = "\n".join(kept.lines) + "".join(capfd.readouterr())
        assert KEY not in text
        assert "not welcome" not in text
        assert f"traces cannot be exported to {endpoint}: {code.name}" in text


def export_of(collector: Collector, times: int = 1) -> list[SpanExportResult]:
    return [collector.export([]) for _ in range(times)]


async def test_a_failure_is_told_once_a_minute_and_its_end_once(
    kept: Kept, clock: ManualClock
) -> None:
    async with receiving() as (receiver, endpoint):
        receiver.code = grpc.StatusCode.PERMISSION_DENIED
        collector = Collector(endpoint, insecure=True, clock=clock)
        await asyncio.to_thread(export_of, collector, 3)
        clock.advance(60)
        await asyncio.to_thread(export_of, collector, 2)
        receiver.code = None
        await asyncio.to_thread(export_of, collector, 2)
        collector.shutdown()
    ours = [line for line in kept.lines if "traces" in line]
    assert ["cannot" in line for line in ours] == [True, True, False]


async def test_what_may_pass_is_sent_again_and_what_cannot_is_not() -> None:
    async with receiving() as (receiver, endpoint):
        collector = Collector(endpoint, insecure=True, retry_after_s=(0.0, 0.0))
        for code, attempts in ((grpc.StatusCode.UNAVAILABLE, 3), (grpc.StatusCode.INTERNAL, 1)):
            receiver.code, receiver.keys = code, []
            await asyncio.to_thread(export_of, collector)
            assert len(receiver.keys) == attempts
        collector.shutdown()


def test_a_header_that_grpc_refuses_is_not_repeated(kept: Kept) -> None:
    collector = Collector("127.0.0.1:1", insecure=True, headers=(("api-key", f"{KEY}\n"),))
    assert collector.export([]) is SpanExportResult.FAILURE
    collector.shutdown()
    assert not any(KEY in line for line in kept.lines)


def test_credentials_in_the_address_are_not_in_the_log(kept: Kept) -> None:
    collector = Collector(f"http://me:{KEY}@127.0.0.1:1", insecure=True, retry_after_s=())
    collector.export([])
    collector.shutdown()
    text = "\n".join(kept.lines)
    assert "traces cannot be exported to 127.0.0.1:1: UNAVAILABLE" in text
    assert KEY not in text


class Hung(SpanExporter):
    """An exporter that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.let_go.wait()


def test_an_exporter_that_hangs_does_not_hold_up_the_end(kept: Kept) -> None:
    hung = Hung()
    OtlpSpans("", insecure=True, exporter=hung, shutdown_s=0.05).shutdown()
    hung.let_go.set()
    assert any("did not take the last traces within 0.05 s" in line for line in kept.lines)


def test_a_collector_that_never_answers_does_not_hold_up_the_end(kept: Kept) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        spans = OtlpSpans(endpoint, insecure=True, shutdown_s=0.1)
        record(spans)
        spans.shutdown()
    assert any(f"{endpoint} did not take the last traces" in line for line in kept.lines)


async def test_a_server_is_called_in_traces_what_its_settings_call_it() -> None:
    chosen = load_settings(None, {"OTEL_SERVICE_NAME": "bids-eu\n"}).telemetry
    async with receiving() as (receiver, endpoint):
        for name in (chosen.service_name, load_settings(None, {}).telemetry.service_name):
            spans = OtlpSpans(endpoint, insecure=True, service_name=name)
            record(spans)
            await asyncio.to_thread(spans.shutdown)
        assert receiver.names == {"bids-eu", "smart-connectors"}


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("", ()),
        ("api-key=a%20b\r\n", (("api-key", "a b"),)),
        (" A = 1 , b=2,", (("a", "1"), ("b", "2"))),
        ("authorization=Basic dXNlcg==", (("authorization", "Basic dXNlcg=="),)),
    ],
)
def test_headers_are_read_as_opentelemetry_writes_them(
    text: str, headers: tuple[tuple[str, str], ...]
) -> None:
    assert headers_of(text) == headers


@pytest.mark.parametrize("variable", ["HEADERS", "TRACES_HEADERS"])
@pytest.mark.parametrize(
    "text", ["do-not-show", "a b=do-not-show", "a=do-not-show%0A1", "x-bin=do-not-show"]
)
def test_headers_that_grpc_cannot_carry_are_refused_by_their_variable(
    variable: str, text: str
) -> None:
    with pytest.raises(SettingsError, match=f"^OTEL_EXPORTER_OTLP_{variable}: ") as caught:
        load_settings(None, {f"OTEL_EXPORTER_OTLP_{variable}": text})
    assert "do-not-show" not in str(caught.value)
