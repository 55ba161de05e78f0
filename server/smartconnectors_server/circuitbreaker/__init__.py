"""The circuit breaker: stops asking a platform that is failing or slow, and finds out when to ask
again.

    CLOSED ──(failure_threshold bad calls in a row)──▶ OPEN ──(open_s passed)──▶ HALF_OPEN
       ▲                                                ▲                          │   │
       │                                                └──(one bad probe)─────────┘   │
       └──────────────────(close_after_successes good probes)──────────────────────────┘

A call is bad when it fails or takes longer than slow_call_ms. What a failure is, the caller of
`Permit.fail` decides; our own refusals, bad input and cancellations end in `Permit.release`.
"""

from smartconnectors_server.circuitbreaker.breaker import (
    BreakerSettings,
    CircuitBreaker,
    CircuitOpen,
    Permit,
    State,
)

__all__ = ["BreakerSettings", "CircuitBreaker", "CircuitOpen", "Permit", "State"]
