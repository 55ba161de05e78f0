"""`audit`: the ledger's lines, oldest first; as files; and whether they hang together."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from smartconnectors_server.cli import output
from smartconnectors_server.cli.connection import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_MS,
    Connection,
    Json,
    Target,
    TimeoutMs,
)
from smartconnectors_server.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors.client import Client
    from smartconnectors_server.ledger.audit import Audit, Balance

group = typer.Typer(help="The audit ledger: every change of money.")

COLUMNS = ("no.", "at", "verb", "amount", "budgets", "request", "hold", "by", "note")
BALANCE_COLUMNS = ("budget", "committed", "held", "deferred", "in doubt", "limit", "window")

StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="Read this directory and ask no server."),
]


class Format(enum.StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    CSV = "csv"


@group.callback(invoke_without_command=True)
def audit(
    context: typer.Context,
    budget_id: Annotated[str, typer.Option("--budget", help="Default: all.")] = "",
    request_id: Annotated[str, typer.Option("--request-id", help="Default: all.")] = "",
    page_size: Annotated[int, typer.Option("--page-size", min=1, max=1000)] = 100,
    page_token: Annotated[
        str, typer.Option("--page-token", help="As the page before told it.")
    ] = "",
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Read the audit ledger: every change of money, oldest first."""
    if context.invoked_subcommand is not None:
        return
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb

    connection = Connection(target, timeout_ms, as_json)
    request = pb.ListLedgerEntriesRequest(
        budget_id=budget_id, request_id=request_id, page_size=page_size, page_token=page_token
    )

    async def work(client: Client) -> pb.ListLedgerEntriesResponse:
        return await client.budgets.ListLedgerEntries(request, timeout=connection.timeout_s)

    page = connection.run(work)
    if as_json:
        output.print_json(page)
        return
    output.print_table(COLUMNS, [_row(entry) for entry in page.entries], empty="No entries.")
    if page.next_page_token:
        output.say(f"more: --page-token {page.next_page_token}")


@group.command()
def export(
    file_format: Annotated[Format, typer.Option("--format", help="How it is written.")] = (
        Format.JSONL
    ),
    to: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Default: standard output.")
    ] = None,
    state_dir: StateDir = None,
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
) -> None:
    """Write the whole audit ledger, and say its head, to be noted where nobody can change both."""
    from smartconnectors_server.cli import audit_sources
    from smartconnectors_server.ledger.export import csv_header, csv_row, json_line

    lines, head = 0, ""
    with _written(to) as file, _told():
        if file_format is Format.CSV:
            file.write(csv_header())
        for entry in audit_sources.entries(state_dir, Connection(target, timeout_ms)):
            row = csv_row(entry) if file_format is Format.CSV else f"{json_line(entry)}\n"
            file.write(row)
            lines, head = lines + 1, entry.hash
    output.say(f"{lines} lines, head {head or 'none'}", err=True)


@group.command()
def erase(
    customer: Annotated[
        str, typer.Option("--customer", metavar="ID", help="As in the bids' customer_id.")
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; the audit ledger keeps it. Names nobody.")
    ],
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Erase who a customer is, and why the model bid; money and the audit ledger stay."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb

    connection = Connection(target, timeout_ms, as_json)
    request = pb.EraseCustomerRequest(customer_id=customer, reason=reason)

    async def work(client: Client) -> pb.EraseCustomerResponse:
        return await client.budgets.EraseCustomer(request, timeout=connection.timeout_s)

    answer = connection.run(work)
    if as_json:
        output.print_json(answer)
        return
    waiting = f"; {answer.waiting_count} more when they end" if answer.waiting_count else ""
    output.say(f"{answer.erased_count} bids of customer {answer.customer_hash} erased{waiting}.")
    output.say(answer.notice)


@group.command()
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="An export. Default: what the server has."),
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            "--head",
            metavar="HASH",
            help="The last hash, as it was noted: without it a cut-off end is not seen.",
        ),
    ] = "",
    state_dir: StateDir = None,
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Derive every balance anew, and name the first line that does not follow from those before."""
    from smartconnectors_server.cli import audit_sources
    from smartconnectors_server.ledger.audit import Broken

    if file is not None and state_dir is not None:
        raise CommandFailed(ExitCode.USAGE, "Give a FILE or --state-dir, not both.")
    try:
        with _told():
            audited = audit_sources.audited(file, state_dir, Connection(target, timeout_ms))
        if head:
            audited.check_head(head)
    except Broken as broken:
        document = {"ok": False, "line": broken.sequence, "why": str(broken)} if as_json else None
        raise CommandFailed(
            ExitCode.REFUSED,
            f"BROKEN: {broken}\nWhat comes before it hangs together. Compare with a copy of your "
            "own, and find out who could write here.",
            document=document,
        ) from None
    if as_json:
        _print_json(audited)
    else:
        _print(audited, head)
    if audited.unknown_zones:
        raise CommandFailed(
            ExitCode.USAGE,
            "NOT CHECKED: calendar limits in time zones that this system does not know: "
            f"{', '.join(sorted(audited.unknown_zones))}. Everything else was. Update the package "
            "tzdata, or install the system's time zone data, and verify again.",
        )


def _print(audited: Audit, head: str) -> None:

    rows = [row for balance in audited.balances() for row in _balance_rows(balance)]
    output.print_table(BALANCE_COLUMNS, rows, empty="No budgets.")
    output.say(f"{audited.lines} lines hang together, head {audited.head}")
    if not head:
        output.say(
            "Note the head elsewhere and give it with --head next time: without it, a ledger that "
            "was cut off at its end, or written anew as a whole, looks whole.",
            err=True,
        )


def _print_json(audited: Audit) -> None:

    balances = [
        {
            "budget_id": balance.budget_id,
            "currency_code": balance.currency_code,
            "limits": [
                {"limit_micros": limit.limit_micros, "committed_micros": committed}
                for limit, committed in zip(balance.limits, balance.committed, strict=True)
            ],
            "held_micros": balance.held,
            "deferred_micros": balance.deferred,
            "in_doubt_micros": balance.in_doubt,
        }
        for balance in audited.balances()
    ]
    document = {"ok": True, "lines": audited.lines, "head": audited.head}
    document |= {"balances": balances, "unknown_time_zones": sorted(audited.unknown_zones)}
    output.say_json(document)


def _balance_rows(balance: Balance) -> list[list[str]]:
    from smartconnectors_server.cli.output import duration_text
    from smartconnectors_server.ledger import SlidingWindow
    from smartconnectors_server.money import format_amount

    currency = balance.currency_code
    open_sums = [format_amount(m, currency) for m in (balance.held, balance.deferred)]
    open_sums.append(format_amount(balance.in_doubt, currency))
    return [
        [
            balance.budget_id,
            "unknown" if committed is None else format_amount(committed, currency),
            *open_sums,
            format_amount(limit.limit_micros, currency),
            duration_text(limit.window.seconds)
            if isinstance(limit.window, SlidingWindow)
            else f"{limit.window.unit} in {limit.window.time_zone}",
        ]
        for limit, committed in zip(balance.limits, balance.committed, strict=True)
    ]


@contextmanager
def _written(to: Path | None) -> Iterator[TextIO]:
    if to is None:
        yield sys.stdout
        return
    from smartconnectors_server.private import owner_only

    try:
        file = open(to, "x", encoding="utf-8", newline="", opener=owner_only)  # noqa: SIM115
    except FileExistsError:
        raise CommandFailed(ExitCode.USAGE, f"{to} exists already; nothing was written.") from None
    except OSError as error:
        raise CommandFailed(ExitCode.USAGE, f"{to} cannot be written: {error}") from None
    try:
        with file:
            yield file
    except BaseException:
        to.unlink()  # half an export would look like one that was cut off
        raise


@contextmanager
def _told() -> Iterator[None]:
    """A ledger that cannot be read, in the words of the command line."""
    from smartconnectors_server.ledger import LedgerError

    try:
        yield
    except LedgerError as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from None


def _row(entry: pb.LedgerEntry) -> list[str]:
    from smartconnectors_server.money import format_amount

    currency = entry.currency_code
    return [
        str(entry.sequence),
        output.time_text(entry.at),
        entry.verb,
        format_amount(entry.amount_micros, currency) if currency else str(entry.amount_micros),
        " ".join(entry.budget_ids),
        entry.request_id,
        entry.hold_id,
        entry.actor,
        entry.note,
    ]
