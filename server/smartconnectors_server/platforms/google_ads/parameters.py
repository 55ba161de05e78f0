"""Our custom parameters among a campaign's own: read, merged, never at another's cost.

Google keeps at most 8 parameters on an entity and replaces them as one list, so the list that is
sent is always everybody else's, unchanged and in their order, followed by ours. When slots run out
ours go: the LTV first, then the explanation, the marker last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

MARKER = "kikireq"
"""The id of the request that last changed the entity: how `lookup` recognises it."""
EXPLANATION = "kikiwhy"
"""The model's reasons: percent-encoded JSON."""
LTV = "kikiltv"
"""The predicted lifetime value, in micros."""

MAX_PARAMETERS = 8
MAX_VALUE_CHARS = 200

Parameter = tuple[str, str]

# Unreserved and harmless in a query string; blanks and Google's own tag braces are encoded.
_SAFE = "-_.~:,;!()[]/"


@dataclass(frozen=True, slots=True)
class Merged:
    """What the list would be."""

    parameters: tuple[Parameter, ...]
    written: tuple[str, ...]
    """Our keys that are in it, in their order of importance."""
    dropped: tuple[str, ...]
    """Our keys that found no free slot."""


def is_ours(key: str) -> bool:
    """True for a key that we write. Google's keys do not distinguish case."""
    return key.lower() in (MARKER, EXPLANATION, LTV)


def ours_in(parameters: tuple[Parameter, ...]) -> Mapping[str, str]:
    """Our parameters among these, by their key in lower case."""
    return {key.lower(): value for key, value in parameters if is_ours(key)}


def signal(
    *, request_id: str, ltv_micros: int, explanation: Struct, ltv_in_click_urls: bool
) -> tuple[Parameter, ...]:
    """What we want to write, the most important first."""
    wanted = [(MARKER, request_id)]
    if ltv_in_click_urls:
        reasons = encode_explanation(explanation)
        if reasons:
            wanted.append((EXPLANATION, reasons))
        if ltv_micros:
            wanted.append((LTV, str(ltv_micros)))
    return tuple(wanted)


def merge(existing: tuple[Parameter, ...], wanted: tuple[Parameter, ...]) -> Merged:
    """`wanted`, the most important first, beside everybody else's."""
    foreign = tuple(parameter for parameter in existing if not is_ours(parameter[0]))
    slots = max(0, MAX_PARAMETERS - len(foreign))
    kept, left_out = wanted[:slots], wanted[slots:]
    return Merged(
        parameters=foreign + kept,
        written=tuple(key for key, _ in kept),
        dropped=tuple(key for key, _ in left_out),
    )


def encode_explanation(explanation: Struct) -> str:
    """The explanation as compact JSON, percent-encoded, in at most 200 characters.

    What does not fit is left out, last keys in alphabetical order first, so that what is written is
    always whole JSON; a text that is too long by itself is cut. Empty when there is nothing.
    """
    document = json_format.MessageToDict(explanation)
    kept: dict[str, Any] = {}
    for key in sorted(document):
        value = _whole_numbers(document[key])
        if _fits({**kept, key: value}):
            kept[key] = value
        elif isinstance(value, str):
            cut = _cut_to_fit(kept, key, value)
            if cut:
                kept[key] = cut
    return _encoded(kept) if kept else ""


def _encoded(document: Mapping[str, Any]) -> str:
    return quote(json.dumps(document, separators=(",", ":"), ensure_ascii=False), safe=_SAFE)


def _fits(document: Mapping[str, Any]) -> bool:
    return len(_encoded(document)) <= MAX_VALUE_CHARS


def _cut_to_fit(kept: Mapping[str, Any], key: str, text: str) -> str:
    """The longest beginning of `text` that fits beside `kept`; empty when none does."""
    low, high = 0, min(len(text), MAX_VALUE_CHARS)
    while low < high:
        middle = (low + high + 1) // 2
        if _fits({**kept, key: text[:middle]}):
            low = middle
        else:
            high = middle - 1
    return text[:low]


def _whole_numbers(value: Any) -> Any:
    """A Struct knows only floats; 3.0 is written as 3."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    return value
