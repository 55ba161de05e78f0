"""Finished traces through the OpenTelemetry SDK to an OTLP collector."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
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

from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.telemetry.collector import Collector
from smartconnectors_server.telemetry.names import SERVICE_NAME
from smartconnectors_server.telemetry.tracing import Span, Trace

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
SHUTDOWN_S = 2.0
"""How long the end of a server may wait for the collector."""

log = logging.getLogger(__name__)


class _Given(IdGenerator):
    """Hands out the identifiers that the call has carried all along."""

    trace_id = span_id = 1

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class OtlpSpans:
    """The way to a collector, or to a given exporter."""

    def __init__(
        self,
        endpoint: str,
        *,
        insecure: bool,
        headers: Sequence[tuple[str, str]] = (),
        service_name: str = SERVICE_NAME,
        outgoing: Outgoing | None = None,
        ca_file: Path | None = None,
        exporter: Any = None,
        shutdown_s: float = SHUTDOWN_S,
    ) -> None:
        """`exporter`: in the collector's place, called at once with each span; then the endpoint
        and what belongs to it do not matter.
        """
        _silence_the_library()
        resource = Resource.create({"service.name": service_name})
        self._given = _Given()
        self._provider = TracerProvider(
            resource=resource, shutdown_on_exit=False, id_generator=self._given
        )
        self._shutdown_s = shutdown_s
        self._collector: Collector | None = None
        if exporter is None:
            self._collector = Collector(
                endpoint,
                insecure=insecure,
                headers=headers,
                outgoing=outgoing,
                ca_file=ca_file,
            )
            self._provider.add_span_processor(BatchSpanProcessor(self._collector))
        else:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("smartconnectors_server")

    def record(self, trace: Trace, root: Span) -> None:
        """Makes the spans of a finished call, outermost first."""
        for span in (root, *trace.spans):
            self._make(trace, span)

    def shutdown(self) -> None:
        """Exports what is left, in `shutdown_s` at most; what takes longer is lost, and the log
        says so.
        """
        ending = threading.Thread(
            target=self._provider.shutdown, name="the last traces", daemon=True
        )
        ending.start()
        if self._collector is not None:
            self._collector.hurry()
        ending.join(self._shutdown_s)
        if not ending.is_alive():
            return
        place = "the collector"
        if self._collector is not None:
            place = self._collector.place
            self._collector.shutdown()
        log.warning(
            "%s did not take the last traces within %g s; they are lost", place, self._shutdown_s
        )

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


def _silence_the_library() -> None:
    """Whatever OpenTelemetry logs may repeat what a collector answered or a header that it was
    given, in any version in other words. What there is to say of a failure, `Collector` says.
    """
    library = logging.getLogger("opentelemetry")
    library.propagate = False
    if not library.handlers:
        library.addHandler(logging.NullHandler())  # or it would go to stderr as a last resort


def _link(traceparent: str) -> Link:
    _, trace_id, span_id, _ = traceparent.split("-")
    return Link(SpanContext(int(trace_id, 16), int(span_id, 16), True, _SAMPLED))
