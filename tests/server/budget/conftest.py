"""A keeper on a real ledger, with a clock that is ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import budget

from smartconnectors_server.budget import Keeper, Watch
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger.sqlite import SqliteLedger


@dataclass
class House:
    """What belongs together."""

    ledger: SqliteLedger
    keeper: Keeper
    watch: Watch
    clock: ManualClock


@pytest.fixture
async def house(tmp_path: Path, clock: ManualClock) -> AsyncIterator[House]:
    """Two platforms with 500 dollars in 10 minutes each, and a total of 900."""
    ledger = SqliteLedger(tmp_path, clock, gather_ms=1)
    await ledger.open([budget(), budget("meta"), budget("total", 900_000_000)])
    watch = Watch(ledger, clock)
    yield House(ledger, Keeper(ledger, watch), watch, clock)
    watch.close()
    await ledger.close()
