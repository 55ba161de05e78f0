"""What can be wrong with an answer, as data: drawn by an engine, applied to a real answer. Pure."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

SECRET = "$SECRET$"
"""Stands in an edit for the credentials that the request came with: an answer may echo them."""
MOST_EDITS = 3

ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63,
    10**30,
    10**400,
    0.5,
    -1.5,
    1e30,
    float("inf"),
    float("nan"),
    "",
    "0",
    "-1",
    "1.5",
    "1e3",
    "NaN",
    "Infinity",
    "9" * 30,
    "9" * 5000,
    "1_000",
    " 12 ",
    "\uff11\uff12",
    "\ud800",
    "\x00",
    "\x1b[2J\n",
    "x" * 9000,
    SECRET,
    [],
    {},
    [[]],
    [None],
    {"id": None},
]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@dataclass(frozen=True)
class Edit:
    """One change of a JSON document: at the node of that number, counted round and round."""

    kind: str
    """`replace`, `delete`, `add`, `fraction` (a number gets one) or `next` (a number gets larger by
    one)."""
    node: int
    value: Any = None


@dataclass(frozen=True)
class RawEdit:
    """One change of bytes."""

    kind: str
    """`cut`, `flip`, `insert`, `whole` or `deep`."""
    at: int = 0
    value: bytes = b""


EDITS = st.lists(
    st.builds(
        Edit,
        kind=st.sampled_from(["replace", "replace", "delete", "add", "fraction", "next"]),
        node=st.integers(0, 80),
        value=JSON,
    ),
    min_size=1,
    max_size=MOST_EDITS,
).map(tuple)
RAW_EDITS = st.builds(
    RawEdit,
    kind=st.sampled_from(["cut", "flip", "insert", "whole", "deep"]),
    at=st.integers(0, 2000),
    value=st.binary(max_size=24),
)


def _slots(node: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value in the document, outermost first."""
    if isinstance(node, dict):
        for key in list(node):
            yield node, key
            yield from _slots(node[key])
    elif isinstance(node, list):
        for index in range(len(node)):
            yield node, index
            yield from _slots(node[index])


def edited(document: Any, edits: tuple[Edit, ...]) -> Any:
    """A copy of the JSON document with the edits made one after another."""
    root = [json.loads(json.dumps(document))]
    for edit in edits:
        slots = list(_slots(root))
        container, key = slots[edit.node % len(slots)]
        now = container[key]
        if edit.kind == "delete" and container is not root:
            del container[key]
        elif edit.kind == "add" and isinstance(now, dict):
            now[f"extra{edit.node}"] = copy.deepcopy(edit.value)
        elif edit.kind in ("fraction", "next"):
            container[key] = _moved(now, edit.kind)
        else:
            # A copy, because a later edit may reach into it, and the value is the engine's.
            container[key] = copy.deepcopy(edit.value)
    return root[0]


def _moved(value: Any, kind: str) -> Any:
    """A number, as a number or as text, that is a little more than it was."""
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,18}", str(value)):
        return value
    if kind == "next":
        return type(value)(int(value) + 1)
    return f"{value}.7" if isinstance(value, str) else float(f"{value}.7")


def with_secret(text: str, secret: str) -> str:
    """The text with the credentials where an edit asked for them."""
    return text.replace(SECRET, secret)


def raw_edited(content: bytes, edit: RawEdit | None) -> bytes:
    """The bytes with the edit made."""
    if edit is None:
        return content
    at = edit.at % (len(content) + 1)
    match edit.kind:
        case "cut":
            return content[:at]
        case "flip":
            return content[:at] + bytes(b ^ 0x55 for b in content[at : at + 1]) + content[at + 1 :]
        case "insert":
            return content[:at] + edit.value + content[at:]
        case "deep":
            return b"[" * (100 * edit.at) + b"]" * (100 * edit.at)
        case _:
            return edit.value


def strict_json(content: bytes) -> Any:
    """The document as a judge reads it, numbers exact. Raises ValueError for what is none."""
    try:
        return json.loads(content, parse_float=Decimal)
    except (RecursionError, ArithmeticError) as error:
        raise ValueError("beyond any that is meant seriously") from error


_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def numbers_in(node: Any) -> Iterator[Decimal]:
    """Every finite number in the document, as a number or as plain text."""
    if isinstance(node, dict):
        for value in node.values():
            yield from numbers_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from numbers_in(value)
    elif isinstance(node, str):
        if len(node) < 400 and _NUMBER.fullmatch(node):
            yield Decimal(node)
    elif isinstance(node, int | float | Decimal) and not isinstance(node, bool):
        found = Decimal(node)
        if found.is_finite() and abs(found) < 10**100:
            yield found


def texts_in(node: Any) -> Iterator[str]:
    """Every text in the document."""
    if isinstance(node, dict):
        for value in node.values():
            yield from texts_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts_in(value)
    elif isinstance(node, str):
        yield node
