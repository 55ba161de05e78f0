"""The SQLite file: its schema, one writing connection and one reading connection.

A batch is one transaction of a few statements whatever its size, because each statement lets go of
and takes back the interpreter's lock. Nothing here decides anything.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from smartconnectors_server.clock import ClockReading
from smartconnectors_server.failpoints import Place, reached
from smartconnectors_server.ledger.alert_tables import AlertTables, write_standing
from smartconnectors_server.ledger.bindings import ADOPT, BINDING, Binding
from smartconnectors_server.ledger.campaigns import (
    PAUSE_CAMPAIGN,
    RESUME_CAMPAIGN,
    Stop,
    paused_campaigns,
    stopped_campaigns,
)
from smartconnectors_server.ledger.chain import GENESIS, link
from smartconnectors_server.ledger.erasing import REFUSED
from smartconnectors_server.ledger.mark import FILE_NAME as MARK_NAME
from smartconnectors_server.ledger.mark import Mark, check_mark, marked
from smartconnectors_server.ledger.prices import HISTORY_LENGTH, MOST_HISTORIES
from smartconnectors_server.ledger.records import (
    Entry,
    Hold,
    HoldState,
    Step,
    Tally,
    platform_and_campaign,
)
from smartconnectors_server.ledger.refusals import Damaged, TakenOver
from smartconnectors_server.ledger.reported import (
    Over,
    ReportedDay,
    ReportedTables,
    forget_days,
    forget_reports,
    write_days,
    write_overs,
)
from smartconnectors_server.ledger.request_ids import RequestIds
from smartconnectors_server.ledger.rows import (
    ERASE_HOLDS,
    INSERT_CALLS,
    INSERT_CAMPAIGNS,
    INSERT_ENTRIES,
    KEEP_READING,
    UPSERT_HOLDS,
    UPSERT_LIMITS,
    UPSERT_TALLIES,
    Row,
    entry_of,
    row_of_entry,
    row_of_hold,
    storable_text,
    write_rows,
)
from smartconnectors_server.ledger.same_files import SameFiles
from smartconnectors_server.ledger.schema import prepare
from smartconnectors_server.ledger.shadow import real_of
from smartconnectors_server.ledger.totals import COUNTS_IN
from smartconnectors_server.private import create_private, keep_private

FILE_NAME = "ledger.sqlite3"
FORGET_AT_ONCE = 1_000
_CHANGING = frozenset({"reserve", "dispatch", PAUSE_CAMPAIGN, RESUME_CAMPAIGN})
_CLOSED = tuple(state.value for state in HoldState if not state.is_open)


@dataclass(slots=True)
class Batch:
    """What one transaction writes."""

    steps: list[Step] = field(default_factory=list)
    calls: list[tuple[str, int, int]] = field(default_factory=list)
    limits: list[tuple[str, int | None, int]] = field(default_factory=list)
    reported: list[ReportedDay] = field(default_factory=list)
    overs: list[Over] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    reading: ClockReading | None = None
    """What the clocks say as it is written; None: what was written before stays."""

    def __bool__(self) -> bool:
        return bool(
            self.steps or self.calls or self.limits or self.reported or self.overs or self.tallies
        )


class Store:
    """The file. `write` and `purge` run on one thread of the ledger's; everything else on the
    loop's.
    """

    def __init__(self, directory: Path, mark_file: Path | None = None) -> None:
        """Opens the file, or makes one. `mark_file`: a mark outside of the directory.

        Raises Damaged, StateDirectoryLocked, WrongVersion, sqlite3.Error, OSError; nothing is left
        open then.
        """
        self._path = directory / FILE_NAME
        self._mark: Mark | None = None
        self._mark_outside: Mark | None = None
        self._last, self._head = 0, GENESIS
        self._campaigns: set[tuple[str, str]] = set()
        """Those that this process knows to be in the file, each with the place that it is in."""
        self._places: dict[str, tuple[str, ...]] = {}
        os.close(create_private(self._path, os.O_RDWR))
        for beside in directory.glob(f"{FILE_NAME}-*"):  # what a server that died left there
            keep_private(beside)
        self._files = SameFiles(directory, self._path)
        self._writer = self._connect()
        self._reader = self._connect()
        try:
            prepare(self._writer, self._path)
            self._check_end(*marked(directory))
            self._mark = Mark(directory)
            keep_private(self._mark.path)
            if mark_file is not None:
                self._mark_outside = Mark(directory, mark_file)
                check_mark(mark_file, self._last, self._hash_of, self._path)
            self._write_marks()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA busy_timeout = 2000")
            # What is overwritten is zeroed: an erased customer is not in the file's free space.
            connection.execute("PRAGMA secure_delete = ON")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _check_end(self, number: int, marked_hash: str) -> None:
        """Refuses a file that ends before what was committed to it, or is another than that."""
        mark_path = self._path.parent / MARK_NAME
        last = self.last_sequence()
        if last < number:
            raise Damaged(
                f"{self._path} ends at audit line {last}, but {number} were committed. Restore the "
                f"file, or accept that up to {number - last} lines of money are forgotten by "
                f"removing {mark_path}."
            )
        if marked_hash and self._hash_of(number) != marked_hash:
            raise Damaged(
                f"{self._path} is not the file whose audit line {number} was committed here. "
                "Restore that one, or accept that what it held is forgotten by removing "
                f"{mark_path}."
            )
        self._last, self._head = last, self._hash_of(last)

    def _hash_of(self, sequence: int) -> str:
        """The hash of a line, and of none; empty when there is no such line."""
        if sequence == 0:
            return GENESIS
        row = self._reader.execute("SELECT hash FROM entries WHERE sequence = ?", (sequence,))
        (found,) = row.fetchone() or ("",)
        return str(found)

    # Writing

    def write(self, batch: Batch) -> None:
        """Commits the batch. Raises sqlite3.Error and TakenOver; nothing is written then, or it is
        in a file that is no longer the ledger's.
        """
        self._files.check()
        rows, last, head = self._chained(entry for step in batch.steps for entry in step.entries)
        holds = {hold.hold_id: hold for step in batch.steps for hold in step.holds}
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        try:
            self._check_only_writer()
            if rows:
                write_rows(writer, INSERT_ENTRIES, rows)
            if holds:
                write_rows(writer, UPSERT_HOLDS, [row_of_hold(hold) for hold in holds.values()])
            if batch.calls:
                writer.execute(INSERT_CALLS, (json.dumps(batch.calls),))
            if batch.limits:
                writer.execute(UPSERT_LIMITS, (json.dumps(batch.limits),))
            write_days(writer, batch.reported)
            write_overs(writer, batch.overs)
            write_standing(writer, (line for step in batch.steps for line in step.entries))
            if new := self._new_campaigns(batch):
                writer.execute(INSERT_CAMPAIGNS, (json.dumps(sorted(new)),))
            if batch.tallies:
                rows_of_tallies = [dataclasses.astuple(tally) for tally in batch.tallies]
                writer.execute(UPSERT_TALLIES, (json.dumps(rows_of_tallies),))
            if batch.reading is not None:
                self.keep_reading(batch.reading)
            writer.execute("COMMIT")
        except (sqlite3.Error, TakenOver):
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise
        self._files.check()
        self._last, self._head = last, head
        self._campaigns |= new
        if any(step.entries for step in batch.steps):
            reached(Place.MARK)
            self._write_marks()

    def _write_marks(self) -> None:
        for mark in (self._mark, self._mark_outside):
            if mark is not None:
                mark.write(self._last, self._head)

    def _check_only_writer(self) -> None:
        """Raises TakenOver when the newest line is not the one that this process wrote last.
        Whatever else another server has written, it wrote lines, and holds have their numbers.
        """
        newest = "SELECT sequence, hash FROM entries ORDER BY sequence DESC LIMIT 1"
        found = self._writer.execute(newest).fetchone() or (0, GENESIS)
        if found != (self._last, self._head):
            raise TakenOver(
                f"{self._path} ends at audit line {found[0]}, which this server did not write (its "
                f"own last is {self._last}): another server writes to the same file. Stop one of "
                "them, run `audit verify`, and start this server again"
            )

    def _new_campaigns(self, batch: Batch) -> set[tuple[str, str]]:
        """The campaigns that something may be sent for from now on and was not before."""
        return {
            (scope, place)
            for step in batch.steps
            for entry in step.entries
            if entry.verb in _CHANGING
            for scope in entry.budget_ids
            if (named := platform_and_campaign(scope)) is not None
            for place in self._places_of(step, entry, named[0])
            if (scope, place) not in self._campaigns
        }

    def _places_of(self, step: Step, entry: Entry, platform: str) -> tuple[str, ...]:
        """Where a line's campaign is: where its hold is, or in any account of the platform."""
        places = tuple(hold.place for hold in step.holds if hold.hold_id == entry.hold_id)
        return places or self._places.get(platform, ("",))

    def _chained(self, entries: Iterable[Entry]) -> tuple[list[Row], int, str]:
        """The rows of lines that are not committed yet, and number and hash of the last line. A
        batch may be written again after an error behind its commit.
        """
        rows: list[Row] = []
        last, head = self._last, self._head
        for entry in entries:
            if entry.sequence <= last:
                continue
            last = entry.sequence
            written = dataclasses.replace(
                entry, note=storable_text(entry.note), actor=storable_text(entry.actor)
            )
            head = link(head, written)
            rows.append(row_of_entry(dataclasses.replace(written, hash=head)))
        return rows, last, head

    def erase(self, customer: str) -> int:
        """Erases a customer's closed holds that memory has forgotten; returns how many."""
        return self._writer.execute(ERASE_HOLDS, (customer, REFUSED, *_CLOSED)).rowcount

    def forget_what_was_overwritten(self) -> None:
        """Empties the log beside the file, which has every row as it once was."""
        self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def forget_reports(self, platform: str) -> None:
        """Forgets what was billed somewhere else. Raises sqlite3.Error."""
        forget_reports(self._writer, platform)

    def bind(self, bindings: Iterable[Binding]) -> None:
        """Says where the campaigns of each platform are from now on."""
        self._places = {binding.platform: binding.places for binding in bindings}

    def keep_reading(self, reading: ClockReading) -> None:
        """Remembers what the clocks say. Raises sqlite3.Error."""
        self._writer.execute(KEEP_READING, dataclasses.astuple(reading))

    def purge(self, closed_before_ns: int, calls_before_ns: int) -> int:
        """Forgets closed holds (never those in a caller's price history) and old calls, some at a
        time. Audit lines are kept. Returns how many holds were forgotten.
        """
        self._writer.execute("DELETE FROM calls WHERE at_ns < ?", (calls_before_ns,))
        forget_days(self._writer)
        forgotten = 0
        for platform in self._platforms():
            kept_ns = [
                (actor, self._oldest_price_ns(platform, actor))
                for actor in self._callers_with_prices(platform)
            ]
            for state in _CLOSED:
                done = self._writer.execute(
                    "DELETE FROM holds WHERE hold_id IN (SELECT hold_id FROM holds"
                    " WHERE state = ?1 AND platform = ?2 AND updated_ns < ?3"
                    " AND NOT (state = 'settled' AND priced AND updated_ns >= coalesce("
                    "(SELECT value ->> 1 FROM json_each(?4) WHERE value ->> 0 = actor), ?3))"
                    " LIMIT ?5)",
                    (
                        state,
                        platform,
                        closed_before_ns,
                        json.dumps(kept_ns),
                        FORGET_AT_ONCE - forgotten,
                    ),
                )
                forgotten += done.rowcount
        return forgotten

    def _platforms(self) -> list[str]:
        """Every platform that has holds, one step in the index for each."""
        rows = self._writer.execute(
            "WITH RECURSIVE names (name) AS (SELECT min(platform) FROM holds UNION ALL"
            " SELECT (SELECT min(platform) FROM holds WHERE platform > name)"
            " FROM names WHERE name IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL"
        )
        return [str(name) for (name,) in rows]

    def _callers_with_prices(self, platform: str) -> list[str]:
        """The callers that have a price history on a platform, that which settled last last; a few
        steps in the index for each.
        """
        newest: list[tuple[int, str]] = []
        found = self._writer.execute(
            "SELECT min(actor) FROM holds WHERE state = 'settled' AND priced AND platform = ?",
            (platform,),
        ).fetchone()
        while found[0] is not None:
            newest.append((self._newest_price_ns(platform, found[0]), found[0]))
            found = self._writer.execute(
                "SELECT min(actor) FROM holds"
                " WHERE state = 'settled' AND priced AND platform = ? AND actor > ?",
                (platform, found[0]),
            ).fetchone()
        return [actor for _, actor in sorted(newest)[-MOST_HISTORIES:]]

    def _newest_price_ns(self, platform: str, actor: str) -> int:
        row = self._writer.execute(
            "SELECT max(updated_ns) FROM holds"
            " WHERE state = 'settled' AND priced AND platform = ? AND actor = ?",
            (platform, actor),
        ).fetchone()
        return int(row[0])

    def _oldest_price_ns(self, platform: str, actor: str) -> int:
        """When the oldest price in a caller's history was settled; 0 while there are few."""
        row = self._writer.execute(
            "SELECT updated_ns FROM holds"
            " WHERE state = 'settled' AND priced AND platform = ? AND actor = ?"
            " ORDER BY updated_ns DESC LIMIT 1 OFFSET ?",
            (platform, actor, HISTORY_LENGTH - 1),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()
        self._writer.close()
        for mark in (self._mark, self._mark_outside):
            if mark is not None:
                mark.close()
        self._mark = self._mark_outside = None

    # Reading

    @property
    def alerts(self) -> AlertTables:
        """Alerts."""
        return AlertTables(self._reader)

    @property
    def ids(self) -> RequestIds:
        """Request ids."""
        return RequestIds(self._reader)

    @property
    def reported(self) -> ReportedTables:
        """What platforms reported."""
        return ReportedTables(self._reader)

    def last_sequence(self) -> int:
        """The newest audit line; 0: none."""
        row = self._reader.execute("SELECT coalesce(max(sequence), 0) FROM entries").fetchone()
        return int(row[0])

    def last_at_ns(self) -> int:
        """The latest ledger time that was written; 0: none."""
        newest = self._reader.execute("SELECT at_ns FROM entries ORDER BY sequence DESC LIMIT 1")
        row = newest.fetchone()
        return 0 if row is None else int(row[0])

    def reading(self) -> ClockReading | None:
        """The reading of the clocks that was written last."""
        found = self._reader.execute(
            "SELECT boot_id, base_ns, wall_ns, monotonic_ns FROM clock"
        ).fetchone()
        return None if found is None else ClockReading(*found)

    def last_activity_ns(self) -> int:
        """The latest ledger time of a line about a hold and of a call to a platform; 0: none."""
        (hold_ns, call_ns) = self._reader.execute(
            "SELECT coalesce((SELECT at_ns FROM entries WHERE hold_id != ''"
            " ORDER BY sequence DESC LIMIT 1), 0), coalesce((SELECT max(at_ns) FROM calls), 0)"
        ).fetchone()
        return max(int(hold_ns), int(call_ns))

    def limits(self) -> dict[str, tuple[int | None, bool]]:
        """What operators changed: budget -> (limit or None, paused)."""
        rows = self._reader.execute("SELECT budget_id, limit_micros, paused FROM limits")
        return {str(b): (m, bool(p)) for b, m, p in rows}

    def last_about(self, budget_id: str, verb: str) -> Entry | None:
        """The last line with this verb that is about a budget, and about no hold and no platform's
        report.
        """
        rows = self._reader.execute(
            "SELECT * FROM entries"
            " WHERE hold_id = '' AND platform = '' AND budget_ids = ? AND verb = ?"
            " ORDER BY sequence DESC LIMIT 1",
            (json.dumps([budget_id]), verb),
        )
        return next((entry_of(row) for row in rows), None)

    def binding_lines(self) -> list[Entry]:
        """The lines that bind platforms, oldest first."""
        rows = self._reader.execute(
            "SELECT * FROM entries WHERE hold_id = '' AND budget_ids = '[]' AND verb IN (?, ?)"
            " ORDER BY sequence",
            BINDING,
        )
        return [entry_of(row) for row in rows]

    def settled_since(self, budget_id: str, since_ns: int) -> list[tuple[int, int]]:
        """(at_ns, amount) of the commitments in one budget, oldest first."""
        rows = self._reader.execute(
            "SELECT at_ns, amount_micros FROM entries"  # noqa: S608 - a constant
            f" WHERE verb IN ('settle', 'settle_late') AND at_ns > :since_ns AND {COUNTS_IN}"
            " ORDER BY at_ns, sequence",
            {"since_ns": since_ns, "budget_id": budget_id},
        )
        return [(int(at), int(amount)) for at, amount in rows]

    def currencies_since(self, budget_id: str, since_ns: int) -> set[str]:
        """The currencies of the commitments in one budget."""
        rows = self._reader.execute(
            "SELECT DISTINCT currency_code FROM entries"  # noqa: S608 - a constant
            f" WHERE verb IN ('settle', 'settle_late') AND at_ns > :since_ns AND {COUNTS_IN}",
            {"since_ns": since_ns, "budget_id": budget_id},
        )
        return {str(code) for (code,) in rows}

    def open_holds(self) -> list[Hold]:
        """Open holds, oldest first."""
        rows = self._reader.execute(
            "SELECT record FROM holds WHERE state IN ('held', 'deferred', 'in_doubt')"
            " ORDER BY hold_id"
        )
        return [Hold.from_json(record) for (record,) in rows]

    def recent_settled(self) -> list[Hold]:
        """For each caller on each platform the last settled holds with an LTV or an AI bid, oldest
        first; the caller that settled last is last.
        """
        holds = []
        for platform in self._platforms():
            for actor in self._callers_with_prices(platform):
                rows = self._reader.execute(
                    "SELECT record FROM holds"
                    " WHERE state = 'settled' AND priced AND platform = ? AND actor = ?"
                    " ORDER BY updated_ns DESC LIMIT ?",
                    (platform, actor, HISTORY_LENGTH),
                ).fetchall()
                holds += [Hold.from_json(record) for (record,) in reversed(rows)]
        return holds

    def get(self, hold_id: str) -> Hold | None:
        """One hold."""
        found = self._reader.execute("SELECT record FROM holds WHERE hold_id = ?", (hold_id,))
        row = found.fetchone()
        return None if row is None else Hold.from_json(row[0])

    def entries(
        self, budget_id: str, request_id: str, after_sequence: int, size: int
    ) -> list[Entry]:
        """Audit lines after a sequence, oldest first."""
        rows = self._reader.execute(
            "SELECT * FROM entries WHERE sequence > ?1"
            " AND (?2 = '' OR request_id = ?2)"
            " AND (?3 = '' OR EXISTS (SELECT 1 FROM json_each(budget_ids) WHERE value = ?3))"
            " ORDER BY sequence LIMIT ?4",
            (after_sequence, request_id, budget_id, size),
        )
        return [entry_of(row) for row in rows]

    def campaigns(self) -> tuple[str, ...]:
        """The scopes of all campaigns that something may have been sent for, anywhere."""
        rows = self._reader.execute("SELECT DISTINCT scope FROM campaigns ORDER BY scope")
        return tuple(str(scope) for (scope,) in rows)

    def campaigns_in_place(self) -> tuple[str, ...]:
        """The same without those that are in an account or mode which their platform is not bound
        to now.
        """
        rows = self._reader.execute("SELECT scope, place FROM campaigns ORDER BY scope").fetchall()
        found: dict[str, None] = {}
        for scope, place in rows:
            platform, _ = platform_and_campaign(scope) or ("", "")
            if place in self._places.get(real_of(platform), (place,)):
                found[str(scope)] = None
        return tuple(found)

    def paused_campaigns(self) -> dict[str, bool]:
        """The campaigns that were paused at their platform and not resumed since."""
        return paused_campaigns(self._lines_of_campaigns())

    def stopped_campaigns(self) -> dict[str, Stop]:
        """The campaigns that only an operator may resume."""
        return stopped_campaigns(self._lines_of_campaigns())

    def _lines_of_campaigns(self) -> Iterator[Entry]:
        rows = self._reader.execute(
            "SELECT * FROM entries WHERE hold_id = '' AND verb IN (?, ?, ?) ORDER BY sequence",
            (PAUSE_CAMPAIGN, RESUME_CAMPAIGN, ADOPT),
        )
        return (entry_of(row) for row in rows)

    def calls_since(self, platform: str, since_ns: int) -> list[tuple[int, int]]:
        """(at_ns, count) of the calls remembered after `since_ns`, oldest first."""
        rows = self._reader.execute(
            "SELECT at_ns, count FROM calls WHERE platform = ? AND at_ns > ? ORDER BY at_ns",
            (platform, since_ns),
        )
        return [(int(at), int(count)) for at, count in rows]

    def tallies(self) -> list[Tally]:
        """Every tally, by subject and outcome."""
        rows = self._reader.execute("SELECT * FROM tallies ORDER BY subject, outcome")
        return [Tally(*row) for row in rows]
