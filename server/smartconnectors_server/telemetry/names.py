"""Every name that telemetry uses, in one place: spans, attributes, log events."""

from __future__ import annotations

SPAN_BID = "smartconnectors.bid"

ATTR_SOURCE = "source"
"""`ai` or `fallback`."""
ATTR_PLATFORM = "smartconnectors.platform"
ATTR_METHOD = "rpc.method"
ATTR_REQUEST_ID = "smartconnectors.request_id"
ATTR_CAMPAIGN_ID = "smartconnectors.campaign_id"
ATTR_OUTCOME = "smartconnectors.outcome"
"""The bid's status, or the reason of its refusal."""
ATTR_BID_MICROS = "smartconnectors.bid_micros"
ATTR_CURRENCY = "smartconnectors.currency_code"
ATTR_CIRCUIT = "smartconnectors.circuit_state"
ATTR_REPLAYED = "smartconnectors.replayed"
ATTR_PLATFORM_LATENCY_MS = "smartconnectors.platform_latency_ms"
ATTR_REMAINING_MICROS = "smartconnectors.budget.remaining_micros"

EVENT_BID = "bid"
EVENT_CIRCUIT = "circuit_breaker"
