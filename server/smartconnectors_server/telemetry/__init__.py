"""Spans, logs and metrics."""

from __future__ import annotations

from smartconnectors_server.telemetry import names
from smartconnectors_server.telemetry.lasting import Lasting
from smartconnectors_server.telemetry.metrics import Metrics
from smartconnectors_server.telemetry.setup import Telemetry, configure_logging
from smartconnectors_server.telemetry.tracing import SpanExporting, Trace, current, outgoing

__all__ = [
    "Lasting",
    "Metrics",
    "SpanExporting",
    "Telemetry",
    "Trace",
    "configure_logging",
    "current",
    "names",
    "outgoing",
]
