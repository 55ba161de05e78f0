"""One look at a state directory, as of one instant, whether a server runs on it or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from smartconnectors_server.ledger.audit import Audit, Broken
from smartconnectors_server.ledger.mark import marked
from smartconnectors_server.ledger.records import OPEN_STATES, Entry
from smartconnectors_server.ledger.refusals import Unavailable, WrongVersion
from smartconnectors_server.ledger.rows import entry_of
from smartconnectors_server.ledger.schema import VERSION
from smartconnectors_server.ledger.store import FILE_NAME

_OPEN = frozenset(state.value for state in OPEN_STATES)


class Snapshot:
    """What the directory held when it was opened; nothing in it is changed."""

    def __init__(self, directory: Path) -> None:
        """Raises Unavailable or WrongVersion, with what to do."""
        self._directory = directory
        path = directory / FILE_NAME
        if not path.is_file():
            raise Unavailable(f"there is no ledger in {directory}")
        try:
            self._file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            self._file.isolation_level = None
            (version,) = self._file.execute("PRAGMA user_version").fetchone()
            self._file.execute("BEGIN")
            self._file.execute("SELECT 1 FROM entries LIMIT 1")
        except sqlite3.Error as error:
            raise Unavailable(f"{path}: {error}") from None
        if version != VERSION:
            raise WrongVersion(f"{path} is in format {version}; this program reads {VERSION}")

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def entries(self) -> Iterator[Entry]:
        """Every audit line, oldest first. Raises Broken when the file cannot be read further."""
        last = 0
        try:
            for row in self._file.execute("SELECT * FROM entries ORDER BY sequence"):
                entry = entry_of(row)
                last = entry.sequence
                yield entry
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise Broken(last + 1, f"cannot be read: {error}") from None

    def verify(self, pass_on: Callable[[Iterable[Entry]], Iterable[Entry]] = iter) -> Audit:
        """Derives everything anew from the lines and compares it with what else is in the file and
        in the mark beside it. `pass_on` sees each line go by. Raises Broken or Damaged.
        """
        number, marked_hash = marked(self._directory)
        audit = Audit()
        for entry in pass_on(self.entries()):
            audit.take(entry)
            if entry.sequence == number and marked_hash not in {"", entry.hash}:
                raise Broken(number, "is not the line that was committed under this number")
        if audit.lines < number:
            raise Broken(audit.lines + 1, f"is missing; {number} lines were committed")
        try:
            self._compare_holds(audit)
            self._compare_limits(audit)
            self._compare_alerts(audit)
        except (sqlite3.Error, ValueError) as error:
            raise Broken(0, f"the file cannot be read: {error}") from None
        return audit

    def _compare_holds(self, audit: Audit) -> None:
        derived = dict(audit.holds)
        for hold_id, state, actor, amount in self._file.execute(
            "SELECT hold_id, state, actor, record ->> 'amount_micros' FROM holds"
        ):
            standing = derived.pop(hold_id, None)
            by_lines = "settled" if standing is None else standing.state
            by_file = state if state in _OPEN or state == "settled" else "given back"
            if by_lines != by_file:
                raise Broken(0, f"{hold_id} is {by_file} in the file and {by_lines} by its lines")
            if standing is not None and standing.amount_micros != amount:
                raise Broken(
                    0,
                    f"{hold_id} is of {amount} micros in the file and of {standing.amount_micros} "
                    "by its lines",
                )
            if standing is not None and standing.actor != actor:
                raise Broken(
                    0,
                    f"{hold_id} belongs to {actor!r} in the file and to {standing.actor!r} by its "
                    "lines",
                )
        missing = [hold_id for hold_id, hold in derived.items() if hold.state in _OPEN]
        if missing:
            raise Broken(0, f"{missing[0]} is open by its lines and not in the file")

    def _compare_limits(self, audit: Audit) -> None:
        rows = self._file.execute("SELECT budget_id FROM limits WHERE paused")
        for scope in {scope for (scope,) in rows} ^ audit.paused:
            known = "lines" if scope in audit.paused else "file"
            raise Broken(0, f"{scope} is paused by the {known} alone")
        budgets = {balance.budget_id: balance for balance in audit.balances()}
        for budget_id, limit_micros in self._file.execute(
            "SELECT budget_id, limit_micros FROM limits WHERE limit_micros IS NOT NULL"
        ):
            balance = budgets.get(budget_id)
            if balance is not None and balance.limits[0].limit_micros != limit_micros:
                raise Broken(
                    0,
                    f"the limit of {budget_id} is {limit_micros} micros in the file and "
                    f"{balance.limits[0].limit_micros} by its lines",
                )

    def _compare_alerts(self, audit: Audit) -> None:
        in_file = dict(self._file.execute("SELECT subject, sequence FROM standing_alerts"))
        for subject in sorted(in_file.keys() | audit.alerts.keys()):
            by_file, by_lines = (told.get(subject) for told in (in_file, audit.alerts))
            if by_file == by_lines:
                continue
            of_file, of_lines = (f"line {n}" if n else "none" for n in (by_file, by_lines))
            raise Broken(
                0,
                f"the alert of {subject.strip()} stands by {of_file} in the file and by {of_lines} "
                "by its lines",
            )
