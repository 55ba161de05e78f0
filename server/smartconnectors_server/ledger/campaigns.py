"""Which campaigns were paused at their platform to stop all spending, by the audit lines. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from smartconnectors_server.ledger.bindings import ADOPT
from smartconnectors_server.ledger.records import Entry

PAUSE_CAMPAIGN = "pause_campaign"
RESUME_CAMPAIGN = "resume_campaign"
"""The verbs of lines about a campaign at its platform."""
WAS_RUNNING = "was running: "
"""How the note of a PAUSE_CAMPAIGN line begins when nobody else had paused it."""
NOT_SEEN_RUNNING = "not seen running: "
"""How it begins when it could not be read whether the campaign was running."""
WAS_PAUSED = "was paused: "
"""How it begins when the campaign was paused already: ResumeCampaigns has nothing to do there."""
BY_NAME = "asked for by its name"
"""The note when a caller paused or resumed this one campaign."""
BY_NAME_OF_OPERATOR = "asked for by its name by an operator"
"""The same when the caller has the role `operate`."""
LEFT_PAUSED = "not resumed, left to callers: "
"""How the note of a RESUME_CAMPAIGN line begins when the campaign stays paused, and callers may
resume it."""


class Stop(enum.Enum):
    """How an operator, or the server for one, stopped a campaign."""

    WITH_OTHERS = "with_others"
    """By PauseCampaigns; ResumeCampaigns ends it."""
    BY_NAME = "by_name"
    """By PauseCampaign; only ResumeCampaign ends it."""


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
        if line.verb == PAUSE_CAMPAIGN and line.note.startswith(WAS_PAUSED):
            continue
        (scope,) = line.budget_ids
        paused.pop(scope, None)
        if line.verb == PAUSE_CAMPAIGN:
            paused[scope] = line.note.startswith(WAS_RUNNING)
    return paused


def stopped_campaigns(lines: Iterable[Entry]) -> dict[str, Stop]:
    """Campaign scope -> how it was stopped, of those that only an operator may resume. `lines`: as
    of `paused_campaigns`. A caller that pauses such a campaign as well changes nothing about that.
    """
    stopped: dict[str, Stop] = {}
    for line in lines:
        if line.verb == ADOPT:
            of_others = f"{line.platform}/"
            stopped = {s: how for s, how in stopped.items() if not s.startswith(of_others)}
            continue
        (scope,) = line.budget_ids
        if line.verb != PAUSE_CAMPAIGN:
            stopped.pop(scope, None)
        elif line.note != BY_NAME:
            stopped[scope] = Stop.BY_NAME if line.note == BY_NAME_OF_OPERATOR else Stop.WITH_OTHERS
    return stopped
