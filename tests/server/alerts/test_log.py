"""What operators read of alerts in the log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, ask, budget

from smartconnectors_server.alerts import log_standing
from smartconnectors_server.alerts.log import LogSink
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.telemetry import Telemetry


class Logger:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, event: str, **values: Any) -> None:
        self.lines.append(("info", event, values))

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append(("warning", event, values))


async def test_each_is_a_structured_line_that_warns_unless_something_has_ended(
    ledger: SqliteLedger, clock: ManualClock
) -> None:
    logger = Logger()
    sink = LogSink(Telemetry(logger=logger))
    hold = await ledger.reserve(ask("a", 450 * USD))
    clock.advance(60)
    await ledger.release(hold.hold_id)
    await ledger.flush()
    for alert in await ledger.alerts.page(0, 10):
        assert sink.wants(alert)
        await sink.send(alert)
    figures = "of $500.00 committed, held, deferred or in doubt"
    common = {"platform": PLATFORM, "budget": PLATFORM}
    assert logger.lines == [
        (
            "warning",
            "alert",
            {
                "id": "alert-3",
                "kind": "budget_warning",
                "severity": "warning",
                **common,
                "text": f"budget {PLATFORM} is at WARNING: $450.00 {figures}",
            },
        ),
        (
            "info",
            "alert",
            {
                "id": "alert-5",
                "kind": "budget_eased",
                "severity": "info",
                **common,
                "text": f"budget {PLATFORM} is back at NONE: $0.00 {figures}",
            },
        ),
    ]


async def test_the_levels_that_stand_are_logged_at_a_start(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for expected in ([], [f"budget {PLATFORM} stands at WARNING"]):
        ledger = SqliteLedger(tmp_path / "own", clock)
        await ledger.open([budget(PLATFORM, 100 * USD)])
        log_standing(ledger)
        assert [r.message for r in caplog.records if r.name.endswith("alerts.log")] == expected
        if not expected:
            await ledger.reserve(ask("a", 85 * USD))
        await ledger.close()
