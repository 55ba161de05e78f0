"""`bid`: one bid from the command line."""

from __future__ import annotations

import enum
from collections.abc import Callable
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
    from smartconnectors.client import Client
    from smartconnectors.common.v1.bid_pb2 import BidRequest, BidResponse
    from smartconnectors.google_ads.v1.google_ads_service_pb2 import (
        GoogleAdsBid,
        PlaceBidRequest,
        PlaceBidResponse,
    )


class PlatformName(enum.StrEnum):
    """The platforms that `bid` can ask."""

    GOOGLE_ADS = "google_ads"


class Knob(enum.StrEnum):
    """What a bid sets."""

    TARGET_ROAS = "target_roas"
    TARGET_CPA = "target_cpa"
    MANUAL_CPC = "manual_cpc"


def bid(
    *,
    platform: Annotated[PlatformName, typer.Argument(metavar="PLATFORM", help="Where to bid.")],
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
    knob: Annotated[Knob, typer.Option("--knob", help="What to set.")] = Knob.TARGET_ROAS,
    ad_group: Annotated[
        str | None, typer.Option("--ad-group", help="With --knob manual_cpc: the ad group.")
    ] = None,
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
) -> None:
    """Place one bid."""
    from smartconnectors.client import new_request_id
    from smartconnectors.common.v1.bid_pb2 import (
        BID_STATUS_SHADOWED,
        BID_STATUS_VALIDATED,
        BidRequest,
    )
    from smartconnectors_server.cli import output
    from smartconnectors_server.cli.arguments import key_values, micros

    common = BidRequest(
        request_id=request_id or new_request_id(),
        customer_id=customer,
        campaign_id=campaign,
        predicted_ltv_micros=0 if ltv is None else micros("--ltv", ltv),
        bid_micros=None if amount is None else micros("--amount", amount),
        currency_code=currency,
        reduce_only=reduce_only,
        validate_only=validate_only,
    )
    if explain:
        common.explanation.update(key_values("--explain", explain))
    connection = Connection(target, timeout_ms, as_json)
    request = _REQUESTS[platform](common, knob, ad_group)

    async def work(client: Client) -> PlaceBidResponse:
        # One attempt: a person sees what happened and has the id to ask again.
        return await client.bid(request, max_attempts=1)

    answer = connection.run(work, request_id=common.request_id)
    if as_json:
        output.print_json(answer)
        return
    typer.echo(_told(platform, answer.result))
    if answer.HasField("google_ads"):
        would = answer.result.status in (BID_STATUS_VALIDATED, BID_STATUS_SHADOWED)
        typer.echo(f"{'would set' if would else 'set'} {_set_on_google_ads(answer.google_ads)}")
    typer.echo(f"request id: {answer.result.request_id}")


def _google_ads_request(common: BidRequest, knob: Knob, ad_group: str | None) -> PlaceBidRequest:
    from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb

    if (knob is Knob.MANUAL_CPC) != (ad_group is not None):
        raise typer.BadParameter(
            "--knob manual_cpc and --ad-group go together", param_hint="--ad-group"
        )
    request = pb.PlaceBidRequest(bid=common)
    if knob is Knob.TARGET_ROAS:
        request.target_roas.SetInParent()
    elif knob is Knob.TARGET_CPA:
        request.target_cpa.SetInParent()
    else:
        request.manual_cpc.ad_group_id = ad_group or ""
    return request


_REQUESTS: dict[PlatformName, Callable[[BidRequest, Knob, str | None], PlaceBidRequest]] = {
    PlatformName.GOOGLE_ADS: _google_ads_request
}


def _told(platform: str, result: BidResponse) -> str:
    """`google_ads: $75.00 PLACED (source=ai). Budget: $225.00 of $500.00 committed (45 %), ...`"""
    from smartconnectors.common.v1.bid_pb2 import BidSource, BidStatus, CircuitState
    from smartconnectors_server.cli import output
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


def _set_on_google_ads(placed: GoogleAdsBid) -> str:
    from smartconnectors.google_ads.v1.google_ads_service_pb2 import BiddingField

    field = BiddingField.Name(placed.field).removeprefix("BIDDING_FIELD_").lower()
    value = placed.target_roas or (placed.target_cpa_micros or placed.cpc_bid_micros) / 1_000_000
    return f"{field} = {value:g} on {placed.resource_name}"
