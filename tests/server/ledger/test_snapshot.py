"""A state directory as it lies there: what was changed in it is found."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import pytest
from tests.conformance.ledger.bench import PLATFORM, USD, all_entries, ask
from tests.server.ledger.lived import BUDGETS, chained, lived

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.ledger import HoldState
from smartconnectors_server.ledger.audit import Audit, Broken
from smartconnectors_server.ledger.snapshot import Snapshot
from smartconnectors_server.ledger.sqlite import SqliteLedger
from smartconnectors_server.ledger.store import FILE_NAME


def changed(directory: Path, *statements: str) -> None:
    """Changes the file as somebody who knows SQLite would."""
    file = sqlite3.connect(directory / FILE_NAME)
    file.execute("DROP TRIGGER entries_are_not_changed")
    file.execute("DROP TRIGGER entries_are_not_deleted")
    for statement in statements:
        assert file.execute(statement).rowcount > 0
    file.commit()
    file.close()


def verified(directory: Path) -> Audit:
    snapshot = Snapshot(directory)
    try:
        return snapshot.verify()
    finally:
        snapshot.close()


async def test_a_state_directory_is_verified_while_a_server_runs_on_it(
    tmp_path: Path, clock: ManualClock
) -> None:
    await lived(tmp_path, clock)
    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open(BUDGETS)
    hold = await ledger.settle(ledger.open_holds(HoldState.IN_DOUBT)[0].hold_id)
    await ledger.flush()
    audit = verified(tmp_path)
    assert audit.lines == (await all_entries(ledger))[-1].sequence
    assert hold.hold_id not in audit.holds
    await ledger.close()


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE entries SET amount_micros = amount_micros + 1 WHERE sequence = 7", "line 7: "),
        ("UPDATE entries SET hash = 'x' WHERE sequence = 7", "line 7: "),
        ("DELETE FROM entries WHERE sequence = 7", "line 7: is missing"),
        ("DELETE FROM entries WHERE sequence > 50", "line 51: is missing"),
        ("UPDATE entries SET budget_ids = 'x' WHERE sequence = 7", "line 7: cannot be read"),
        ("UPDATE holds SET state = 'released' WHERE state = 'in_doubt'", "is given back in the"),
        ("UPDATE holds SET state = 'held' WHERE state = 'settled'", "is held in the file and set"),
        ("DELETE FROM holds WHERE state = 'in_doubt'", "open by its lines and not in the file"),
        (
            "UPDATE holds SET record = replace(record, 'micros\":500000', 'micros\":1')",
            "is of 1 micros in the file",
        ),
        ("INSERT INTO limits VALUES ('all', NULL, 1)", "all is paused by the file alone"),
        ("INSERT INTO limits VALUES ('total', 1, 0)", "the limit of total is 1 micros in the file"),
    ],
)
async def test_a_ledger_that_was_changed_is_found_out(
    tmp_path: Path, clock: ManualClock, statement: str, why: str
) -> None:
    await lived(tmp_path, clock, steps=60)
    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open(BUDGETS)
    assert ledger.open_holds(HoldState.IN_DOUBT)
    await ledger.close()
    verified(tmp_path)
    changed(tmp_path, statement)
    with pytest.raises(Broken, match=why):
        verified(tmp_path)


async def test_a_pause_that_was_taken_out_of_the_file_is_found_out(
    tmp_path: Path, clock: ManualClock
) -> None:
    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open(BUDGETS)
    await ledger.set_paused("google_ads/campaigns/1", True, "stop")
    await ledger.close()
    verified(tmp_path)
    changed(tmp_path, "UPDATE limits SET paused = 0")
    with pytest.raises(Broken, match="google_ads/campaigns/1 is paused by the lines alone"):
        verified(tmp_path)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DELETE FROM standing_alerts", "by none in the file and by line 4 by its lines"),
        ("UPDATE standing_alerts SET sequence = 3", "by line 3 in the file and by line 4 by its"),
        ("INSERT INTO standing_alerts VALUES ('LEDGER  ', 1)", "LEDGER stands by line 1 in the"),
    ],
)
async def test_a_standing_alert_that_was_changed_is_found_out(
    tmp_path: Path, clock: ManualClock, statement: str, why: str
) -> None:
    ledger = SqliteLedger(tmp_path, clock)
    await ledger.open(BUDGETS)
    await ledger.reserve(ask("a", 190 * USD))
    await ledger.close()
    assert list(verified(tmp_path).alerts.items()) == [(f"BUDGET {PLATFORM} ", 4)]
    changed(tmp_path, statement)
    with pytest.raises(Broken, match=why):
        verified(tmp_path)


async def test_a_ledger_that_was_written_anew_as_a_whole_does_not_fit_its_mark(
    tmp_path: Path, clock: ManualClock
) -> None:
    lines = await lived(tmp_path, clock, steps=10)
    told = dataclasses.replace(lines[0], note=lines[0].note.replace("200", "201", 1))
    rewritten = chained([told, *lines[1:]])
    changed(
        tmp_path,
        f"UPDATE entries SET note = '{told.note}' WHERE sequence = 1",
        *(f"UPDATE entries SET hash = '{n.hash}' WHERE sequence = {n.sequence}" for n in rewritten),
    )
    with pytest.raises(Broken, match="not the line that was committed"):
        verified(tmp_path)
