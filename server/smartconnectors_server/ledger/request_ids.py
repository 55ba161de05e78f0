"""The request ids in the file, and the holds that bind them."""

from __future__ import annotations

import sqlite3

from smartconnectors_server.ledger.known_ids import Key
from smartconnectors_server.ledger.records import Hold, HoldState

READ_AT_ONCE = 1_000


class RequestIds:
    """Looks them up."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader

    def find(self, platform: str, request_id: str) -> Hold | None:
        """The newest hold that binds the request id."""
        row = self._reader.execute(
            "SELECT record FROM holds WHERE platform = ? AND request_id = ? AND state <> ?"
            " ORDER BY hold_id DESC LIMIT 1",
            (platform, request_id, HoldState.RELEASED.value),
        ).fetchone()
        return None if row is None else Hold.from_json(row[0])

    def are_on_record(self, platform: str, request_id: str) -> bool:
        """Whether a line is about it: lines are kept when holds are forgotten."""
        found = self._reader.execute(
            "SELECT 1 FROM entries WHERE request_id = ? AND platform = ? AND hold_id != '' LIMIT 1",
            (request_id, platform),
        )
        return found.fetchone() is not None

    def after(self, hold_id: str) -> list[tuple[str, Key]]:
        """Holds after this one in the order of their ids, each with its request id, bound or not;
        some at a time.
        """
        rows = self._reader.execute(
            "SELECT hold_id, platform, request_id FROM holds WHERE hold_id > ?"
            " ORDER BY hold_id LIMIT ?",
            (hold_id, READ_AT_ONCE),
        )
        return [(found, (platform, request_id)) for found, platform, request_id in rows]
