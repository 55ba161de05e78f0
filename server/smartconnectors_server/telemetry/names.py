"""Every name that telemetry uses, in one place: spans, attributes, log events, metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SPAN_BID = "smartconnectors.bid"
SPAN_RESERVE = "smartconnectors.reserve"
SPAN_SETTLE = "smartconnectors.settle"
SPAN_CHANGE = "smartconnectors.platform.change"
SPAN_READ = "smartconnectors.platform.read"

SERVICE_NAME = "smart-connectors"
"""What traces call a server that was given no name of its own."""

LOG_TRACE_ID = "trace_id"
LOG_SPAN_ID = "span_id"

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
ATTR_CUSTOMER = "smartconnectors.customer"
"""The keyed hash of the customer's id; never the id."""
ATTR_CIRCUIT = "smartconnectors.circuit_state"
ATTR_REPLAYED = "smartconnectors.replayed"
ATTR_PLATFORM_LATENCY_MS = "smartconnectors.platform_latency_ms"
ATTR_ACTOR = "smartconnectors.actor"
"""Who asked, with access control."""
ATTR_REMAINING_MICROS = "smartconnectors.budget.remaining_micros"

EVENT_BID = "bid"
EVENT_CIRCUIT = "circuit_breaker"
EVENT_ALERT = "alert"
EVENT_ACCESS_REFUSED = "access_refused"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric as it is exported.

    Attributes:
        name: without the `_total` that a counter is exported with.
        kind: as Prometheus has it.
        labels: each with few values: platforms, budgets that are configured, names of the contract.
        meaning: what it counts or measures, with the unit.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str

    @property
    def exported_as(self) -> str:
        """The name that a query uses: of a histogram, that of its counts."""
        suffix = {"counter": "_total", "gauge": "", "histogram": "_count"}[self.kind]
        return self.name + suffix


# Counted as it happens.

BIDS = Metric(
    "smartconnectors_bids",
    "counter",
    ("platform", "source", "status", "reason"),
    "Bids that were answered. `status` is the contract's (`placed`, `deferred`, ...) or `refused`; "
    "`reason` is empty unless it was refused. `source`: `ai` or `fallback`, empty when it was "
    "refused before it was priced. A deferred bid counts again when it is placed.",
)
CHANGES = Metric(
    "smartconnectors_changes",
    "counter",
    ("platform", "method", "status", "reason"),
    "Changes of campaigns that were answered: daily budgets, audiences, pausing and resuming.",
)
COMMITTED = Metric(
    "smartconnectors_committed_micros",
    "counter",
    ("platform", "source", "currency"),
    "What placed bids committed, in micros of the currency.",
)
BID_SECONDS = Metric(
    "smartconnectors_bid_duration_seconds",
    "histogram",
    ("platform",),
    "From a bid's arrival to its answer, whatever that was.",
)
PLATFORM_SECONDS = Metric(
    "smartconnectors_platform_call_duration_seconds",
    "histogram",
    ("platform", "call"),
    "Calls of the platform, as the circuit breaker times them. `call`: `change`, `read`, or "
    "`report`, which it does not time.",
)
CIRCUIT_TRANSITIONS = Metric(
    "smartconnectors_circuit_transitions",
    "counter",
    ("platform", "before", "after"),
    "Changes of the circuit breaker's state.",
)
COMMIT_SECONDS = Metric(
    "smartconnectors_ledger_commit_duration_seconds",
    "histogram",
    (),
    "Commits of the ledger, disk sync included; one commit carries many changes.",
)
COMMIT_STEPS = Metric(
    "smartconnectors_ledger_commit_steps",
    "histogram",
    (),
    "Changes in one commit.",
)

ALERT_DELIVERIES = Metric(
    "smartconnectors_alert_deliveries",
    "counter",
    ("sink", "outcome"),
    "Attempts to deliver an alert to the log or a webhook. `outcome`: `delivered`; `failed`, which "
    "is tried again; `given_up`, after three days of trying; `gone`, when the receiver wants no "
    "more.",
)

UNKNOWN_REQUEST_IDS = Metric(
    "smartconnectors_unknown_request_ids",
    "counter",
    ("platform",),
    "Request ids that the platform showed and the ledger does not know: it lacks lines, or another "
    "server changes the same campaign.",
)
TURNED_AWAY = Metric(
    "smartconnectors_turned_away",
    "counter",
    ("port", "reason"),
    "Calls, requests and connections that were refused or ended before anything was done for them. "
    "`port`: `grpc` or `http`. `reason`: the contract's, or of HTTP connections `idle`, "
    "`late_request` and `too_many`.",
)

# Read when somebody looks.

ALERTS_PENDING = Metric(
    "smartconnectors_alerts_pending",
    "gauge",
    ("sink",),
    "Alerts that are recorded and not yet delivered.",
)

BUDGET_LIMIT = Metric(
    "smartconnectors_budget_limit_micros",
    "gauge",
    ("budget", "currency", "window"),
    "The most that may be committed inside one window: `600s` sliding, or `day Europe/Paris`.",
)
BUDGET_COMMITTED = Metric(
    "smartconnectors_budget_committed_micros",
    "gauge",
    ("budget", "currency", "window"),
    "What platforms accepted inside the window.",
)
BUDGET_OPEN = Metric(
    "smartconnectors_budget_open_micros",
    "gauge",
    ("budget", "currency", "state"),
    "What counts beside it: `held`, `deferred` and `in_doubt`, disjoint.",
)
BUDGET_REMAINING = Metric(
    "smartconnectors_budget_remaining_micros",
    "gauge",
    ("budget", "currency"),
    "What still fits the tightest of its limits.",
)
BUDGET_UTILIZATION = Metric(
    "smartconnectors_budget_utilization_ratio",
    "gauge",
    ("budget",),
    "Committed, held, deferred and in doubt together, of the first limit. Above 1 after a limit "
    "was lowered.",
)
BUDGET_VETOES = Metric(
    "smartconnectors_budget_vetoes",
    "gauge",
    ("budget",),
    "Bids that this budget refused inside its first window.",
)
BUDGET_VETO_RATIO = Metric(
    "smartconnectors_budget_veto_ratio",
    "gauge",
    ("budget",),
    "Those bids, of them and the accepted ones together; absent while there are none.",
)
BUDGET_REPORTED = Metric(
    "smartconnectors_budget_reported_micros",
    "gauge",
    ("budget", "currency"),
    "What the platform says it billed on the present day of the ad account; absent until it has "
    "said so. It counts against nothing.",
)
BUDGET_REPORTED_AGE = Metric(
    "smartconnectors_budget_reported_age_seconds",
    "gauge",
    ("budget",),
    "How long ago the platform said so.",
)
BUDGET_PAUSED = Metric(
    "smartconnectors_budget_paused",
    "gauge",
    ("budget",),
    "1 while an operator has stopped new bids.",
)
BUDGET_ALERT_LEVEL = Metric(
    "smartconnectors_budget_alert_level",
    "gauge",
    ("budget",),
    "0: below 80 %; 1: from 80 %; 2: from 95 %; 3: nothing remains.",
)
RATE_LIMIT = Metric(
    "smartconnectors_rate_limit_calls",
    "gauge",
    ("platform",),
    "Calls that one window of the rate limit takes.",
)
RATE_LIMIT_USED = Metric(
    "smartconnectors_rate_limit_used_calls",
    "gauge",
    ("platform",),
    "Calls in the window that ends now.",
)
RATE_LIMIT_HEADROOM = Metric(
    "smartconnectors_rate_limit_headroom_calls",
    "gauge",
    ("platform",),
    "Calls that may still be made now, after what the platform says of its own quota.",
)
THROTTLED = Metric(
    "smartconnectors_throttled_seconds",
    "gauge",
    ("platform", "traffic"),
    "For how long the platform still asks this traffic to wait: `bids`, `reads`, `reports` or "
    "`login`. Throttled reports hold up no bids.",
)
CIRCUIT_STATE = Metric(
    "smartconnectors_circuit_state",
    "gauge",
    ("platform", "state"),
    "1 for the state that the circuit breaker is in: `closed`, `open`, `half_open`.",
)
HOLDS = Metric(
    "smartconnectors_holds",
    "gauge",
    ("platform", "state"),
    "Open holds: `held`, `deferred`, `in_doubt`.",
)
OLDEST_HOLD = Metric(
    "smartconnectors_oldest_hold_age_seconds",
    "gauge",
    ("platform", "state"),
    "Age of the oldest open hold; absent while there is none.",
)
CONNECTED = Metric(
    "smartconnectors_connected",
    "gauge",
    ("platform", "mode"),
    "1 once the platform can be called, in the mode that it runs in.",
)
PLATFORM_STATE = Metric(
    "smartconnectors_platform_state",
    "gauge",
    ("platform", "state"),
    "1 for the state that the platform is in, the worst of its connection, its circuit breaker and "
    "its pauses: `operational`, `half_open`, `connecting`, `paused`, `circuit_open`, "
    "`not_connected`.",
)
WATCHERS = Metric(
    "smartconnectors_watchers",
    "gauge",
    (),
    "Subscriptions to budgets.",
)
LEDGER_AVAILABLE = Metric(
    "smartconnectors_ledger_available",
    "gauge",
    (),
    "0 while the ledger cannot be written: nothing is admitted then.",
)

ACCESS_FILE_USABLE = Metric(
    "smartconnectors_access_file_usable",
    "gauge",
    ("file",),
    "0 while the tokens file or the key set cannot be used, by its settings key: what was read "
    "before stays in force, so that nothing is revoked.",
)

METRICS: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
"""All of them, in the order above."""
