"""Logs and spans: made once, by the composition root."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog

from smartconnectors_server.telemetry import names
from smartconnectors_server.telemetry.metrics import Metrics
from smartconnectors_server.telemetry.recent import Recent
from smartconnectors_server.telemetry.tracing import Span, SpanExporting, Trace, Tracer, current

_UNSAFE = re.compile(r"""[^!-~]|[="']|^$""")


class Telemetry:
    """Where interceptors leave what they saw.

    Sampling is decided before the SDK is touched, because an SDK span costs more than the rest of a
    call.
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
        """`spans` None: none are made; callers' trace context is still logged and passed on."""
        self._spans = spans
        self.metrics = metrics or Metrics()
        self.recent = Recent()
        self.tracer = Tracer(0.0 if spans is None else sample_ratio, sampler)
        self._log = logger or structlog.get_logger("smartconnectors")

    def finish(
        self,
        trace: Trace,
        name: str,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, str | int | bool],
        error: str = "",
    ) -> None:
        """Records a call that has ended, when it is sampled. Wall-clock nanoseconds."""
        if self._spans is not None and trace.sampled:
            root = Span(
                name,
                trace.span_id,
                trace.parent_id,
                "server",
                start_ns,
                end_ns,
                error,
                attributes,
                trace.link,
            )
            self._spans.record(trace, root)

    def event(self, name: str, **values: Any) -> None:
        """One structured log line. Where it cannot be written, nobody can be told, and no call may
        fail of it.
        """
        with contextlib.suppress(OSError, ValueError):
            self._log.info(name, **values)

    def warning(self, name: str, **values: Any) -> None:
        """As `event`, for what somebody should look at."""
        with contextlib.suppress(OSError, ValueError):
            self._log.warning(name, **values)

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


def with_trace(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Adds to a line the trace of the call that it was written for."""
    trace = current.get()
    if trace is not None:
        event.setdefault(names.LOG_TRACE_ID, trace.trace_id)
        event.setdefault(names.LOG_SPAN_ID, trace.span_id)
    return event


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
        with_trace,
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
