"""Money: the keeper of budgets and what it needs. Nothing here knows of gRPC or of a platform."""

from __future__ import annotations

from smartconnectors_server.budget.campaigns import (
    CampaignOutcome,
    CampaignStanding,
    StopsCampaigns,
)
from smartconnectors_server.budget.candidates import (
    ADMITTED,
    LIMIT_VETOED,
    WOULD_VETO,
    Candidate,
    Candidates,
)
from smartconnectors_server.budget.course import Course, Courses
from smartconnectors_server.budget.daily import DayLimit, day_limits, tightest
from smartconnectors_server.budget.dispatches import InFlight
from smartconnectors_server.budget.keeper import Keeper
from smartconnectors_server.budget.pricing import FallbackPrice, Sample, fallback_price
from smartconnectors_server.budget.reconciler import Reconciler
from smartconnectors_server.budget.refusal import duration_text
from smartconnectors_server.budget.resolution import (
    Finding,
    Verb,
    outcome_of,
    resolution_of,
    resolution_of_doubt,
)
from smartconnectors_server.budget.shadow import shadow_budgets
from smartconnectors_server.budget.spend import (
    PauseCampaigns,
    SpendReport,
    SpendReports,
    SpendRow,
    SpendRules,
)
from smartconnectors_server.budget.tallies import Tallies
from smartconnectors_server.budget.watch import Watch

__all__ = [
    "ADMITTED",
    "LIMIT_VETOED",
    "WOULD_VETO",
    "CampaignOutcome",
    "CampaignStanding",
    "Candidate",
    "Candidates",
    "Course",
    "Courses",
    "DayLimit",
    "FallbackPrice",
    "Finding",
    "InFlight",
    "Keeper",
    "PauseCampaigns",
    "Reconciler",
    "Sample",
    "SpendReport",
    "SpendReports",
    "SpendRow",
    "SpendRules",
    "StopsCampaigns",
    "Tallies",
    "Verb",
    "Watch",
    "day_limits",
    "duration_text",
    "fallback_price",
    "outcome_of",
    "resolution_of",
    "resolution_of_doubt",
    "shadow_budgets",
    "tightest",
]
