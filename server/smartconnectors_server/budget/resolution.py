"""What happened -> what the ledger does. Pure, and the only place that decides it."""

from __future__ import annotations

import enum

from smartconnectors_server.errors import ConnectorError, Outcome


class Finding(enum.Enum):
    """What a look at the platform says of a change whose outcome is unknown."""

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    """Seen to be as it was before the change was sent."""
    INCONCLUSIVE = "inconclusive"


class Verb(enum.Enum):
    """What the ledger does with a hold."""

    SETTLE = "settle"
    SETTLE_ASSUMED = "settle_assumed"
    """At the full amount, because nothing better will ever be known."""
    RELEASE = "release"
    REJECT = "reject"
    DOUBT = "doubt"
    WAIT = "wait"
    """Nothing yet: look again later."""


_VERB_OF_OUTCOME = {
    Outcome.ACCEPTED: Verb.SETTLE,
    Outcome.NOT_SENT: Verb.RELEASE,
    Outcome.REJECTED: Verb.REJECT,
    Outcome.UNKNOWN: Verb.DOUBT,
}


def outcome_of(error: BaseException, *, dispatched: bool) -> Outcome:
    """What an error means for money: its class says so; an unforeseen one means unknown as soon as
    anything may have been sent.
    """
    if isinstance(error, ConnectorError):
        return error.outcome
    return Outcome.UNKNOWN if dispatched else Outcome.NOT_SENT


def resolution_of(outcome: Outcome) -> Verb:
    """The ledger's verb for what is known of a dispatch."""
    return _VERB_OF_OUTCOME[outcome]


def resolution_of_doubt(finding: Finding, *, quiet: bool) -> Verb:
    """The ledger's verb for a hold in doubt after a look at the platform.

    `quiet`: the quiet period has passed since the platform first answered a look with this finding,
    so the change can no longer be under way. Time alone never frees a hold: without a look there is
    no finding.
    """
    if finding is Finding.APPLIED:
        return Verb.SETTLE
    if not quiet:
        return Verb.WAIT
    return Verb.RELEASE if finding is Finding.NOT_APPLIED else Verb.SETTLE_ASSUMED
