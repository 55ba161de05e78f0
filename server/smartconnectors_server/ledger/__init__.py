"""Where money is remembered. `LEDGERS` names every kind; a new one is one file and one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from smartconnectors_server.ledger._base import (
    Ledger,
)
from smartconnectors_server.ledger.alert_lines import (
    Alert,
    AlertKind,
    Condition,
    Severity,
    Subject,
    id_of,
    sequence_of,
)
from smartconnectors_server.ledger.alert_log import FROM_THE_END, AlertLog
from smartconnectors_server.ledger.alerts import ALERT, AlertLevel, alert_level
from smartconnectors_server.ledger.bindings import NO_ADOPTION, Adoption, Binding, mode_of_place
from smartconnectors_server.ledger.campaigns import (
    BY_NAME,
    BY_NAME_OF_OPERATOR,
    LEFT_PAUSED,
    NOT_SEEN_RUNNING,
    PAUSE_CAMPAIGN,
    RESUME_CAMPAIGN,
    WAS_PAUSED,
    WAS_RUNNING,
    Stop,
)
from smartconnectors_server.ledger.records import (
    ALL,
    EVERY_CAMPAIGN,
    OPEN_STATES,
    Budget,
    BudgetState,
    CalendarWindow,
    Entry,
    Erased,
    Hold,
    HoldState,
    Limit,
    LimitState,
    Page,
    Pause,
    ReportedPeriod,
    Reservation,
    SlidingWindow,
    Tally,
    Window,
    campaign_scope,
    platform_and_campaign,
)
from smartconnectors_server.ledger.refusals import (
    BoundElsewhere,
    Damaged,
    DuplicateRequest,
    HoldNotOpen,
    LedgerError,
    Paused,
    Refused,
    StateDirectoryLocked,
    TakenOver,
    TargetBlocked,
    Unavailable,
    WrongVersion,
)
from smartconnectors_server.ledger.reported import (
    ACCOUNT,
    Reported,
    ReportedDay,
    bounds_ns,
    local_day,
)
from smartconnectors_server.ledger.shadow import is_shadow, real_of, shadow_of
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.ledger.totals import TOTAL
from smartconnectors_server.ledger.writes import BY_OPERATOR, BY_RECONCILER

LEDGERS: Mapping[str, Callable[..., Ledger]] = {"sqlite": SqliteLedger}
"""Kind -> maker, called with (directory, clock, gather_ms=, commit_timeout_s=, on_commit=,
mark_file=)."""

__all__ = [
    "ACCOUNT",
    "ALERT",
    "ALL",
    "BY_NAME",
    "BY_NAME_OF_OPERATOR",
    "BY_OPERATOR",
    "BY_RECONCILER",
    "EVERY_CAMPAIGN",
    "FROM_THE_END",
    "LEDGERS",
    "LEFT_PAUSED",
    "NOT_SEEN_RUNNING",
    "NO_ADOPTION",
    "OPEN_STATES",
    "PAUSE_CAMPAIGN",
    "RESUME_CAMPAIGN",
    "TOTAL",
    "WAS_PAUSED",
    "WAS_RUNNING",
    "Adoption",
    "Alert",
    "AlertKind",
    "AlertLevel",
    "AlertLog",
    "Binding",
    "BoundElsewhere",
    "Budget",
    "BudgetState",
    "CalendarWindow",
    "Condition",
    "Damaged",
    "DuplicateRequest",
    "Entry",
    "Erased",
    "Hold",
    "HoldNotOpen",
    "HoldState",
    "Ledger",
    "LedgerError",
    "Limit",
    "LimitState",
    "Page",
    "Pause",
    "Paused",
    "Refused",
    "Reported",
    "ReportedDay",
    "ReportedPeriod",
    "Reservation",
    "Severity",
    "SlidingWindow",
    "StateDirectoryLocked",
    "Stop",
    "Subject",
    "TakenOver",
    "Tally",
    "TargetBlocked",
    "Unavailable",
    "Window",
    "WrongVersion",
    "alert_level",
    "bounds_ns",
    "campaign_scope",
    "id_of",
    "is_shadow",
    "local_day",
    "mode_of_place",
    "platform_and_campaign",
    "real_of",
    "sequence_of",
    "shadow_of",
]
