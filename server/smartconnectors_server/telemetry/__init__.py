"""Spans, logs and metrics."""

from __future__ import annotations

from smartconnectors_server.telemetry import names
from smartconnectors_server.telemetry.metrics import Metrics
from smartconnectors_server.telemetry.setup import (
    OtlpSpans,
    SpanExporting,
    Telemetry,
    configure_logging,
)

__all__ = ["Metrics", "OtlpSpans", "SpanExporting", "Telemetry", "configure_logging", "names"]
