"""What is typed on the command line, as values; a mistake names its option."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from smartconnectors_server.money import InvalidAmount, parse_amount


def micros(option: str, text: str) -> int:
    """Micros of `75.00`, exactly. Raises typer.BadParameter."""
    try:
        return parse_amount(text)
    except InvalidAmount as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def key_values(option: str, pairs: Sequence[str]) -> dict[str, Any]:
    """`["orders=3", "segment=loyal"]` as `{"orders": 3, "segment": "loyal"}`: a value that is JSON
    is taken as that, anything else as text. Raises typer.BadParameter.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{pair!r} is not key=value", param_hint=option)
        try:
            values[key] = json.loads(text, parse_constant=_refuse_constant)
        except ValueError:
            values[key] = text
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")
