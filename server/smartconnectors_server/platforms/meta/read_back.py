"""What Meta says a change has left: asked for with the change, compared with what was sent. Pure.

Endpoints that take changes support read-after-write: with `fields`, Meta first makes the change,
then answers with these fields of the object as they are afterwards. An answer that shows another
value than was sent does not say what became of the change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_AMOUNTS = frozenset({"bid_amount", "daily_budget"})
_NAMES = frozenset({"bid_strategy", "optimization_goal", "status"})
_CONSTRAINTS = "bid_constraints"
# What is not in these sets is not compared: Meta completes `targeting` by itself, and what is set
# by `adset_bid_amounts` is read off other objects.
_COMPARED = _AMOUNTS | _NAMES | {_CONSTRAINTS}


def fields_of(form: Mapping[str, str]) -> str:
    """The `fields` to be read back after a form was posted; empty: none can be compared."""
    return ",".join(name for name in form if name in _COMPARED)


def says_otherwise(form: Mapping[str, str], document: Mapping[str, Any]) -> str:
    """The first field of which the answer shows another value than was sent; empty: none."""
    for name in form:
        if name in _COMPARED and name in document and not _same(name, form[name], document[name]):
            return name
    return ""


def says_all(object_id: str, form: Mapping[str, str], document: Mapping[str, Any]) -> bool:
    """True when the answer is the object itself with every field that was to be read back."""
    compared = [name for name in form if name in _COMPARED]
    own = document.get("id") == object_id
    return own and bool(compared) and all(name in document for name in compared)


def _same(name: str, sent: str, shown: Any) -> bool:
    if name in _AMOUNTS:
        return not isinstance(shown, bool) and isinstance(shown, int | str) and str(shown) == sent
    if name == _CONSTRAINTS:
        wanted = json.loads(sent)
        return isinstance(shown, dict) and all(shown.get(key) == wanted[key] for key in wanted)
    return bool(shown == sent)
