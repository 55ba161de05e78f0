"""Where audit lines come from: a running server, a state directory, or an export."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from smartconnectors.budgets.v1 import budget_service_pb2 as pb
from smartconnectors.client import Client
from smartconnectors_server.cli.connection import Connection
from smartconnectors_server.cli.failure import CommandFailed, ExitCode
from smartconnectors_server.ledger import Entry
from smartconnectors_server.ledger.audit import Audit, Broken
from smartconnectors_server.ledger.export import read
from smartconnectors_server.ledger.snapshot import Snapshot

PAGE_SIZE = 1000


def entries(state_dir: Path | None, connection: Connection) -> Iterator[Entry]:
    """Every line of a state directory or, without one, of a server.

    Raises LedgerError, Broken, or CommandFailed.
    """
    if state_dir is None:
        yield from _of_server(connection)
        return
    snapshot = Snapshot(state_dir)
    try:
        yield from snapshot.entries()
    finally:
        snapshot.close()


def audited(file: Path | None, state_dir: Path | None, connection: Connection) -> Audit:
    """What an export, a state directory or a server says, checked to the end. Raises as above."""
    if state_dir is not None:
        snapshot = Snapshot(state_dir)
        try:
            return snapshot.verify(_counted)
        finally:
            snapshot.close()
    if file is None:
        return _all(_of_server(connection))
    try:
        # A byte that is no text must be seen as a changed one, not as an error of reading.
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            return _all(read(lines))
    except OSError as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} cannot be read: {error}") from None


def _all(lines: Iterable[Entry]) -> Audit:
    audit = Audit()
    for line in _counted(lines):
        audit.take(line)
    if not audit.lines:
        raise Broken(0, "there is no line in it")
    return audit


def _counted(lines: Iterable[Entry]) -> Iterator[Entry]:
    """The lines, and on a terminal how many so far."""
    shown = sys.stderr.isatty()
    for line in lines:
        yield line
        if shown and line.sequence % 10_000 == 0:
            sys.stderr.write(f"\r{line.sequence} lines")
    if shown:
        sys.stderr.write("\r\033[K")


def _of_server(connection: Connection) -> Iterator[Entry]:
    token = ""
    while True:
        request = pb.ListLedgerEntriesRequest(page_size=PAGE_SIZE, page_token=token)

        async def page_of(
            client: Client, request: pb.ListLedgerEntriesRequest = request
        ) -> pb.ListLedgerEntriesResponse:
            return await client.budgets.ListLedgerEntries(request, timeout=connection.timeout_s)

        page = connection.run(page_of)
        for line in page.entries:
            yield entry_of(line)
        token = page.next_page_token
        if not token:
            return


def entry_of(line: pb.LedgerEntry) -> Entry:
    """A line as the contract's message has it."""
    return Entry(
        at_ns=line.at.ToNanoseconds(),
        verb=line.verb,
        budget_ids=tuple(line.budget_ids),
        hold_id=line.hold_id,
        platform=line.platform,
        request_id=line.request_id,
        amount_micros=line.amount_micros,
        currency_code=line.currency_code,
        note=line.note,
        actor=line.actor,
        customer=line.customer_hash,
        sequence=line.sequence,
        hash=line.hash,
    )
