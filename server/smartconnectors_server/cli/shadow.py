"""`shadow`: what shadow mode would have done and vetoed, and what a candidate limit would have."""

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

COLUMNS = ("platform", "outcome", "bids", "sum", "first", "last", "most over")


def shadow(
    platform: Annotated[
        str, typer.Argument(metavar="[PLATFORM]", help="Default: all of them.")
    ] = "",
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Show what shadow mode would have done and vetoed, and what a candidate limit would have."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb
    from smartconnectors_server.cli import output

    connection = Connection(target, timeout_ms, as_json)
    request = pb.GetShadowReportRequest(platform=platform)

    async def work(client: Client) -> pb.GetShadowReportResponse:
        return await client.budgets.GetShadowReport(request, timeout=connection.timeout_s)

    report = connection.run(work)
    if as_json:
        output.print_json(report)
        return
    output.print_table(
        COLUMNS,
        [_row(one, outcome) for one in report.platforms for outcome in one.outcomes],
        empty='Nothing was bid in shadow mode yet. It is on where `mode = "shadow"` is, or where '
        "there are credentials and no mode.",
    )
    for one in report.platforms:
        if one.HasField("candidate"):
            output.say(candidate_text(one))


def _row(one: pb.PlatformShadowReport, outcome: pb.ShadowOutcome) -> list[str]:
    """One outcome under COLUMNS."""
    from smartconnectors_server.cli import output
    from smartconnectors_server.money import format_amount

    over = outcome.worst_over_micros
    return [
        one.platform,
        f"refused: {outcome.outcome}" if outcome.refused else outcome.outcome,
        str(outcome.bid_count),
        format_amount(outcome.sum_micros, one.currency_code),
        output.time_text(outcome.first_at),
        output.time_text(outcome.last_at),
        format_amount(over, one.currency_code) if over else "",
    ]


def candidate_text(one: pb.PlatformShadowReport) -> str:
    """`google_ads: candidate $300.00 beside $500.00 in 10 min: would have vetoed 3 of 10 ...`"""
    from smartconnectors_server.cli import output
    from smartconnectors_server.money import format_amount

    weighed = one.candidate
    candidate, limit, vetoed, refused = (
        format_amount(micros, one.currency_code)
        for micros in (
            weighed.candidate_micros,
            weighed.limit_micros,
            weighed.would_veto_micros,
            weighed.limit_vetoed_micros,
        )
    )
    head = f"{weighed.budget_id}: candidate {candidate} beside {limit}"
    bids = weighed.admitted_count + weighed.would_veto_count
    text = (
        f"{head} in {output.window_text(weighed.window)}: would have vetoed "
        f"{weighed.would_veto_count} of {bids} bids that were committed, {vetoed}"
    )
    if weighed.would_veto_count:
        text += f", first at {output.time_text(weighed.first_would_veto_at)}"
    return f"{text}; the limits in effect refused {weighed.limit_vetoed_count}, {refused}."
