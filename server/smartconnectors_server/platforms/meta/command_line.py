"""Meta on the command line, and as the demo counts it."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.connector.command_line import CommandLine
from smartconnectors_server.platforms.meta.state import ROAS_SCALE


class Knob(enum.StrEnum):
    """What a bid sets."""

    MIN_ROAS = "min_roas"
    BID_CAP = "bid_cap"
    COST_CAP = "cost_cap"


def _fill(
    request: pb.PlaceBidRequest,
    *,
    knob: Annotated[Knob, typer.Option("--knob", help="What to set.")] = Knob.MIN_ROAS,
    ad_set: Annotated[
        str, typer.Option("--ad-set", help="The ad set. Default: the campaign's only active one.")
    ] = "",
    goal: Annotated[
        str | None,
        typer.Option("--goal", help="With a cap: the optimization goal to set, as Meta names it."),
    ] = None,
) -> None:
    if goal is not None and knob is Knob.MIN_ROAS:
        raise typer.BadParameter("goes with --knob bid_cap or cost_cap", param_hint="--goal")
    request.ad_set_id = ad_set
    chosen = getattr(request, knob.value)
    chosen.SetInParent()
    if goal is not None:
        chosen.optimization_goal = goal


def _told(response: pb.PlaceBidResponse) -> str:
    if not response.HasField("meta"):
        return ""
    placed = response.meta
    if placed.roas_average_floor:
        value = f"{placed.roas_average_floor / ROAS_SCALE:g}"
    else:
        value = f"{placed.bid_amount_minor_units} minor units"
    return f"set {placed.bid_strategy} = {value} on {placed.object_id}"


def _roas_floor(bid_micros: int, ltv_micros: int) -> float:
    return (2 * ltv_micros * ROAS_SCALE + bid_micros) // (2 * bid_micros)  # half up


def _roas_floors(facts: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    floor = facts.get("roas_average_floor")
    if floor is not None:
        yield str(facts.get("campaign_id", "")), float(floor)


COMMAND_LINE = CommandLine(fill=_fill, told=_told, wire_value=_roas_floor, wire_values=_roas_floors)
