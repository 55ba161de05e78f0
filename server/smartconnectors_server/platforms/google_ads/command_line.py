"""Google Ads on the command line, and as the demo counts it."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from smartconnectors.google_ads.v1 import google_ads_service_pb2 as pb
from smartconnectors_server.connector.command_line import CommandLine
from smartconnectors_server.money import MICROS_PER_UNIT


class Knob(enum.StrEnum):
    """What a bid sets."""

    TARGET_ROAS = "target_roas"
    TARGET_CPA = "target_cpa"
    MANUAL_CPC = "manual_cpc"


def _fill(
    request: pb.PlaceBidRequest,
    *,
    knob: Annotated[Knob, typer.Option("--knob", help="What to set.")] = Knob.TARGET_ROAS,
    ad_group: Annotated[
        str | None, typer.Option("--ad-group", help="With --knob manual_cpc: the ad group.")
    ] = None,
) -> None:
    if (knob is Knob.MANUAL_CPC) != (ad_group is not None):
        raise typer.BadParameter(
            "--knob manual_cpc and --ad-group go together", param_hint="--ad-group"
        )
    getattr(request, knob.value).SetInParent()
    if ad_group is not None:
        request.manual_cpc.ad_group_id = ad_group


def _told(response: pb.PlaceBidResponse) -> str:
    if not response.HasField("google_ads"):
        return ""
    placed = response.google_ads
    field = pb.BiddingField.Name(placed.field).removeprefix("BIDDING_FIELD_").lower()
    amount_micros = placed.target_cpa_micros or placed.cpc_bid_micros
    value = placed.target_roas or amount_micros / MICROS_PER_UNIT
    return f"set {field} = {value:g} on {placed.resource_name}"


def _target_roas(bid_micros: int, ltv_micros: int) -> float:
    return ltv_micros / bid_micros


def _target_roas_values(facts: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    operations = facts.get("operations", ())
    # The campaign that moves a portfolio is in the operation beside it, which has its parameters.
    beside = [one["campaign_id"] for one in operations if _carries_parameters_alone(one)]
    for operation in operations:
        # In a mutate of many bids each operation is made, or refused, for itself.
        if not operation.get("applied", True) or "target_roas" not in operation:
            continue
        if "campaign_id" in operation:
            yield str(operation["campaign_id"]), float(operation["target_roas"])
        elif "bidding_strategy_id" in operation:
            portfolio = f"portfolios/{operation['bidding_strategy_id']}"
            campaign = beside[0] if len(beside) == 1 else portfolio
            yield str(campaign), float(operation["target_roas"])


def _carries_parameters_alone(operation: Mapping[str, Any]) -> bool:
    return "campaign_id" in operation and "target_roas" not in operation


COMMAND_LINE = CommandLine(
    fill=_fill, told=_told, wire_value=_target_roas, wire_values=_target_roas_values
)
