"""A receiver, and a ledger that tells alerts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import budget
from tests.server.alerts.receiver import Receiver

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger.sqlite import SqliteLedger


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """It listens."""
    one = Receiver()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def ledger(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteLedger]:
    """A ledger with one budget."""
    one = SqliteLedger(tmp_path, clock)
    await one.open([budget()])
    yield one
    await one.close()
