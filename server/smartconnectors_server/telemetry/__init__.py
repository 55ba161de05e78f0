"""Spans and logs."""

from __future__ import annotations

from smartconnectors_server.telemetry import names
from smartconnectors_server.telemetry.setup import (
    OtlpSpans,
    SpanExporting,
    Telemetry,
    configure_logging,
)

__all__ = ["OtlpSpans", "SpanExporting", "Telemetry", "configure_logging", "names"]
