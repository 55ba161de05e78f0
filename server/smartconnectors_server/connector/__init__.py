"""The kit that platforms are built on."""

from __future__ import annotations

from smartconnectors_server.budget import Finding
from smartconnectors_server.connector._base import (
    Connector,
    Context,
    Defaults,
    Gate,
    Mode,
    OneByOne,
    Options,
    Placed,
    Platform,
    QuotaSignal,
    Sent,
)

__all__ = [
    "Connector",
    "Context",
    "Defaults",
    "Finding",
    "Gate",
    "Mode",
    "OneByOne",
    "Options",
    "Placed",
    "Platform",
    "QuotaSignal",
    "Sent",
]
