"""What the command line and the demo must be told of a platform, because no other part knows it:
what a bid may set, how it reads once it is set, and what the platform's sandbox makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from smartconnectors_server.money import InvalidAmount, parse_amount


def micros_of(text: str) -> int:
    """Micros of `75.00`, exactly. Raises typer.BadParameter, which names the option itself."""
    try:
        return parse_amount(text)
    except InvalidAmount as error:
        raise typer.BadParameter(str(error)) from None


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A platform's own part of the command line.

    Attributes:
        fill: `fill(request, *, ...)` sets in a PlaceBidRequest what only this platform has. Its
            keyword-only parameters are the options of `bid PLATFORM`, annotated as typer takes
            them, with defaults. Raises typer.BadParameter naming the option that is wrong.
        told: what a PlaceBidResponse says was set, for a person, beginning with a verb in the past:
            `set min_roas = 4 on ad set 10011`. Empty: nothing was sent.
        wire_value: (bid in micros, predicted LTV in micros) -> the number that the barest bid puts
            on this platform's wire in the amount's place.
        wire_values: the facts of a journal entry of the sandbox -> (campaign id, that number) of
            every bid that the request set.
    """

    fill: Callable[..., None]
    told: Callable[[Any], str]
    wire_value: Callable[[int, int], float]
    wire_values: Callable[[Mapping[str, Any]], Iterable[tuple[str, float]]]
