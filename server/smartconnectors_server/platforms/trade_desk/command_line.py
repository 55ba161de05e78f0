"""The Trade Desk on the command line, and as the demo counts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from smartconnectors.trade_desk.v1 import trade_desk_service_pb2 as pb
from smartconnectors_server.connector.command_line import CommandLine, micros_of
from smartconnectors_server.money import MICROS_PER_UNIT
from smartconnectors_server.texts import decoded


def _fill(
    request: pb.PlaceBidRequest,
    *,
    ad_group: Annotated[
        str | None, typer.Option("--ad-group", help="Default: the campaign's only one.")
    ] = None,
    base_bid_cpm: Annotated[
        int | None,
        typer.Option(
            "--base-bid-cpm",
            parser=micros_of,
            metavar="AMOUNT",
            help="For a thousand impressions: 2.50. Default: the bid.",
        ),
    ] = None,
    max_bid_cpm: Annotated[
        int | None,
        typer.Option(
            "--max-bid-cpm",
            parser=micros_of,
            metavar="AMOUNT",
            help="The most for a thousand impressions. Default: left as it is.",
        ),
    ] = None,
    open_rtb: Annotated[
        Path | None,
        typer.Option(
            "--open-rtb",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Instead of an ad group: answer the OpenRTB 2.5 BidRequest in this file (JSON).",
        ),
    ] = None,
    price_cpm: Annotated[
        int | None,
        typer.Option(
            "--price-cpm",
            parser=micros_of,
            metavar="AMOUNT",
            help="With --open-rtb: the price for a thousand impressions.",
        ),
    ] = None,
) -> None:
    given = {"--ad-group": ad_group, "--base-bid-cpm": base_bid_cpm, "--max-bid-cpm": max_bid_cpm}
    if open_rtb is not None:
        for option, value in given.items():
            if value is not None:
                raise typer.BadParameter("does not go with --open-rtb", param_hint=option)
        if price_cpm is None:
            raise typer.BadParameter("--open-rtb needs it", param_hint="--price-cpm")
        request.open_rtb.bid_request_json = _text_of(open_rtb)
        request.open_rtb.price_cpm_micros = price_cpm
        return
    if price_cpm is not None:
        raise typer.BadParameter("goes with --open-rtb", param_hint="--price-cpm")
    request.ad_group.ad_group_id = ad_group or ""
    if base_bid_cpm is not None:
        request.ad_group.base_bid_cpm_micros = base_bid_cpm
    if max_bid_cpm is not None:
        request.ad_group.max_bid_cpm_micros = max_bid_cpm


def _text_of(path: Path) -> str:
    try:
        return decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--open-rtb") from None


def _told(response: pb.PlaceBidResponse) -> str:
    match response.WhichOneof("trade_desk"):
        case "open_rtb":
            verb = "submitted" if response.open_rtb.submitted else "authored"
            return f"{verb} the bid response {response.open_rtb.bid_response_json}"
        case "ad_group":
            placed = response.ad_group
            most = (
                f" (at most {placed.max_bid_cpm_micros / MICROS_PER_UNIT:g})"
                if placed.max_bid_cpm_micros
                else ""
            )
            base = f"{placed.base_bid_cpm_micros / MICROS_PER_UNIT:g}"
            return f"set base_bid_cpm = {base}{most} on ad group {placed.ad_group_id}"
        case _:
            return ""


def _base_bid_cpm(bid_micros: int, ltv_micros: int) -> float:
    del ltv_micros
    return bid_micros / MICROS_PER_UNIT


def _base_bid_cpms(facts: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if "base_bid_cpm" in facts:
        yield str(facts.get("campaign_id", "")), float(facts["base_bid_cpm"])


COMMAND_LINE = CommandLine(
    fill=_fill, told=_told, wire_value=_base_bid_cpm, wire_values=_base_bid_cpms
)
