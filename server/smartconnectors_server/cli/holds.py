"""`holds`: money that is reserved and not yet committed, and ending a hold by hand."""

from __future__ import annotations

import enum
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

group = typer.Typer(help="Money that is reserved and not yet committed.")

COLUMNS = (
    *("hold", "state", "amount", "platform", "target"),
    *("caller", "request", "source", "since", "note"),
)


class Truth(enum.StrEnum):
    """How a hold ends."""

    SETTLED = "settled"
    RELEASED = "released"


@group.callback(invoke_without_command=True)
def holds(
    context: typer.Context,
    budget_id: Annotated[str, typer.Option("--budget", help="Default: all.")] = "",
    page_size: Annotated[int, typer.Option("--page-size", min=1, max=1000)] = 100,
    page_token: Annotated[
        str, typer.Option("--page-token", help="As the page before told it.")
    ] = "",
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """List open holds, oldest first."""
    if context.invoked_subcommand is not None:
        return
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors_server.cli import output

    connection = Connection(target, timeout_ms, as_json)
    request = pb.ListHoldsRequest(budget_id=budget_id, page_size=page_size, page_token=page_token)

    async def work(client: Client) -> pb.ListHoldsResponse:
        return await client.budgets.ListHolds(request, timeout=connection.timeout_s)

    page = connection.run(work)
    if as_json:
        output.print_json(page)
        return
    output.print_table(COLUMNS, [_row(hold) for hold in page.holds], empty="No open holds.")
    if page.next_page_token:
        output.say(f"more: --page-token {page.next_page_token}")


@group.command()
def resolve(
    hold_id: Annotated[str, typer.Argument(metavar="HOLD", help="As `holds` lists it.")],
    state: Annotated[
        Truth,
        typer.Argument(help="settled: the platform has the change. released: it does not."),
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="How it is known; the audit ledger keeps it.")
    ],
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """End a hold whose outcome you know."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors_server.cli import output

    connection = Connection(target, timeout_ms, as_json)
    states = {Truth.SETTLED: pb.HOLD_STATE_SETTLED, Truth.RELEASED: pb.HOLD_STATE_RELEASED}
    request = pb.ResolveHoldRequest(hold_id=hold_id, state=states[state], reason=reason)

    async def work(client: Client) -> pb.ResolveHoldResponse:
        return await client.budgets.ResolveHold(request, timeout=connection.timeout_s)

    answer = connection.run(work)
    if as_json:
        output.print_json(answer)
    else:
        output.print_table(COLUMNS, [_row(answer.hold)], empty="")


def _row(hold: pb.Hold) -> list[str]:
    from smartconnectors.budgets.v1.budget_service_pb2 import HoldState
    from smartconnectors.common.v1.bid_pb2 import BidSource
    from smartconnectors_server.cli import output
    from smartconnectors_server.money import format_amount

    state = HoldState.Name(hold.state).removeprefix("HOLD_STATE_").lower().replace("_", " ")
    return [
        hold.hold_id,
        state,
        format_amount(hold.amount_micros, hold.currency_code),
        hold.platform,
        hold.target,
        hold.caller,
        hold.request_id,
        BidSource.Name(hold.source).removeprefix("BID_SOURCE_").lower(),
        output.time_text(hold.created_at),
        hold.note,
    ]
