"""Damages to the ledger's file that once ended a start with a traceback, by what is read there."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from tests.fuzz.ledger_files import BUDGETS, sound_files

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import Damaged, Unavailable
from smartconnectors_server.ledger.sqlite import SqliteLedger

DAMAGES = {
    "a hold that is no JSON": "UPDATE holds SET record = substr(record, 2) WHERE state = 'held'",
    "a hold that lacks a field": (
        "UPDATE holds SET record = json_remove(record, '$.target') WHERE state = 'held'"
    ),
    "a hold in a state that there is not": (
        "UPDATE holds SET record = json_set(record, '$.state', 'lost') WHERE state = 'held'"
    ),
    "a schema that is no SQL": (
        "PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET sql = CAST(x'435245ff' AS TEXT) WHERE name = 'limits'"
    ),
}


def written(directory: Path, sql: str) -> Path:
    """A directory with a sound ledger to which that was done."""
    for name, content in asyncio.run(sound_files()).items():
        (directory / name).write_bytes(content)
    damage(directory, sql)
    return directory


def damage(directory: Path, sql: str) -> None:
    """Does that to the ledger there, past the triggers that forbid it."""
    connection = sqlite3.connect(directory / "ledger.sqlite3")
    connection.executescript("DROP TRIGGER IF EXISTS entries_are_not_changed;" + sql)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("what", DAMAGES)
def test_a_start_refuses_with_a_message(tmp_path: Path, what: str) -> None:
    ledger = SqliteLedger(written(tmp_path, DAMAGES[what]), ManualClock())
    with pytest.raises((Damaged, Unavailable), match=str(tmp_path)):
        asyncio.run(ledger.open(BUDGETS))


def test_audit_lines_that_cannot_be_read_are_said_to_be_so(tmp_path: Path) -> None:
    ledger = SqliteLedger(written(tmp_path, ""), ManualClock())

    async def look() -> None:
        await ledger.open(BUDGETS)
        try:
            damage(tmp_path, "UPDATE entries SET note = CAST(x'ff' AS TEXT) WHERE sequence = 1")
            with pytest.raises(Unavailable, match="cannot be read"):
                await ledger.entries()
        finally:
            await ledger.close()

    asyncio.run(look())
