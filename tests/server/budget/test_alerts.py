"""The level of a budget."""

from __future__ import annotations

import pytest
from tests.server.budget.test_refusal import state

from smartconnectors_server.ledger import AlertLevel, BudgetState, alert_level

NONE, WARNING, CRITICAL, EXHAUSTED = AlertLevel


@pytest.mark.parametrize(
    ("of", "level"),
    [
        (state((0, 100)), NONE),
        (state((79, 100)), NONE),
        (state((80, 100)), WARNING),
        (state((94, 100)), WARNING),
        (state((95, 100)), CRITICAL),
        (state((99, 100)), CRITICAL),
        (state((100, 100)), EXHAUSTED),
        (state((130, 100)), EXHAUSTED),
        (state((40, 100), held=20, deferred=10, in_doubt=10), WARNING),
        (state((0, 100), in_doubt=100), EXHAUSTED),
        (state((10, 100), (19, 20)), CRITICAL),
        (state((0, 0)), EXHAUSTED),
    ],
)
def test_the_level_is_that_of_the_fullest_limit(of: BudgetState, level: AlertLevel) -> None:
    assert alert_level(of) is level
