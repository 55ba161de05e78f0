"""Finished traces through the OpenTelemetry SDK to an OTLP collector."""

from __future__ import annotations

import logging
from typing import Any

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from smartconnectors_server.telemetry.tracing import Span, Trace

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


_EXPORTER = "opentelemetry.exporter.otlp.proto.grpc.exporter"


def _without_the_collectors_words(record: logging.LogRecord) -> bool:
    """Keeps what a collector says out of the log: it may repeat the key that it was sent. What is
    left is where it is and the status.
    """
    if isinstance(record.args, tuple) and "error details: %s" in str(record.msg):
        record.args = (*record.args[:-1], "[hidden]")
    record.exc_info = None
    return True


class _Given(IdGenerator):
    """Hands out the identifiers that the call has carried all along."""

    trace_id = span_id = 1

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class OtlpSpans:
    """The way to a collector, or to a given exporter."""

    def __init__(self, endpoint: str, *, insecure: bool, exporter: Any = None) -> None:
        resource = Resource.create({"service.name": "smart-connectors"})
        self._given = _Given()
        self._provider = TracerProvider(
            resource=resource, shutdown_on_exit=False, id_generator=self._given
        )
        if exporter is None:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

            # A function is added once, however often it is added.
            logging.getLogger(_EXPORTER).addFilter(_without_the_collectors_words)
            otlp = OTLPSpanExporter(endpoint=endpoint, insecure=insecure)
            self._provider.add_span_processor(BatchSpanProcessor(otlp))
        else:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("smartconnectors_server")

    def record(self, trace: Trace, root: Span) -> None:
        """Makes the spans of a finished call, outermost first."""
        for span in (root, *trace.spans):
            self._make(trace, span)

    def shutdown(self) -> None:
        """Exports what is left."""
        self._provider.shutdown()

    def _make(self, trace: Trace, span: Span) -> None:
        trace_id = int(trace.trace_id, 16)
        self._given.trace_id, self._given.span_id = trace_id, int(span.span_id, 16)
        context = Context()
        if span.parent_id:
            remote = span.parent_id == trace.parent_id
            parent = SpanContext(trace_id, int(span.parent_id, 16), remote, _SAMPLED)
            context = api.set_span_in_context(NonRecordingSpan(parent), context)
        made = self._tracer.start_span(
            span.name,
            context=context,
            kind=_KINDS[span.kind],
            start_time=span.start_ns,
            attributes=dict(span.attributes),
            links=[_link(span.link)] if span.link else [],
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(end_time=span.end_ns)


def _link(traceparent: str) -> Link:
    _, trace_id, span_id, _ = traceparent.split("-")
    return Link(SpanContext(int(trace_id, 16), int(span_id, 16), True, _SAMPLED))
