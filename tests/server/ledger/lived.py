"""A state directory with a past, and lines as a ledger would have written them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from tests.conformance.ledger.audit import random_life
from tests.conformance.ledger.bench import PLATFORM, USD, all_entries, ask, budget, commit, daily

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import Entry
from smartconnectors_server.ledger.chain import GENESIS, link
from smartconnectors_server.ledger.sqlite import SqliteLedger

BUDGETS = (budget(PLATFORM, 200 * USD), budget("total", 900 * USD, daily(950 * USD)))


async def lived(directory: Path, clock: ManualClock, steps: int = 120) -> list[Entry]:
    """Two lives of a ledger, and its lines."""
    lines: list[Entry] = []
    for seed in range(2):
        ledger = SqliteLedger(directory, clock, gather_ms=0)
        await ledger.open(BUDGETS)
        await random_life(ledger, seed=seed, steps=steps, first=seed * steps)
        await commit(ledger, f"=life {seed}", 0)
        await ledger.reserve(ask(f"held {seed}", USD // 2, budget_ids=("total",)))
        lines = await all_entries(ledger)
        clock.advance(400)
        await ledger.close()
    return lines


def chained(lines: Iterable[Entry]) -> list[Entry]:
    """The lines with numbers and hashes that fit, as who rewrites a ledger would write them."""
    written: list[Entry] = []
    for number, line in enumerate(lines, 1):
        numbered = dataclasses.replace(line, sequence=number)
        previous = written[-1].hash if written else GENESIS
        written.append(dataclasses.replace(numbered, hash=link(previous, numbered)))
    return written
