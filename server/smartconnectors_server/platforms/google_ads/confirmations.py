"""Whether Google's answer to an operation shows what the operation set. Pure.

A mutate asks for `MUTABLE_RESOURCE`, so that each answer has the resource as it is afterwards, and
not its name alone. A change that the answer does not show is in doubt: it was accepted, and perhaps
not made.
"""

from __future__ import annotations

import math
from typing import Any

MUTABLE_RESOURCE = "MUTABLE_RESOURCE"

_RELATIVE, _ABSOLUTE = 1e-4, 5e-5
"""How far a ROAS may be from what was sent: Google's pages show it as a percentage with two
decimals."""


def unconfirmed(operation: Any, answer: Any) -> str:
    """What the answer does not show of the operation, in words; empty: it shows all of it.

    `operation` is a MutateOperation of protobuf, `answer` the MutateOperationResponse to it. Of an
    operation that is no update, only the kind is compared.
    """
    name = operation.WhichOneof("operation")
    kind = name.removesuffix("_operation")
    if answer.WhichOneof("response") != f"{kind}_result":
        return f"an answer to {name}"
    inner, result = getattr(operation, name), getattr(answer, f"{kind}_result")
    if inner.WhichOneof("operation") != "update":
        return ""
    if result.resource_name != inner.update.resource_name:
        return "the resource that was to be changed"
    if not result.HasField(kind):
        return "the resource as it is now"
    now = getattr(result, kind)
    differing = [
        path
        for path in inner.update_mask.paths
        if not _same(_value_at(inner.update, path), _value_at(now, path))
    ]
    return f"{', '.join(differing)} as it was sent" if differing else ""


def _value_at(message: Any, path: str) -> Any:
    for part in path.split("."):
        message = getattr(message, part)
    if path == "url_custom_parameters":
        return sorted((parameter.key, parameter.value) for parameter in message)
    return message


def _same(sent: Any, now: Any) -> bool:
    if isinstance(sent, float):
        return math.isclose(sent, now, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return bool(sent == now)
