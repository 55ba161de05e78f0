"""An alert is told when a budget comes nearer to its limit: once, and again after it has fallen."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget
from tests.server.budget.test_refusal import state

from smartconnectors_server.budget import AlertLevel, Alerts, Keeper, Verb, Watch, alert_level
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import BudgetState, Limit, SlidingWindow
from smartconnectors_server.ledger.sqlite import SqliteLedger

NONE, WARNING, CRITICAL, EXHAUSTED = AlertLevel


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.name == "smartconnectors_server.budget.alerts"]


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


def test_a_level_is_told_when_it_rises_and_only_then(caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts()
    for used, lines in [(10, 0), (80, 1), (85, 1), (96, 2), (90, 2), (96, 3), (100, 4), (100, 4)]:
        alerts.see(state((used, 100)))
        assert len(told(caplog)) == lines


def test_a_level_that_is_jumped_over_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts()
    assert alerts.see(state((100, 100))) is EXHAUSTED
    (line,) = told(caplog)
    assert line.startswith("budget google_ads is at EXHAUSTED: $100.00 of $100.00 committed, held")


def test_what_is_told_are_the_figures_of_the_fullest_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Alerts().see(state((10, 100), (19, 20)))
    (line,) = told(caplog)
    assert "$19.00 of $20.00" in line


def test_the_level_at_start_is_known_already(caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts()
    alerts.start_from(state((85, 100)))
    alerts.see(state((86, 100)))
    assert told(caplog) == []
    alerts.see(state((96, 100)))
    assert len(told(caplog)) == 1


async def test_an_alert_is_armed_again_when_time_alone_empties_the_window(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open([budget(PLATFORM, 100 * USD, Limit(10**15, SlidingWindow(60.0)))])
    keeper = Keeper(ledger, Watch(ledger, clock), Alerts())
    for name in "ab":
        hold = await keeper.reserve(ask(name, 90 * USD))
        await keeper.resolve(hold, Verb.SETTLE)
        clock.advance(601)
    assert len(told(caplog)) == 2
    await ledger.close()
