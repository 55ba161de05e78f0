"""Alerts in the SQLite file: which stand, and their lines one after the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from smartconnectors_server.ledger.alert_lines import stands_after, subject_key
from smartconnectors_server.ledger.alerts import ALERT, ALERT_END
from smartconnectors_server.ledger.records import Entry
from smartconnectors_server.ledger.rows import entry_of

SCHEMA = f"""
CREATE INDEX IF NOT EXISTS entries_alerts ON entries (sequence)
    WHERE verb IN ('{ALERT}', '{ALERT_END}');
CREATE TABLE IF NOT EXISTS standing_alerts (
    subject TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
_VERBS = f"verb IN ('{ALERT}', '{ALERT_END}')"


def write_standing(writer: sqlite3.Connection, lines: Iterable[Entry]) -> None:
    """Inside the transaction that writes the lines. Raises sqlite3.Error."""
    for line in lines:
        if line.verb not in (ALERT, ALERT_END) or not (subject := subject_key(line)):
            continue
        if stands_after(line):
            row = (subject, line.sequence)
            writer.execute("INSERT OR REPLACE INTO standing_alerts VALUES (?, ?)", row)
        else:
            writer.execute("DELETE FROM standing_alerts WHERE subject = ?", (subject,))


class AlertTables:
    """Looks at them. All raise sqlite3.Error."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader

    def standing(self) -> dict[str, int]:
        """Subject -> the line by which it stands."""
        rows = self._reader.execute("SELECT subject, sequence FROM standing_alerts")
        return {str(subject): int(sequence) for subject, sequence in rows}

    def last(self) -> int:
        """The newest line about an alert; 0: none."""
        rows = self._reader.execute(f"SELECT max(sequence) FROM entries WHERE {_VERBS}")  # noqa: S608
        return int(rows.fetchone()[0] or 0)

    def count_after(self, sequence: int) -> int:
        """How many there are after a line."""
        rows = self._reader.execute(
            f"SELECT count(*) FROM entries WHERE {_VERBS} AND sequence > ?",  # noqa: S608
            (sequence,),
        )
        return int(rows.fetchone()[0])

    def after(self, sequence: int, size: int) -> list[Entry]:
        """Those after a line, oldest first."""
        rows = self._reader.execute(
            f"SELECT * FROM entries WHERE {_VERBS} AND sequence > ?"  # noqa: S608
            " ORDER BY sequence LIMIT ?",
            (sequence, size),
        )
        return [entry_of(row) for row in rows]

    def before(self, sequence: int, size: int) -> list[Entry]:
        """Those before a line, newest first."""
        rows = self._reader.execute(
            f"SELECT * FROM entries WHERE {_VERBS} AND sequence < ?"  # noqa: S608
            " ORDER BY sequence DESC LIMIT ?",
            (sequence, size),
        )
        return [entry_of(row) for row in rows]
