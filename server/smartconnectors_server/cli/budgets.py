"""`watch`, `budget set`: what budgets have left, and changing a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import typer

from smartconnectors_server.cli.connection import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_MS,
    Connection,
    Json,
    Target,
    TimeoutMs,
)
from smartconnectors_server.cli.failure import CommandFailed, ExitCode
from smartconnectors_server.cli.status import CONNECTOR_COLUMNS, connector_row, connectors_of

if TYPE_CHECKING:
    from smartconnectors.client import Client
    from smartconnectors.common.v1.budget_pb2 import BudgetStats
    from smartconnectors.common.v1.connector_pb2 import ConnectorStatus

CONNECTORS_EVERY_S = 1.0

BudgetId = Annotated[str, typer.Argument(metavar="BUDGET", help="For example google_ads.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; the audit ledger keeps it.")]

group = typer.Typer(help="Change a budget.", no_args_is_help=True)


def watch(
    budget_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[BUDGET]...", help="Default: all of them.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", min=0, help="End after so many changes. 0: never.")
    ] = 0,
    target: Target = DEFAULT_TARGET,
    as_json: Json = False,
) -> None:
    """Follow budgets as they change, until Ctrl-C.

    On a terminal, every platform's mode, breaker, quota and open bids stand above them.
    """
    import asyncio
    import contextlib

    from grpc import aio

    from smartconnectors.budgets.v1.budget_service_pb2 import WatchBudgetStatsRequest
    from smartconnectors_server.cli import output

    async def look(client: Client, show: Tables) -> None:
        while True:
            # Of a server that is gone, the stream below says so.
            with contextlib.suppress(aio.AioRpcError):
                show.show_connectors(await connectors_of(client, DEFAULT_TIMEOUT_MS / 1000))
            await asyncio.sleep(CONNECTORS_EVERY_S)

    async def work(client: Client) -> None:
        show = Tables() if not as_json and output.on_terminal() else _Lines(as_json)
        with show, contextlib.ExitStack() as stack:
            if isinstance(show, Tables):
                looking = asyncio.ensure_future(look(client, show))
                stack.callback(looking.cancel)
            stream = client.budgets.WatchBudgetStats(WatchBudgetStatsRequest(budget_ids=budget_ids))
            seen = 0
            async for change in stream:
                show.show(change.stats)
                seen += 1
                if seen == count:
                    stream.cancel()
                    return
        message = "The server ended the stream: it is shutting down."
        document = {"error": {"reason": "", "code": "UNAVAILABLE", "message": message}}
        raise CommandFailed(ExitCode.UNREACHABLE, message, document=document if as_json else None)

    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how a watch is meant to end
        Connection(target, as_json=as_json).run(work)


class _Lines:
    """One line for each change."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def show(self, stats: BudgetStats) -> None:
        from smartconnectors_server.cli import output

        if self._as_json:
            output.print_json(stats)
        else:
            moment = output.time_text(stats.as_of)
            output.say(f"{moment} {stats.budget_id}: {output.budget_text(stats)}")


class Tables:
    """Tables that change in place: platforms above, budgets below."""

    def __init__(self) -> None:
        from rich.live import Live

        self._stats: dict[str, BudgetStats] = {}
        self._connectors: list[ConnectorStatus] = []
        self._live = Live(auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, stats: BudgetStats) -> None:
        self._stats[stats.budget_id] = stats
        self._draw()

    def show_connectors(self, connectors: list[ConnectorStatus]) -> None:
        self._connectors = connectors
        self._draw()

    def _draw(self) -> None:
        from rich.console import Group

        from smartconnectors_server.cli import output

        platforms = [connector_row(one) for one in self._connectors]
        budgets = [output.stats_row(self._stats[name]) for name in sorted(self._stats)]
        tables = []
        if platforms:
            tables.append(output.rich_table(CONNECTOR_COLUMNS, platforms))
        tables.append(output.rich_table(*output.compact_stats(output.STATS_COLUMNS, budgets)))
        self._live.update(Group(*tables), refresh=True)


@group.command("set")
def set_limit(
    budget_id: BudgetId,
    limit: Annotated[
        str, typer.Option("--limit", help="The new limit in currency units, such as 500.00.")
    ],
    reason: Reason,
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Change a budget's limit. It takes effect at once and survives restarts."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors_server.cli import output
    from smartconnectors_server.cli.arguments import micros

    connection = Connection(target, timeout_ms, as_json)
    request = pb.UpdateBudgetRequest(
        budget_id=budget_id, limit_micros=micros("--limit", limit), reason=reason
    )

    async def work(client: Client) -> pb.UpdateBudgetResponse:
        return await client.budgets.UpdateBudget(request, timeout=connection.timeout_s)

    answer = connection.run(work)
    if as_json:
        output.print_json(answer)
    else:
        output.say(f"{answer.stats.budget_id}: {output.budget_text(answer.stats)}")
