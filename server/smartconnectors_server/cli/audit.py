"""`audit`: the ledger's lines, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from smartconnectors_server.cli.connection import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_MS,
    Connection,
    Json,
    Target,
    TimeoutMs,
)

if TYPE_CHECKING:
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors.client import Client

COLUMNS = ("no.", "at", "verb", "amount", "budgets", "request", "hold", "note")


def audit(
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
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors_server.cli import output

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
        typer.echo(f"more: --page-token {page.next_page_token}")


def _row(entry: pb.LedgerEntry) -> list[str]:
    from smartconnectors_server.cli import output
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
        entry.note,
    ]
