"""What happened -> what the ledger does: the whole table."""

from __future__ import annotations

import asyncio

import pytest

from smartconnectors_server import errors
from smartconnectors_server.budget import (
    Finding,
    Verb,
    outcome_of,
    resolution_of,
    resolution_of_doubt,
)
from smartconnectors_server.errors import ConnectorError, Outcome

NOT_SENT, REJECTED, UNKNOWN = Outcome.NOT_SENT, Outcome.REJECTED, Outcome.UNKNOWN

OUTCOMES = {
    "InvalidBid": NOT_SENT,
    "UnknownTarget": NOT_SENT,
    "CurrencyMismatch": NOT_SENT,
    "StepTooLarge": NOT_SENT,
    "NoBid": NOT_SENT,
    "NotAReduction": NOT_SENT,
    "RequestIdReused": NOT_SENT,
    "RequestInProgress": NOT_SENT,
    "DeadlineTooShort": NOT_SENT,
    "NotFound": NOT_SENT,
    "Unauthenticated": NOT_SENT,
    "PermissionDenied": NOT_SENT,
    "BudgetExceeded": NOT_SENT,
    "BudgetPaused": NOT_SENT,
    "RateLimited": NOT_SENT,
    "Overloaded": NOT_SENT,
    "TargetInDoubt": NOT_SENT,
    "CircuitOpenNoFallback": NOT_SENT,
    "LedgerUnavailable": NOT_SENT,
    "ServerDraining": NOT_SENT,
    "PlatformRejected": REJECTED,
    "PlatformUnavailable": NOT_SENT,
    "OutcomeUnknown": UNKNOWN,
    "InternalError": NOT_SENT,
}


def error_classes() -> dict[str, type[ConnectorError]]:
    """Every class of the tree that can be raised: those with a reason."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, ConnectorError) and hasattr(value, "code")
    }


def test_the_table_has_every_error_of_the_contract() -> None:
    assert OUTCOMES.keys() == error_classes().keys()


@pytest.mark.parametrize("dispatched", [False, True])
@pytest.mark.parametrize(("name", "outcome"), OUTCOMES.items())
def test_what_an_error_means_for_money_is_said_by_its_class(
    name: str, outcome: Outcome, dispatched: bool
) -> None:
    assert outcome_of(error_classes()[name]("x"), dispatched=dispatched) is outcome


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError("x"), TimeoutError(), asyncio.CancelledError(), SystemExit()],
)
def test_an_unforeseen_error_is_unknown_as_soon_as_anything_was_sent(error: BaseException) -> None:
    assert outcome_of(error, dispatched=True) is Outcome.UNKNOWN
    assert outcome_of(error, dispatched=False) is Outcome.NOT_SENT


def test_every_outcome_has_its_verb() -> None:
    assert {outcome: resolution_of(outcome) for outcome in Outcome} == {
        Outcome.NOT_SENT: Verb.RELEASE,
        Outcome.REJECTED: Verb.REJECT,
        Outcome.ACCEPTED: Verb.SETTLE,
        Outcome.UNKNOWN: Verb.DOUBT,
    }


def test_every_finding_has_its_verb_before_and_after_the_quiet_period() -> None:
    assert {
        (finding, quiet): resolution_of_doubt(finding, quiet=quiet)
        for finding in Finding
        for quiet in (False, True)
    } == {
        (Finding.APPLIED, False): Verb.SETTLE,
        (Finding.APPLIED, True): Verb.SETTLE,
        (Finding.NOT_APPLIED, False): Verb.WAIT,
        (Finding.NOT_APPLIED, True): Verb.RELEASE,
        (Finding.INCONCLUSIVE, False): Verb.WAIT,
        (Finding.INCONCLUSIVE, True): Verb.SETTLE_ASSUMED,
    }
