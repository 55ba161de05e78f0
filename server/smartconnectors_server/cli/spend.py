"""`spend`: what the platforms say they billed, by campaign and day."""

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

COLUMNS = ("day", "platform", "campaign", "reported", "time zone", "as of")


def spend(
    platform: Annotated[
        str, typer.Argument(metavar="[PLATFORM]", help="Default: all of them.")
    ] = "",
    days: Annotated[
        int, typer.Option("--days", min=1, max=92, help="How many, the present day included.")
    ] = 4,
    page_size: Annotated[int, typer.Option("--page-size", min=1, max=1000)] = 100,
    page_token: Annotated[
        str, typer.Option("--page-token", help="As the page before told it.")
    ] = "",
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """List what platforms report as billed, newest day first. Limits count what was committed."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors_server.cli import output

    connection = Connection(target, timeout_ms, as_json)
    request = pb.ListReportedSpendRequest(
        platform=platform, days=days, page_size=page_size, page_token=page_token
    )

    async def work(client: Client) -> pb.ListReportedSpendResponse:
        return await client.budgets.ListReportedSpend(request, timeout=connection.timeout_s)

    page = connection.run(work)
    if as_json:
        output.print_json(page)
        return
    rows = [_row(one) for one in page.spend]
    output.print_table(COLUMNS, rows, empty="Nothing is reported.")
    if page.next_page_token:
        output.say(f"more: --page-token {page.next_page_token}")


def _row(one: pb.ReportedSpend) -> list[str]:
    """One campaign and day under COLUMNS."""
    from smartconnectors_server.cli import output
    from smartconnectors_server.money import format_amount

    return [
        one.day,
        one.platform,
        one.campaign_id,
        format_amount(one.spend_micros, one.currency_code),
        one.time_zone,
        output.time_text(one.as_of),
    ]
