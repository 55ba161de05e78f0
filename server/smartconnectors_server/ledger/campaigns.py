"""Which campaigns were paused at their platform to stop all spending, by the audit lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from smartconnectors_server.ledger.records import Entry

PAUSE_CAMPAIGN = "pause_campaign"
RESUME_CAMPAIGN = "resume_campaign"
"""The verbs of lines about a campaign at its platform."""
WAS_RUNNING = "was running: "
"""How the note of a PAUSE_CAMPAIGN line begins when nobody else had paused it."""


def paused_campaigns(lines: Iterable[Entry]) -> dict[str, bool]:
    """Campaign scope -> whether it was seen running before, of those that were paused and not
    resumed since. `lines`: all that are about campaigns, oldest first.
    """
    paused: dict[str, bool] = {}
    for line in lines:
        (scope,) = line.budget_ids
        paused.pop(scope, None)
        if line.verb == PAUSE_CAMPAIGN:
            paused[scope] = line.note.startswith(WAS_RUNNING)
    return paused
