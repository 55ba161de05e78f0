"""The level of a budget, and what operators read of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget
from tests.server.budget.test_refusal import state

from smartconnectors_server.budget import log_alerts, log_standing
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import AlertLevel, BudgetState, alert_level
from smartconnectors_server.ledger.sqlite import SqliteLedger

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


async def test_operators_read_of_each_level_that_is_reached_or_left_and_of_what_stands_at_start(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "smartconnectors_server.budget.alerts")

    def told() -> list[tuple[str, str]]:
        lines = [(r.levelname, r.message) for r in caplog.records if r.name.endswith("alerts")]
        caplog.clear()
        return lines

    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open([budget(PLATFORM, 100 * USD)])
    log_standing(ledger)
    log_alerts(ledger)
    first = await ledger.reserve(ask("a", 97 * USD))
    figures = "committed, held, deferred or in doubt"
    assert told() == [("WARNING", f"budget {PLATFORM} is at CRITICAL: $97.00 of $100.00 {figures}")]
    await ledger.release(first.hold_id)
    await ledger.reserve(ask("b", 85 * USD))
    assert told() == [
        ("INFO", f"budget {PLATFORM} is back at NONE: $0.00 of $100.00 {figures}"),
        ("WARNING", f"budget {PLATFORM} is at WARNING: $85.00 of $100.00 {figures}"),
    ]
    await ledger.close()

    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open([budget(PLATFORM, 100 * USD)])
    log_standing(ledger)
    assert told() == [("WARNING", f"budget {PLATFORM} stands at WARNING")]
    await ledger.close()
