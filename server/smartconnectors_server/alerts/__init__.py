"""Alerts beside those of budgets, and the delivery of all of them. The ledger records each once;
nothing here is waited for by a bid.
"""

from __future__ import annotations

from smartconnectors_server.alerts.conditions import Conditions
from smartconnectors_server.alerts.deliveries import Deliveries
from smartconnectors_server.alerts.log import log_standing
from smartconnectors_server.alerts.unknown_ids import UnknownIds

__all__ = ["Conditions", "Deliveries", "UnknownIds", "log_standing"]
