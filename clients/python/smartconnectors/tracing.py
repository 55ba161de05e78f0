"""The trace that a call belongs to, when OpenTelemetry is installed."""

from __future__ import annotations

import importlib
from typing import Any


def _propagation() -> Any:
    """`opentelemetry.propagate`, or None."""
    try:
        return importlib.import_module("opentelemetry.propagate")
    except ImportError:
        return None


_PROPAGATE = _propagation()


def trace_headers() -> tuple[tuple[str, str], ...]:
    """The metadata that goes with a call so that the server's spans become children of the current
    one: `traceparent` and what else the propagator writes. Empty without OpenTelemetry.
    """
    if _PROPAGATE is None:
        return ()
    carrier: dict[str, str] = {}
    _PROPAGATE.inject(carrier)
    return tuple((key.lower(), value) for key, value in carrier.items())
