"""Logs and spans: made once, by the composition root."""

from __future__ import annotations

import logging
import random
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, Protocol, TextIO

import structlog

from smartconnectors_server.telemetry.metrics import Metrics

_UNSAFE = re.compile(r"""[^!-~]|[="']|^$""")


class SpanExporting(Protocol):
    """Makes one finished span."""

    def record(
        self, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, Any], error: str
    ) -> None:
        """Records a span. Wall-clock nanoseconds; `error` empty for success."""
        ...

    def shutdown(self) -> None:
        """Exports what is left."""
        ...


class OtlpSpans:
    """Spans through the OpenTelemetry SDK to an OTLP collector, or to a given exporter."""

    def __init__(self, endpoint: str, *, insecure: bool, exporter: Any = None) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        resource = Resource.create({"service.name": "smart-connectors"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        if exporter is None:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

            otlp = OTLPSpanExporter(endpoint=endpoint, insecure=insecure)
            self._provider.add_span_processor(BatchSpanProcessor(otlp))
        else:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("smartconnectors_server")

    def record(
        self, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, Any], error: str
    ) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        span = self._tracer.start_span(
            name, start_time=start_ns, kind=SpanKind.SERVER, attributes=dict(attributes)
        )
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_time=end_ns)

    def shutdown(self) -> None:
        self._provider.shutdown()


class Telemetry:
    """Where interceptors leave what they saw.

    Sampling is decided here, before the SDK is touched, because an SDK span costs more than the
    rest of a call.
    """

    def __init__(
        self,
        *,
        spans: SpanExporting | None = None,
        metrics: Metrics | None = None,
        sample_ratio: float = 1.0,
        sampler: random.Random | None = None,
        logger: Any = None,
    ) -> None:
        self._spans = spans
        self.metrics = metrics or Metrics()
        self._sample_ratio = sample_ratio
        self._sampler = sampler or random.Random()  # noqa: S311 - chooses samples, guards nothing
        self._log = logger or structlog.get_logger("smartconnectors")

    def sampled(self) -> bool:
        """True when a span is wanted for the call that begins now."""
        return self._spans is not None and self._sampler.random() < self._sample_ratio

    def span(
        self, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, Any], error: str = ""
    ) -> None:
        """Records a finished span of a sampled call."""
        if self._spans is not None:
            self._spans.record(name, start_ns, end_ns, attributes, error)

    def event(self, name: str, **values: Any) -> None:
        """One structured log line."""
        self._log.info(name, **values)

    def shutdown(self) -> None:
        """Exports what is left."""
        if self._spans is not None:
            self._spans.shutdown()


def text_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """An event as one line of text, laid out as `structlog.dev.ConsoleRenderer` lays it out. A
    value that could be mistaken for something else is quoted and escaped.
    """
    head = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event'):<30}"
    return " ".join([head, *[f"{key}={_text(event[key])}" for key in sorted(event)]])


def _text(value: object) -> str:
    if isinstance(value, str) and not _UNSAFE.search(value):
        return value
    return repr(value)


def configure_logging(log_format: Literal["text", "json"], stream: TextIO = sys.stderr) -> None:
    """Sends every log line, ours and libraries', to `stream` in one format.

    Our own events, one for each bid, go straight there: the way through `logging` costs three times
    as much.
    """
    on_terminal = stream.isatty()
    # Never structlog's default, which shows the local variables, and so secrets and requests.
    console = structlog.dev.ConsoleRenderer(
        colors=on_terminal, exception_formatter=structlog.dev.plain_traceback
    )
    as_json = structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: Any = as_json if log_format == "json" else console if on_terminal else text_line
    structlog.configure(
        processors=[*shared, rendered],
        logger_factory=structlog.WriteLoggerFactory(stream),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    foreign: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        foreign.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[*foreign, as_json if log_format == "json" else console],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
