"""What one answer says of many operations: made or refused if both places agree, else in doubt."""

from __future__ import annotations

from typing import Any

import pytest

from smartconnectors_server.errors import OutcomeUnknown
from smartconnectors_server.platforms.google_ads.library import Library, load
from smartconnectors_server.platforms.google_ads.partial_failures import Outcome, outcomes_of
from smartconnectors_server.platforms.google_ads.refusals import Said, meaning
from smartconnectors_server.platforms.google_ads.sandbox.failures import (
    Problem,
    partial_failure_error,
)

TOO_HIGH = "range_error.TOO_HIGH"


@pytest.fixture(scope="module")
def library() -> Library:
    return load("v26")


def answer(library: Library, made: list[bool], *problems: Problem) -> Any:
    response = library.mutate_response()
    for number, is_made in enumerate(made):
        result = response.mutate_operation_responses.add()
        if is_made:
            result.campaign_result.resource_name = f"customers/1/campaigns/{number}"
    if problems:
        error = partial_failure_error(library, problems, "id-1")
        response.partial_failure_error.CopyFrom(error)
    return response


def problem(index: int | None, code: str = TOO_HIGH, field: str = "mutate_operations") -> Problem:
    return Problem(code, "No.", ((field, index), ("campaign_operation", None)))


def told(outcomes: Any) -> list[str]:
    return [_told(outcome) for outcome in outcomes]


def _told(outcome: Outcome) -> str:
    match outcome:
        case None:
            return "made"
        case Said():
            return f"refused: {', '.join(outcome.codes)}"
        case _:
            assert type(outcome) is OutcomeUnknown
            return "in doubt"


@pytest.mark.parametrize("field", ["mutate_operations", "operations"])
def test_each_operation_has_its_own_errors(library: Library, field: str) -> None:
    response = answer(
        library,
        [True, False, True, False],
        problem(3, field=field),
        problem(1, "bidding_error.BID_TOO_SMALL", field),
        problem(3, "range_error.TOO_LOW", field),
    )
    assert told(outcomes_of(response, 4, library, "id-1")) == [
        "made",
        "refused: bidding_error.BID_TOO_SMALL",
        "made",
        f"refused: {TOO_HIGH}, range_error.TOO_LOW",
    ]


def test_without_failures_everything_was_made(library: Library) -> None:
    assert outcomes_of(answer(library, [True, True]), 2, library, "") == [None, None]


def test_an_answer_for_too_few_operations_leaves_all_in_doubt(library: Library) -> None:
    outcomes = outcomes_of(answer(library, [True]), 2, library, "")
    assert told(outcomes) == ["in doubt", "in doubt"]


def test_an_empty_answer_without_an_error_is_in_doubt(library: Library) -> None:
    outcomes = outcomes_of(answer(library, [True, False]), 2, library, "")
    assert told(outcomes) == ["made", "in doubt"]


def test_an_empty_name_is_an_empty_answer(library: Library) -> None:
    response = answer(library, [False])
    response.mutate_operation_responses[0].campaign_result.SetInParent()
    assert told(outcomes_of(response, 1, library, "")) == ["in doubt"]


def test_an_error_of_an_operation_that_was_made_puts_it_in_doubt(library: Library) -> None:
    outcomes = outcomes_of(answer(library, [True, True], problem(0)), 2, library, "")
    assert told(outcomes) == ["in doubt", "made"]


@pytest.mark.parametrize("index", [None, 2])
def test_an_error_of_no_operation_leaves_nothing_that_was_surely_made(
    library: Library, index: int | None
) -> None:
    response = answer(library, [True, False], problem(1), problem(index))
    assert told(outcomes_of(response, 2, library, "")) == ["in doubt", f"refused: {TOO_HIGH}"]


def test_a_failure_that_cannot_be_read_leaves_nothing_that_was_surely_made(
    library: Library,
) -> None:
    response = answer(library, [True, False], problem(1))
    response.partial_failure_error.details[0].value = b"\xff\xff\xff"
    assert told(outcomes_of(response, 2, library, "")) == ["in doubt", "in doubt"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (TOO_HIGH, "PLATFORM_REJECTED"),
        ("mutate_error.RESOURCE_NOT_FOUND", "UNKNOWN_TARGET"),
        ("quota_error.RESOURCE_TEMPORARILY_EXHAUSTED", "RATE_LIMITED"),
        ("internal_error.INTERNAL_ERROR", "OUTCOME_UNKNOWN"),
    ],
)
def test_a_failed_operation_means_what_a_failed_request_would(
    library: Library, code: str, reason: str
) -> None:
    (outcome,) = outcomes_of(answer(library, [False], problem(0, code)), 1, library, "id-1")
    assert isinstance(outcome, Said)
    error, signal = meaning(outcome, changes=True)
    assert error.reason == reason
    assert error.metadata["platform_request_id"] == "id-1"
    assert (signal is not None) == (reason == "RATE_LIMITED")
