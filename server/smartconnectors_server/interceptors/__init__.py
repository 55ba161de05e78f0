"""The chain that every guarded call goes through, in order, outermost first."""

from __future__ import annotations

from smartconnectors_server.interceptors._base import Engines, Interceptor, Next, PlatformRuntime
from smartconnectors_server.interceptors.auth import Auth
from smartconnectors_server.interceptors.budget import Budget
from smartconnectors_server.interceptors.campaign_pauses import CampaignPauses
from smartconnectors_server.interceptors.campaign_stops import CampaignStops
from smartconnectors_server.interceptors.chain import ChainInterceptor, compose
from smartconnectors_server.interceptors.circuit_breaker import CircuitBreak
from smartconnectors_server.interceptors.deferred import DeferredBids
from smartconnectors_server.interceptors.door import Door
from smartconnectors_server.interceptors.fallback import Fallback
from smartconnectors_server.interceptors.gate import WireGate
from smartconnectors_server.interceptors.idempotency import Idempotency
from smartconnectors_server.interceptors.link import Link
from smartconnectors_server.interceptors.many import ManyBids
from smartconnectors_server.interceptors.plan import PlanChange, remembered_changes
from smartconnectors_server.interceptors.rate_limit import RateLimit
from smartconnectors_server.interceptors.shadow_report import CountForReport
from smartconnectors_server.interceptors.standing import PlatformState, Standing, standing_of
from smartconnectors_server.interceptors.status import Status, to_status
from smartconnectors_server.interceptors.telemetry import Observe
from smartconnectors_server.interceptors.validation import Validation

INTERCEPTORS: tuple[type[Interceptor], ...] = (
    Status,
    Observe,
    Auth,
    CountForReport,
    Validation,
    Idempotency,
    Fallback,
    PlanChange,
    Budget,
    CircuitBreak,
    RateLimit,
)
"""Why this order is in ARCHITECTURE.md; a test asserts it."""

__all__ = [
    "INTERCEPTORS",
    "Auth",
    "CampaignPauses",
    "CampaignStops",
    "ChainInterceptor",
    "DeferredBids",
    "Door",
    "Engines",
    "Idempotency",
    "Interceptor",
    "Link",
    "ManyBids",
    "Next",
    "PlatformRuntime",
    "PlatformState",
    "Standing",
    "WireGate",
    "compose",
    "remembered_changes",
    "standing_of",
    "to_status",
]
