"""`status`: health, every platform's connector and every budget at one glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from smartconnectors_server.cli.connection import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_MS,
    Connection,
    Json,
    Target,
    TimeoutMs,
)
from smartconnectors_server.cli.platforms import ask, method_of, request_of

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from smartconnectors.client import Client
    from smartconnectors.common.v1.budget_pb2 import BudgetStats
    from smartconnectors.common.v1.connector_pb2 import ConnectorStatus
    from smartconnectors_server.connector import Platform

CONNECTOR_COLUMNS = ("platform", "mode", "state", "calls", "waiting", "refused", "in doubt")


def status(
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Show whether the server takes bids, how each platform is, and every budget."""
    from smartconnectors_server.cli import output

    connection = Connection(target, timeout_ms, as_json)

    async def work(client: Client) -> tuple[str, list[ConnectorStatus], list[BudgetStats]]:
        return await _seen(client, connection.timeout_s)

    serving, connectors, stats = connection.run(work)
    if as_json:
        document = {
            "health": serving,
            "connectors": [output.document_of(one) for one in connectors],
            "stats": [output.document_of(one) for one in stats],
        }
        output.say_json(document)
        return
    output.say(f"{target}: {serving}{down_text(connectors)}")
    rows = [connector_row(one) for one in connectors]
    output.print_table(CONNECTOR_COLUMNS, rows, empty="No platforms.")
    output.say()
    columns: Sequence[str] = output.STATS_COLUMNS
    rows = [output.stats_row(one) for one in stats]
    if output.on_terminal():
        columns, rows = output.compact_stats(columns, rows)
    output.print_table(columns, rows, empty="No budgets.")


async def _seen(
    client: Client, timeout_s: float
) -> tuple[str, list[ConnectorStatus], list[BudgetStats]]:
    """(health, connectors, budgets) as the server tells them."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from smartconnectors.budgets.v1.budget_service_pb2 import ListBudgetStatsRequest

    stub: Any = health_pb2_grpc.HealthStub(client.channel)  # its methods carry no types
    health = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    answer = await client.budgets.ListBudgetStats(ListBudgetStatsRequest(), timeout=timeout_s)
    told = await connectors_of(client, timeout_s)
    serving = health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)
    return serving, told, list(answer.stats)


async def connectors_of(client: Client, timeout_s: float) -> list[ConnectorStatus]:
    """What the server says of each platform that it serves to this caller. Raises AioRpcError."""
    import asyncio

    from smartconnectors_server.platforms import PLATFORMS

    told = await asyncio.gather(
        *(_connector(client, platform, timeout_s) for platform in PLATFORMS.values())
    )
    return [one for one in told if one is not None]


async def _connector(
    client: Client, platform: Platform, timeout_s: float
) -> ConnectorStatus | None:
    """What the server says of a platform; None when it does not serve it, or not to this caller."""
    import grpc
    from grpc import aio

    method = method_of(platform, "GetConnectorStatus")
    try:
        answer = await ask(client, method, request_of(method), timeout_s)
    except aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED):
            return None
        raise
    told: ConnectorStatus = answer.status
    return told


def down_text(connectors: Sequence[ConnectorStatus]) -> str:
    """`, 1 of 3 platforms down`; empty when none is."""
    from smartconnectors.common.v1 import connector_pb2 as pb

    states = (pb.PLATFORM_STATE_CIRCUIT_OPEN, pb.PLATFORM_STATE_NOT_CONNECTED)
    down = [one for one in connectors if one.state in states]
    if not down:
        return ""
    noun = "platform" if len(connectors) == 1 else "platforms"
    return f", {len(down)} of {len(connectors)} {noun} down"


def state_text(one: ConnectorStatus) -> str:
    """`operational`, `not connected, tries again in 8 s`; a server that is older does not say."""
    from smartconnectors.common.v1 import connector_pb2 as pb
    from smartconnectors_server.cli import output

    if one.state == pb.PLATFORM_STATE_UNSPECIFIED:
        return "operational" if one.connected else "not connected"
    said = pb.PlatformState.Name(one.state).removeprefix("PLATFORM_STATE_").lower()
    if one.HasField("state_retry_after"):
        wait_s = one.state_retry_after.ToNanoseconds() / 1e9
        said += f", tries again in {output.duration_text(wait_s)}"
    return said.replace("_", " ")


def connector_row(one: ConnectorStatus) -> list[str]:
    """One platform under CONNECTOR_COLUMNS."""
    from smartconnectors.common.v1.connector_pb2 import ConnectorMode
    from smartconnectors_server.cli import output

    window = output.window_text(one.rate_limit_window)
    return [
        one.platform,
        ConnectorMode.Name(one.mode).removeprefix("CONNECTOR_MODE_").lower(),
        state_text(one),
        f"{one.used_calls} of {one.rate_limit_calls} in {window}{_throttled(one)}",
        str(one.deferred_count),
        str(sum(one.refusals.values())),
        str(one.in_doubt_count),
    ]


def _throttled(one: ConnectorStatus) -> str:
    """What the platform asks to wait, to be put behind the calls; empty: nothing."""
    said = ""
    if one.HasField("bids_throttled_for"):
        said += f"; bids are throttled for {_duration_text(one.bids_throttled_for)}"
    if one.HasField("reports_throttled_for"):
        said += f"; reports are throttled for {_duration_text(one.reports_throttled_for)}"
        said += "" if one.HasField("bids_throttled_for") else ", bids are not"
    return said


def _duration_text(length: Duration) -> str:
    from smartconnectors_server.cli import output

    return output.duration_text(length.ToNanoseconds() / 1e9)
