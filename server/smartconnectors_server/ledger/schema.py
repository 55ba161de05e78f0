"""What the SQLite file looks like."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from smartconnectors_server.ledger.alert_tables import SCHEMA as ALERTS
from smartconnectors_server.ledger.refusals import WrongVersion
from smartconnectors_server.ledger.reported import SCHEMA as REPORTED

VERSION = 4

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    sequence INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    verb TEXT NOT NULL,
    budget_ids TEXT NOT NULL,
    hold_id TEXT NOT NULL,
    platform TEXT NOT NULL,
    request_id TEXT NOT NULL,
    amount_micros INTEGER NOT NULL,
    currency_code TEXT NOT NULL,
    note TEXT NOT NULL,
    actor TEXT NOT NULL,
    customer TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS entries_at ON entries (at_ns)
    WHERE verb IN ('settle', 'settle_late');
CREATE INDEX IF NOT EXISTS entries_about_budgets ON entries (budget_ids, verb, sequence)
    WHERE hold_id = '';
CREATE INDEX IF NOT EXISTS entries_request ON entries (request_id);
CREATE TRIGGER IF NOT EXISTS entries_are_not_changed BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the audit ledger is only ever added to'); END;
CREATE TRIGGER IF NOT EXISTS entries_are_not_deleted BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the audit ledger is only ever added to'); END;
CREATE TABLE IF NOT EXISTS holds (
    hold_id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    request_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    state TEXT NOT NULL,
    updated_ns INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS holds_request ON holds (platform, request_id, actor);
CREATE INDEX IF NOT EXISTS holds_state ON holds (state, platform, updated_ns);
CREATE INDEX IF NOT EXISTS holds_priced ON holds (platform, actor, updated_ns)
    WHERE state = 'settled' AND priced;
CREATE TABLE IF NOT EXISTS limits (
    budget_id TEXT PRIMARY KEY,
    limit_micros INTEGER,
    paused INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS campaigns (
    scope TEXT NOT NULL,
    place TEXT NOT NULL,
    PRIMARY KEY (scope, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    platform TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS calls_at ON calls (platform, at_ns);
CREATE TABLE IF NOT EXISTS tallies (
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    sum_micros INTEGER NOT NULL,
    worst_micros INTEGER NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    PRIMARY KEY (subject, outcome)
) STRICT;
CREATE TABLE IF NOT EXISTS clock (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    boot_id TEXT NOT NULL,
    base_ns INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL,
    monotonic_ns INTEGER NOT NULL
) STRICT;
{reported}
PRAGMA user_version = {version};
COMMIT;
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables of a new file. Raises WrongVersion for a file of another kind."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and version != VERSION:
        raise WrongVersion(
            f"{path} was written by another version of this program (its format is {version}, this "
            f"one reads {VERSION}). Use that version, or begin anew with another --state-dir; what "
            "was committed before does not count there."
        )
    if not tables:
        connection.executescript(_SCHEMA.format(version=VERSION, reported=REPORTED))
    connection.executescript(ALERTS)
