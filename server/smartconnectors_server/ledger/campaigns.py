"""Which campaigns were paused at their platform to stop all spending, by the audit lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from smartconnectors_server.ledger.bindings import ADOPT
from smartconnectors_server.ledger.records import Entry

PAUSE_CAMPAIGN = "pause_campaign"
RESUME_CAMPAIGN = "resume_campaign"
"""The verbs of lines about a campaign at its platform."""
WAS_RUNNING = "was running: "
"""How the note of a PAUSE_CAMPAIGN line begins when nobody else had paused it."""


def paused_campaigns(lines: Iterable[Entry]) -> dict[str, bool]:
    """Campaign scope -> whether it was seen running before, of those that were paused and not
    resumed since. `lines`: all that are about campaigns or adopt the directory, oldest first. What
    was paused before an adoption may be another account's, so nothing of it is resumed.
    """
    paused: dict[str, bool] = {}
    for line in lines:
        if line.verb == ADOPT:
            of_others = f"{line.platform}/"
            paused = {s: ours for s, ours in paused.items() if not s.startswith(of_others)}
            continue
        (scope,) = line.budget_ids
        paused.pop(scope, None)
        if line.verb == PAUSE_CAMPAIGN:
            paused[scope] = line.note.startswith(WAS_RUNNING)
    return paused
