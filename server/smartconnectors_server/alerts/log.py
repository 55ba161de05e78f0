"""Alerts in the log."""

from __future__ import annotations

import logging

from smartconnectors_server.ledger import Alert, AlertLevel, Ledger
from smartconnectors_server.telemetry import Telemetry, names

log = logging.getLogger(__name__)


def log_standing(ledger: Ledger) -> None:
    """Logs the levels that stand, for who reads this process's log alone."""
    for budget_id in ledger.budget_ids():
        level = ledger.standing(budget_id)
        if level > AlertLevel.NONE:
            log.warning("budget %s stands at %s", budget_id, level.name)


class LogSink:
    """The log as a sink."""

    name = "log"

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def wants(self, _alert: Alert) -> bool:
        """All of them."""
        return True

    async def send(self, alert: Alert) -> None:
        """One structured line."""
        say = self._telemetry.event if alert.ends else self._telemetry.warning
        say(
            names.EVENT_ALERT,
            id=alert.id,
            kind=alert.kind.value,
            severity=alert.severity.value,
            platform=alert.platform,
            budget=", ".join(alert.budget_ids),
            text=alert.text,
        )
