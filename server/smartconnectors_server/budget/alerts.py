"""Tells operators how near budgets are to their limits. What is told, the ledger decides."""

from __future__ import annotations

import logging

from smartconnectors_server.ledger import ALERT, AlertLevel, Entry, Ledger

log = logging.getLogger(__name__)


def log_alerts(ledger: Ledger) -> None:
    """Logs each level that a budget reaches or leaves from now on."""
    ledger.listen(_log)


def log_standing(ledger: Ledger) -> None:
    """Logs the levels that stand. A process that died may have recorded one and told nobody."""
    for budget_id in ledger.budget_ids():
        level = ledger.standing(budget_id)
        if level > AlertLevel.NONE:
            log.warning("budget %s stands at %s", budget_id, level.name)


def _log(entry: Entry) -> None:
    (budget_id,) = entry.budget_ids
    if entry.platform:
        log.warning("budget %s: %s", budget_id, entry.note)
        return
    say = log.warning if entry.verb == ALERT else log.info
    reached = "is at" if entry.verb == ALERT else "is back at"
    say("budget %s %s %s", budget_id, reached, entry.note)
