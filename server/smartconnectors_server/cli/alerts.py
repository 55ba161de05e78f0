"""`alerts`: what was told to operators, and what is told from now on."""

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
from smartconnectors_server.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors.client import Client

COLUMNS = ("at", "alert", "severity", "kind", "stands", "what")


def alerts(
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow them as they are recorded, until Ctrl-C.")
    ] = False,
    after: Annotated[
        str,
        typer.Option("--after", help="Those after this id; alert-0: from the beginning on."),
    ] = "",
    count: Annotated[
        int, typer.Option("--count", min=0, help="With --watch, end after so many. 0: never.")
    ] = 0,
    page_size: Annotated[int, typer.Option("--page-size", min=1, max=1000)] = 20,
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """List alerts: the newest, newest first; or with --after oldest first."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors_server.cli import output

    if watch:
        _watch(after, count, target, as_json)
        return
    connection = Connection(target, timeout_ms, as_json)
    request = pb.ListAlertsRequest(after_id=after, page_size=page_size, newest_first=not after)

    async def work(client: Client) -> pb.ListAlertsResponse:
        return await client.budgets.ListAlerts(request, timeout=connection.timeout_s)

    page = connection.run(work)
    if as_json:
        output.print_json(page)
        return
    output.print_table(COLUMNS, map(_row, page.alerts), empty="No alerts.")
    if after and page.next_after_id:
        output.say(f"more: --after {page.next_after_id}")


def _watch(after: str, count: int, target: str, as_json: bool) -> None:
    """One line for each alert."""
    import contextlib

    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors_server.cli import output

    async def work(client: Client) -> None:
        stream = client.budgets.WatchAlerts(pb.WatchAlertsRequest(after_id=after))
        seen = 0
        async for message in stream:
            if not message.HasField("alert"):
                continue
            alert = message.alert
            if as_json:
                output.print_json(alert)
            else:
                said = f"{alert.alert_id} {severity_text(alert)}: {alert.text}"
                output.say(f"{output.time_text(alert.at)} {said}")
            seen += 1
            if seen == count:
                stream.cancel()
                return
        text = "The server ended the stream: it is shutting down."
        document = {"error": {"reason": "", "code": "UNAVAILABLE", "message": text}}
        raise CommandFailed(ExitCode.UNREACHABLE, text, document=document if as_json else None)

    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how a watch is meant to end
        Connection(target, as_json=as_json).run(work)


def severity_text(alert: pb.Alert) -> str:
    """`info`, `warning`, `critical`; empty when the server does not say."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb

    if alert.severity == pb.ALERT_SEVERITY_UNSPECIFIED:
        return ""
    return pb.AlertSeverity.Name(alert.severity).removeprefix("ALERT_SEVERITY_").lower()


def _row(alert: pb.Alert) -> list[str]:
    """One alert under COLUMNS."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors_server.cli import output

    return [
        output.time_text(alert.at),
        alert.alert_id,
        severity_text(alert),
        pb.AlertKind.Name(alert.kind).removeprefix("ALERT_KIND_").lower().replace("_", " "),
        "yes" if alert.stands else "",
        alert.text,
    ]
