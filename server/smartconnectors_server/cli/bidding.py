"""`bid` and `get`: one bid from the command line, and what became of one."""

from __future__ import annotations

from collections.abc import Callable
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
from smartconnectors_server.cli.platforms import (
    PlatformGroup,
    PlatformName,
    ask,
    method_of,
    platform_of,
    request_of,
    with_options_of,
)

if TYPE_CHECKING:
    from smartconnectors.client import Client
    from smartconnectors.common.v1.bid_pb2 import BidResponse
    from smartconnectors.common.v1.connector_pb2 import BidError
    from smartconnectors_server.connector import Platform
    from smartconnectors_server.connector.command_line import CommandLine


def _common(
    *,
    campaign: Annotated[str, typer.Option("--campaign", help="The platform's campaign id.")],
    amount: Annotated[
        str | None,
        typer.Option(
            "--amount", help="What to bid, in currency units: 75.00. Absent: priced by the service."
        ),
    ] = None,
    ltv: Annotated[
        str | None, typer.Option("--ltv", help="Predicted lifetime value in currency units.")
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option("--request-id", help="The same id asks for the same bid. Default: random."),
    ] = None,
    currency: Annotated[
        str, typer.Option("--currency", help="ISO 4217. Default: the budget's.")
    ] = "",
    account: Annotated[
        str,
        typer.Option("--account", help="Which ad account. Default: the only, or `default`."),
    ] = "",
    customer: Annotated[str, typer.Option("--customer", help="Whom the model scored.")] = "",
    explain: Annotated[
        list[str] | None,
        typer.Option("--explain", metavar="KEY=VALUE", help="A reason of the model. Repeatable."),
    ] = None,
    reduce_only: Annotated[
        bool, typer.Option("--reduce-only", help="Refuse it unless it lowers exposure.")
    ] = False,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Check it; hold and send nothing.")
    ] = False,
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> tuple[Any, Connection]:
    """What every bid has, whatever the platform: a BidRequest, and whom to ask."""
    from smartconnectors.client import new_request_id
    from smartconnectors.common.v1.bid_pb2 import BidRequest
    from smartconnectors_server.cli.arguments import key_values, micros

    bid = BidRequest(
        request_id=request_id or new_request_id(),
        customer_id=customer,
        campaign_id=campaign,
        predicted_ltv_micros=0 if ltv is None else micros("--ltv", ltv),
        bid_micros=None if amount is None else micros("--amount", amount),
        currency_code=currency,
        reduce_only=reduce_only,
        validate_only=validate_only,
        account=account,
    )
    if explain:
        bid.explanation.update(key_values("--explain", explain))
    return bid, Connection(target, timeout_ms, as_json)


class BidGroup(PlatformGroup):
    """`bid PLATFORM`, each with its own options beside those that every bid has."""

    def command_of(self, platform: Platform, line: CommandLine) -> Callable[..., None]:
        """Places one bid on that platform."""
        import inspect

        shared = frozenset(inspect.signature(_common).parameters)

        def place(**given: Any) -> None:
            own = {name: given.pop(name) for name in tuple(given) if name not in shared}
            bid, connection = _common(**given)
            request = request_of(method_of(platform, "PlaceBid"), bid=bid)
            line.fill(request, **own)
            _place(platform, line, request, connection)

        return with_options_of(place, _common, line.fill)


bid = typer.Typer(
    cls=BidGroup,
    help="Place one bid. `bid PLATFORM --help` lists what can be set there.",
    subcommand_metavar="PLATFORM [OPTIONS]",
    no_args_is_help=True,
)


@bid.callback()
def _bid() -> None:
    """Place one bid. `bid PLATFORM --help` lists what can be set there."""


def _place(platform: Platform, line: CommandLine, request: Any, connection: Connection) -> None:

    async def work(client: Client) -> Any:
        # One attempt: a person sees what happened and has the id to ask again.
        return await client.bid(request, max_attempts=1)

    answer = connection.run(work, request_id=request.bid.request_id)
    if connection.as_json:
        output.print_json(answer)
    else:
        _tell(platform, line, answer)


def get(
    platform: PlatformName,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The bid's own.")],
    caller: Annotated[
        str,
        typer.Option(metavar="NAME", help="Whose bid; needs `operate`. Default: your own."),
    ] = "",
    target: Target = DEFAULT_TARGET,
    timeout_ms: TimeoutMs = DEFAULT_TIMEOUT_MS,
    as_json: Json = False,
) -> None:
    """Show what became of a bid, also of one that was deferred or in doubt."""
    chosen = platform_of(platform)
    connection = Connection(target, timeout_ms, as_json)
    method = method_of(chosen, "GetBid")

    async def work(client: Client) -> Any:
        asked = request_of(method, request_id=request_id, caller=caller)
        return await ask(client, method, asked, connection.timeout_s)

    answer = connection.run(work).answer
    if as_json:
        output.print_json(answer)
    elif answer.WhichOneof("answer") == "error":
        output.say(_refusal(platform, answer.error))
        output.say(f"request id: {answer.request_id}")
    else:
        _tell(chosen, chosen.command_line() if chosen.command_line else None, answer.response)


def _tell(platform: Platform, line: CommandLine | None, answer: Any) -> None:
    from smartconnectors.common.v1.bid_pb2 import BID_STATUS_SHADOWED, BID_STATUS_VALIDATED

    output.say(_told(platform.name, answer.result))
    if line is not None and (what := line.told(answer)):
        would = answer.result.status in (BID_STATUS_VALIDATED, BID_STATUS_SHADOWED)
        output.say(f"would have {what}" if would else what)
    output.say(f"request id: {answer.result.request_id}")


def _refusal(platform: str, error: BidError) -> str:
    """`meta: refused: BUDGET_EXCEEDED: meta: $200.00 does not fit: ...; retry in 6 min`"""
    from smartconnectors.common.v1.errors_pb2 import ErrorReason

    reason = ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    text = f"{platform}: refused: {reason}: {error.message}"
    if error.HasField("retry_after"):
        seconds = error.retry_after.ToNanoseconds() / 1e9
        text += f"; retry in {output.duration_text(seconds)}"
    return text


def _told(platform: str, result: BidResponse) -> str:
    """`google_ads: $75.00 PLACED (source=ai). Budget: $225.00 of $500.00 committed (45 %), ...`"""
    from smartconnectors.common.v1.bid_pb2 import BidSource, BidStatus, CircuitState
    from smartconnectors_server.money import format_amount

    status = BidStatus.Name(result.status).removeprefix("BID_STATUS_")
    facts = ["source=" + BidSource.Name(result.source).removeprefix("BID_SOURCE_").lower()]
    circuit = CircuitState.Name(result.circuit_state).removeprefix("CIRCUIT_STATE_").lower()
    if circuit not in ("closed", "unspecified"):
        facts.append(f"circuit={circuit}")
    if result.uncapped_fallback_micros > result.bid_micros:
        uncapped = format_amount(result.uncapped_fallback_micros, result.currency_code)
        facts.append(f"uncapped={uncapped}")
    if result.replayed:
        facts.append("replayed: the stored answer of an earlier call")
    return (
        f"{platform}: {format_amount(result.bid_micros, result.currency_code)} {status} "
        f"({', '.join(facts)}). Budget: {output.budget_text(result.budget)}"
    )
