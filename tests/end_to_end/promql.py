"""Which metrics and labels an expression of Prometheus asks for: as much of the language as the
files in `deploy/` use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SELECTOR = re.compile(r"(?<![\w:$])(?P<name>[a-zA-Z_:][\w:]*+)(?P<matchers>\{[^}]*\})?(?!\s*\()")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_WORDS = frozenset({"or", "and", "unless", "bool", "by", "on", "ignoring", "without", "offset"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One series that an expression selects."""

    name: str
    labels: frozenset[str]


def selected(expression: str) -> Iterator[Asked]:
    """Every selector in it."""
    bare = re.sub(r"\[[^]]*\]", "", _GROUPING.sub("", expression))
    for found in _SELECTOR.finditer(bare):
        if found["name"] in _WORDS:
            continue
        labels = _MATCHER.findall(found["matchers"] or "")
        yield Asked(found["name"], frozenset(labels))


def grouped_by(expression: str) -> frozenset[str]:
    """Every label that results are grouped or matched by."""
    lists = (names.split(",") for names in _GROUPING.findall(expression))
    return frozenset(name.strip() for names in lists for name in names if name.strip())
