"""Rows of the SQLite file: how they are written, and what is read from them."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from smartconnectors_server.ledger.records import Entry, Hold

Row = tuple[str | int, ...]

_MOST_ROWS = 256

INSERT_ENTRIES = "INSERT INTO entries VALUES {rows}"

UPSERT_HOLDS = """
INSERT INTO holds (hold_id, platform, request_id, actor, state, updated_ns, priced, record)
VALUES {rows}
ON CONFLICT (hold_id) DO UPDATE SET
    state = excluded.state, updated_ns = excluded.updated_ns, record = excluded.record
"""

KEEP_READING = """
INSERT INTO clock VALUES (1, ?1, ?2, ?3, ?4)
ON CONFLICT (only) DO UPDATE SET boot_id = ?1, base_ns = ?2, wall_ns = ?3, monotonic_ns = ?4
"""

ERASE_HOLDS = """
UPDATE holds SET record = json_set(record, '$.request', '', '$.answer', '', '$.note', '',
    '$.error', CASE record ->> 'error' WHEN '' THEN '' ELSE ?2 END)
WHERE record ->> 'customer' = ?1 AND record ->> 'request' != ''
    AND state IN (?3, ?4, ?5, ?6, ?7)
"""

INSERT_CALLS = """
INSERT INTO calls SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
"""

INSERT_CAMPAIGNS = """
INSERT OR IGNORE INTO campaigns SELECT value ->> 0, value ->> 1 FROM json_each(?)
"""

UPSERT_LIMITS = """
INSERT INTO limits SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
ON CONFLICT (budget_id) DO UPDATE SET
    limit_micros = coalesce(excluded.limit_micros, limit_micros), paused = excluded.paused
"""

UPSERT_TALLIES = """
INSERT OR REPLACE INTO tallies
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
FROM json_each(?)
"""


def write_rows(writer: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> None:
    """Executes `statement` for all rows, as few times as powers of two allow: each of the few
    statements is then prepared once and kept by the connection.
    """
    at, size = 0, _MOST_ROWS
    while at < len(rows):
        while size > len(rows) - at:
            size //= 2
        chunk = rows[at : at + size]
        row = f"({', '.join('?' * len(chunk[0]))})"
        text = statement.format(rows=", ".join([row] * size))
        writer.execute(text, [value for values in chunk for value in values])
        at += size


def entry_of(row: tuple[Any, ...]) -> Entry:
    """What a whole row of `entries` says."""
    sequence, at_ns, verb, budget_ids, *rest, digest = row
    entry = Entry(at_ns, verb, tuple(json.loads(budget_ids)), *rest)
    return dataclasses.replace(entry, sequence=sequence, hash=digest)


def row_of_entry(entry: Entry) -> Row:
    """The row of an audit line, its hash included."""
    return (
        entry.sequence,
        entry.at_ns,
        entry.verb,
        json.dumps(entry.budget_ids),
        entry.hold_id,
        entry.platform,
        entry.request_id,
        entry.amount_micros,
        entry.currency_code,
        entry.note,
        entry.actor,
        entry.customer,
        entry.hash,
    )


def row_of_hold(hold: Hold) -> Row:
    """The row of a hold."""
    return (
        hold.hold_id,
        hold.platform,
        hold.request_id,
        storable_text(hold.actor),
        hold.state.value,
        hold.updated_ns,
        int(hold.priced),
        hold.to_json(),
    )


def storable_text(note: str) -> str:
    """The text without what SQLite cannot give back: a platform may put anything into a message."""
    return note.encode(errors="replace").decode().replace("\0", "?")
