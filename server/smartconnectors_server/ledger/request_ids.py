"""The request ids in the file, and the holds that bind them."""

from __future__ import annotations

import sqlite3

from smartconnectors_server.ledger.records import Hold, HoldState, RequestKey
from smartconnectors_server.ledger.rows import storable_text

READ_AT_ONCE = 1_000


class RequestIds:
    """Looks them up."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader

    def find(self, platform: str, request_id: str, actor: str = "") -> Hold | None:
        """The newest hold that binds the caller's request id."""
        row = self._reader.execute(
            "SELECT record FROM holds"
            " WHERE platform = ? AND request_id = ? AND actor = ? AND state <> ?"
            " ORDER BY hold_id DESC LIMIT 1",
            (platform, request_id, storable_text(actor), HoldState.RELEASED.value),
        ).fetchone()
        return None if row is None else Hold.from_json(row[0])

    def are_on_record(self, platform: str, request_id: str) -> bool:
        """Whether a line is about it, of any caller: lines are kept when holds are forgotten."""
        found = self._reader.execute(
            "SELECT 1 FROM entries WHERE request_id = ? AND platform = ? AND hold_id != '' LIMIT 1",
            (request_id, platform),
        )
        return found.fetchone() is not None

    def after(self, hold_id: str) -> list[tuple[str, RequestKey]]:
        """Holds after this one in the order of their ids, each with its request id, bound or not;
        some at a time.
        """
        rows = self._reader.execute(
            "SELECT hold_id, platform, actor, request_id FROM holds WHERE hold_id > ?"
            " ORDER BY hold_id LIMIT ?",
            (hold_id, READ_AT_ONCE),
        )
        return [(found, (platform, actor, name)) for found, platform, actor, name in rows]
