"""`pause`, `resume`: no new bids, and with `--campaigns` no spending either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

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

COLUMNS = ("platform", "campaign", "outcome", "why")
CAMPAIGNS_WITHIN_S = 30.0
"""What is refused for now is tried again for so long."""

Scope = Annotated[
    str,
    typer.Argument(
        metavar="PLATFORM",
        help="For example google_ads; or another budget, such as total.",
        show_default=False,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every platform.")]
CampaignIds = Annotated[
    list[str] | None,
    typer.Option("--campaign", metavar="ID", help="Only this campaign. Can be repeated."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; the audit ledger keeps it.")]


def pause(
    reason: Reason,
    scope: Scope = "",
    *,
    everything: All = False,
    campaign: CampaignIds = None,
    campaigns: Annotated[
        bool,
        typer.Option(
            "--campaigns",
            help="Also pause the campaigns themselves: those that this server has changed, or "
            "those named by --campaign. Passes full and paused budgets and an open circuit.",
        ),
    ] = False,
    wait_s: Annotated[
        float,
        typer.Option(
            "--wait-s", min=0, max=60, help="How long to wait for what is being sent just now."
        ),
    ] = 3.0,
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Stop new bids. Campaigns that are live keep spending, unless --campaigns pauses them too.

    Holds over restarts, until `resume`. Ends with 1 when anything could not be paused.
    """
    order = _order(scope, everything, campaign, campaigns=campaigns)
    connection = Connection(target, timeout_ms, as_json)
    failed = [one for one in order.scopes if not _pause(connection, one, reason, wait_s)]
    if campaigns:
        _ask_campaigns(connection, order, reason, "PauseCampaigns")
    elif not as_json:
        again = f"smart-connectors pause {order.words} --campaigns --reason ..."
        output.say(f"To stop the campaigns themselves: {again}")
    if failed:
        raise typer.Exit(ExitCode.REFUSED)


def resume(
    reason: Reason,
    scope: Scope = "",
    *,
    everything: All = False,
    campaign: CampaignIds = None,
    campaigns: Annotated[
        bool,
        typer.Option(
            "--campaigns",
            help="Also let those campaigns run again that `pause --campaigns` has paused.",
        ),
    ] = False,
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Admit bids again. What was paused under another name stays paused."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb

    order = _order(scope, everything, campaign, campaigns=campaigns)
    connection = Connection(target, timeout_ms, as_json)

    async def work(client: Client) -> list[pb.ResumeBudgetResponse]:
        return [
            await client.budgets.ResumeBudget(
                pb.ResumeBudgetRequest(budget_id=one, reason=reason), timeout=connection.timeout_s
            )
            for one in order.scopes
        ]

    for one, answer in zip(order.scopes, connection.run(work), strict=True):
        if as_json:
            output.print_json(answer)
        else:
            output.say(_standing(one, answer, "bids are admitted again"))
    if campaigns:
        _ask_campaigns(connection, order, reason, "ResumeCampaigns")


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be paused or resumed.

    Attributes:
        scopes: as PauseBudget takes them.
        platform: as PauseCampaigns takes it.
        campaign_ids: the same.
        words: the command line that says so.
    """

    scopes: tuple[str, ...]
    platform: str
    campaign_ids: tuple[str, ...]
    words: str


def _order(
    scope: str, everything: bool, campaign_ids: Sequence[str] | None, *, campaigns: bool
) -> _Order:
    """Raises typer.BadParameter for what says nothing, or two things."""
    from smartconnectors_server.ledger import ALL, campaign_scope, platform_and_campaign

    if everything == bool(scope):
        raise typer.BadParameter("say what: a platform such as google_ads, or --all")
    if everything:
        if campaign_ids:
            raise typer.BadParameter("--campaign needs the name of its platform, not --all")
        return _Order((ALL,), "", (), "--all")
    of_campaign = platform_and_campaign(scope)
    if of_campaign is not None and not campaign_ids:
        scope, campaign_ids = of_campaign[0], [of_campaign[1]]
    if campaigns and scope not in _platforms():
        raise typer.BadParameter(
            f"--campaigns wants a platform ({', '.join(_platforms())}) or --all, not {scope!r}"
        )
    ids = tuple(dict.fromkeys(campaign_ids or ()))
    scopes = tuple(campaign_scope(scope, one) for one in ids) or (scope,)
    words = " ".join([scope, *(f"--campaign {one}" for one in ids)])
    return _Order(scopes, scope, ids, words)


def _platforms() -> list[str]:
    from smartconnectors_server.platforms import PLATFORMS

    return list(PLATFORMS)


def _pause(connection: Connection, scope: str, reason: str, wait_s: float) -> bool:
    """False when it was refused, which has been said: what is still to be paused is tried all the
    same.
    """
    from google.protobuf.duration_pb2 import Duration

    from smartconnectors.budgets.v1 import budget_service_pb2 as pb

    request = pb.PauseBudgetRequest(budget_id=scope, reason=reason)
    if wait_s:
        request.wait.CopyFrom(Duration(seconds=int(wait_s), nanos=round(wait_s % 1 * 1e9)))

    async def work(client: Client) -> pb.PauseBudgetResponse:
        return await client.budgets.PauseBudget(request, timeout=connection.timeout_s + 2 * wait_s)

    try:
        answer = connection.run(work)
    except CommandFailed as failure:
        if failure.exit_code is not ExitCode.REFUSED:
            raise
        failure.print()
        return False
    if connection.as_json:
        output.print_json(answer)
        return True
    output.say(_standing(scope, answer, "PAUSED"))
    if answer.notice:
        output.say(answer.notice)
    output.say(_in_flight(answer))
    return True


def _standing(scope: str, answer: Any, word: str) -> str:
    """`google_ads: $225.00 of $500.00 committed ...`, or what has no budget and what it is now."""
    from smartconnectors_server.ledger import ALL

    if answer.stats.budget_id == scope:
        return f"{scope}: {output.budget_text(answer.stats)}"
    return f"{'every platform' if scope == ALL else scope}: {word}"


def _in_flight(answer: pb.PauseBudgetResponse) -> str:
    """What the pause does not stop, and since when nothing was sent."""
    from smartconnectors_server.money import format_amount

    if answer.in_flight_count:
        text = f"{answer.in_flight_count} still being sent"
        if answer.currency_code:
            text += f" ({format_amount(answer.in_flight_micros, answer.currency_code)})"
    else:
        text = "Nothing is being sent"
    if answer.HasField("last_dispatch_ended_at"):
        text += f"; the last dispatch ended at {output.time_text(answer.last_dispatch_ended_at)}"
    else:
        text += "; nothing was sent since the server started"
    waiting = [
        f"{count} {what}"
        for count, what in (
            (answer.in_doubt_count, "in doubt"),
            (answer.deferred_count, "deferred, which wait until it is resumed"),
        )
        if count
    ]
    return f"{'; '.join([text, *waiting])}."


def _ask_campaigns(connection: Connection, order: _Order, reason: str, method: str) -> None:
    """PauseCampaigns or ResumeCampaigns. Raises CommandFailed when a campaign failed."""
    from smartconnectors.budgets.v1 import budget_service_pb2 as pb

    make = getattr(pb, f"{method}Request")
    request = make(platform=order.platform, campaign_ids=order.campaign_ids, reason=reason)

    async def work(client: Client) -> Any:
        within_s = max(connection.timeout_s, CAMPAIGNS_WITHIN_S)
        return await getattr(client.budgets, method)(request, timeout=within_s)

    answer = connection.run(work)
    failed = [one for one in answer.campaigns if one.outcome == pb.CAMPAIGN_OUTCOME_FAILED]
    if connection.as_json:
        output.print_json(answer)
        if failed:
            raise typer.Exit(ExitCode.REFUSED)
        return
    rows = [_row(standing) for standing in answer.campaigns]
    nothing = "No campaign was ever changed by this server."
    if method == "ResumeCampaigns":
        nothing = "No campaign was paused by `pause --campaigns`."
    output.print_table(COLUMNS, rows, empty=nothing)
    if failed:
        pausing = method == "PauseCampaigns"
        raise CommandFailed(
            ExitCode.REFUSED,
            f"{len(failed)} of {len(rows)} campaigns could not be "
            + ("paused and may keep spending. " if pausing else "resumed. ")
            + "Ask again, or do it on the platform's own pages.",
        )


def _row(standing: pb.CampaignStanding) -> list[str]:
    from smartconnectors.budgets.v1.budget_service_pb2 import CampaignOutcome

    name = CampaignOutcome.Name(standing.outcome).removeprefix("CAMPAIGN_OUTCOME_")
    outcome = name.lower().replace("_", " ")
    why = {
        "left": "`pause --campaigns` has not paused it, or had not seen it run before",
        "shadowed": "the platform is in shadow mode; nothing was sent",
    }
    return [
        standing.platform,
        standing.campaign_id,
        outcome,
        standing.error.message or why.get(outcome, ""),
    ]
