"""The SQLite file: its schema, one writing connection and one reading connection.

A batch is one transaction of a few statements whatever its size, because each statement lets go of
and takes back the interpreter's lock. Nothing here decides anything.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smartconnectors_server.ledger.book import HISTORY_LENGTH
from smartconnectors_server.ledger.records import (
    Entry,
    Hold,
    HoldState,
    Step,
)
from smartconnectors_server.ledger.refusals import (
    Damaged,
)

FILE_NAME = "ledger.sqlite3"
MARK_NAME = "ledger.mark"
_MARK_DIGITS = 20

_SCHEMA = """
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
    note TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS entries_at ON entries (at_ns)
    WHERE verb IN ('settle', 'settle_late');
CREATE INDEX IF NOT EXISTS entries_request ON entries (request_id);
CREATE TABLE IF NOT EXISTS holds (
    hold_id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    request_id TEXT NOT NULL,
    state TEXT NOT NULL,
    updated_ns INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS holds_request ON holds (platform, request_id);
CREATE INDEX IF NOT EXISTS holds_state ON holds (state, platform, updated_ns);
CREATE VIEW IF NOT EXISTS priced_holds AS
    SELECT hold_id, record, updated_ns,
           row_number() OVER (PARTITION BY platform ORDER BY updated_ns DESC) AS rank
    FROM holds
    WHERE state = 'settled' AND (record ->> 'ltv_micros' > 0 OR record ->> 'ai_bid_micros' > 0);
CREATE TABLE IF NOT EXISTS limits (
    budget_id TEXT PRIMARY KEY,
    limit_micros INTEGER,
    paused INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS calls (
    platform TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS calls_at ON calls (platform, at_ns);
"""

_INSERT_ENTRIES = "INSERT OR IGNORE INTO entries VALUES {rows}"

_UPSERT_HOLDS = """
INSERT INTO holds (hold_id, platform, request_id, state, updated_ns, record) VALUES {rows}
ON CONFLICT (hold_id) DO UPDATE SET
    state = excluded.state, updated_ns = excluded.updated_ns, record = excluded.record
"""

_MOST_ROWS = 256

_INSERT_CALLS = """
INSERT INTO calls SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
"""

_UPSERT_LIMITS = """
INSERT INTO limits SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
ON CONFLICT (budget_id) DO UPDATE SET
    limit_micros = coalesce(excluded.limit_micros, limit_micros), paused = excluded.paused
"""


_Row = tuple[str | int, ...]


@dataclass(slots=True)
class Batch:
    """What one transaction writes."""

    steps: list[Step] = field(default_factory=list)
    calls: list[tuple[str, int, int]] = field(default_factory=list)
    limits: list[tuple[str, int | None, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.steps or self.calls or self.limits)


class Store:
    """The file. `write` runs on one thread of the ledger's; everything else on the loop's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mark: int | None = None
        self._writer = self._connect()
        self._reader = self._connect()
        try:
            self._writer.executescript(_SCHEMA)
            self._check_mark()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._directory / FILE_NAME, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA busy_timeout = 2000")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _check_mark(self) -> None:
        """Refuses a file that ends before what was committed to it."""
        path = self._directory / MARK_NAME
        # A power cut may leave the mark empty, which says nothing; it is not synced on its own.
        digits = path.read_bytes().strip(b"\0") if path.exists() else b""
        if digits and not digits.isdigit():
            raise Damaged(
                f"{path} should hold the number of the last committed audit line, but is "
                "unreadable. Restore it, or accept that missing lines go unnoticed by removing it."
            )
        marked = int(digits or 0)
        last = self.last_sequence()
        if last < marked:
            raise Damaged(
                f"{self._directory / FILE_NAME} ends at audit line {last}, but {marked} were "
                f"committed. Restore the file, or accept that up to {marked - last} lines of "
                f"money are forgotten by removing {path}."
            )
        self._mark = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._write_mark(last)

    def _write_mark(self, sequence: int) -> None:
        if self._mark is not None:
            os.pwrite(self._mark, f"{sequence:0{_MARK_DIGITS}d}".encode(), 0)

    # Writing

    def write(self, batch: Batch) -> None:
        """Commits the batch. Raises sqlite3.Error; nothing is written then."""
        entries = [entry for step in batch.steps for entry in step.entries]
        holds = {hold.hold_id: hold for step in batch.steps for hold in step.holds}
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        try:
            if entries:
                _write_rows(writer, _INSERT_ENTRIES, [_entry_row(entry) for entry in entries])
            if holds:
                _write_rows(writer, _UPSERT_HOLDS, [_hold_row(hold) for hold in holds.values()])
            if batch.calls:
                writer.execute(_INSERT_CALLS, (json.dumps(batch.calls),))
            if batch.limits:
                writer.execute(_UPSERT_LIMITS, (json.dumps(batch.limits),))
            writer.execute("COMMIT")
        except sqlite3.Error:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise
        if entries:
            self._write_mark(entries[-1].sequence)

    def purge(self, closed_before_ns: int, calls_before_ns: int) -> None:
        """Forgets closed holds (never the last ones with an LTV) and old calls, a few at a time.
        Audit lines are kept.
        """
        self._writer.execute(
            "DELETE FROM holds WHERE hold_id IN ("
            " SELECT hold_id FROM holds"
            "  WHERE state NOT IN ('held', 'deferred', 'in_doubt') AND updated_ns < ?1"
            "  AND hold_id NOT IN (SELECT hold_id FROM priced_holds WHERE rank <= ?2) LIMIT 1000)",
            (closed_before_ns, HISTORY_LENGTH),
        )
        self._writer.execute("DELETE FROM calls WHERE at_ns < ?", (calls_before_ns,))

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()
        self._writer.close()
        if self._mark is not None:
            os.close(self._mark)
            self._mark = None

    # Reading

    def last_sequence(self) -> int:
        """The newest audit line; 0: none."""
        row = self._reader.execute("SELECT coalesce(max(sequence), 0) FROM entries").fetchone()
        return int(row[0])

    def last_at_ns(self) -> int:
        """The latest ledger time that was written; 0: none."""
        row = self._reader.execute(
            "SELECT max(coalesce((SELECT at_ns FROM entries ORDER BY sequence DESC LIMIT 1), 0),"
            " coalesce((SELECT max(updated_ns) FROM holds), 0))"
        ).fetchone()
        return int(row[0])

    def limits(self) -> dict[str, tuple[int | None, bool]]:
        """What operators changed: budget -> (limit or None, paused)."""
        rows = self._reader.execute("SELECT budget_id, limit_micros, paused FROM limits")
        return {str(b): (m, bool(p)) for b, m, p in rows}

    def settled_since(self, budget_id: str, since_ns: int) -> list[tuple[int, int]]:
        """(at_ns, amount) of the commitments in one budget, oldest first."""
        rows = self._reader.execute(
            "SELECT at_ns, amount_micros FROM entries"
            " WHERE verb IN ('settle', 'settle_late') AND at_ns > ?"
            "   AND EXISTS (SELECT 1 FROM json_each(budget_ids) WHERE value = ?)"
            " ORDER BY at_ns, sequence",
            (since_ns, budget_id),
        )
        return [(int(at), int(amount)) for at, amount in rows]

    def open_holds(self) -> list[Hold]:
        """Open holds, oldest first."""
        rows = self._reader.execute(
            "SELECT record FROM holds WHERE state IN ('held', 'deferred', 'in_doubt')"
            " ORDER BY hold_id"
        )
        return [Hold.from_json(record) for (record,) in rows]

    def recent_settled(self) -> list[Hold]:
        """For each platform the last settled holds with an LTV or an AI bid, oldest first."""
        rows = self._reader.execute(
            "SELECT record FROM priced_holds WHERE rank <= ? ORDER BY updated_ns",
            (HISTORY_LENGTH,),
        )
        return [Hold.from_json(record) for (record,) in rows]

    def get(self, hold_id: str) -> Hold | None:
        """One hold."""
        row = self._reader.execute(
            "SELECT record FROM holds WHERE hold_id = ?", (hold_id,)
        ).fetchone()
        return None if row is None else Hold.from_json(row[0])

    def find(self, platform: str, request_id: str) -> Hold | None:
        """The newest hold that binds the request id."""
        row = self._reader.execute(
            "SELECT record FROM holds WHERE platform = ? AND request_id = ? AND state <> ?"
            " ORDER BY hold_id DESC LIMIT 1",
            (platform, request_id, HoldState.RELEASED.value),
        ).fetchone()
        return None if row is None else Hold.from_json(row[0])

    def entries(
        self, budget_id: str, request_id: str, after_sequence: int, size: int
    ) -> list[Entry]:
        """Audit lines after a sequence, oldest first."""
        rows = self._reader.execute(
            "SELECT at_ns, verb, budget_ids, hold_id, platform, request_id, amount_micros,"
            " currency_code, note, sequence FROM entries WHERE sequence > ?1"
            " AND (?2 = '' OR request_id = ?2)"
            " AND (?3 = '' OR EXISTS (SELECT 1 FROM json_each(budget_ids) WHERE value = ?3))"
            " ORDER BY sequence LIMIT ?4",
            (after_sequence, request_id, budget_id, size),
        )
        return [
            Entry(at, verb, tuple(json.loads(budgets)), *rest) for at, verb, budgets, *rest in rows
        ]

    def calls_since(self, platform: str, since_ns: int) -> list[tuple[int, int]]:
        """(at_ns, count) of the calls remembered after `since_ns`, oldest first."""
        rows = self._reader.execute(
            "SELECT at_ns, count FROM calls WHERE platform = ? AND at_ns > ? ORDER BY at_ns",
            (platform, since_ns),
        )
        return [(int(at), int(count)) for at, count in rows]


def _write_rows(writer: sqlite3.Connection, statement: str, rows: Sequence[_Row]) -> None:
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


def _entry_row(entry: Entry) -> _Row:
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
        _storable(entry.note),
    )


def _hold_row(hold: Hold) -> _Row:
    return (
        hold.hold_id,
        hold.platform,
        hold.request_id,
        hold.state.value,
        hold.updated_ns,
        hold.to_json(),
    )


def _storable(note: str) -> str:
    """The text without what SQLite cannot give back: a platform may put anything into a message."""
    return note.encode(errors="replace").decode().replace("\0", "?")
