"""`campaign`: stopping a campaign on its platform, and letting it run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartconnectors_server.cli.connection import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_MS,
    Connection,
    Json,
    Target,
    TimeoutMs,
)
from smartconnectors_server.cli.platforms import (
    PlatformName,
    ask,
    method_of,
    platform_of,
    request_of,
)

if TYPE_CHECKING:
    from smartconnectors.client import Client
    from smartconnectors.common.v1.connector_pb2 import CampaignStatusUpdate

group = typer.Typer(
    help="Stop a campaign on its platform, or let it run again.", no_args_is_help=True
)

CampaignId = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The platform's campaign id.")]
ValidateOnly = Annotated[bool, typer.Option("--validate-only", help="Check it; change nothing.")]
Account = Annotated[
    str, typer.Option("--account", help="Which ad account. Default: the only, or `default`.")
]


@group.command()
def pause(
    platform: PlatformName,
    campaign: CampaignId,
    validate_only: ValidateOnly = False,
    account: Account = "",
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Stop a campaign's spending. Passes full and paused budgets and an open circuit breaker."""
    connection = Connection(target, timeout_ms, as_json)
    _change(platform, "PauseCampaign", _update(campaign, validate_only, account), connection)


@group.command()
def resume(
    platform: PlatformName,
    campaign: CampaignId,
    validate_only: ValidateOnly = False,
    account: Account = "",
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Let a paused campaign run again."""
    connection = Connection(target, timeout_ms, as_json)
    _change(platform, "ResumeCampaign", _update(campaign, validate_only, account), connection)


def _update(campaign_id: str, validate_only: bool, account: str) -> CampaignStatusUpdate:
    from smartconnectors.common.v1.connector_pb2 import CampaignStatusUpdate

    return CampaignStatusUpdate(
        campaign_id=campaign_id, validate_only=validate_only, account=account
    )


def _change(platform: str, name: str, update: CampaignStatusUpdate, connection: Connection) -> None:
    from smartconnectors_server.cli import output

    method = method_of(platform_of(platform), name)
    request = request_of(method, update=update)

    async def work(client: Client) -> Any:
        return await ask(client, method, request, connection.timeout_s)

    answer = connection.run(work)
    if connection.as_json:
        output.print_json(answer)
        return
    result = answer.result
    if result.shadowed:
        output.say(
            f"{platform} is in shadow mode: nothing was sent, campaign {result.campaign_id} is as "
            "it was."
        )
        return
    state = "paused" if result.paused else "running"
    if update.validate_only:
        how = "would be changed" if result.changed else "as it is already"
    else:
        how = "changed" if result.changed else "it was already"
    output.say(f"{platform}: campaign {result.campaign_id} is {state} ({how})")
