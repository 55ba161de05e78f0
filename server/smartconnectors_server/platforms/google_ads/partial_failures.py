"""What became of each operation of a mutate that may fail in parts.

Google answers every operation in its place, a failed one with an empty response, and writes the
failures into one `partial_failure_error`, each with the index of its operation. An operation counts
as made, or as refused, only when both places agree; any other is in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from smartconnectors_server.errors import ConnectorError, OutcomeUnknown
from smartconnectors_server.platforms.google_ads.library import Library
from smartconnectors_server.platforms.google_ads.refusals import Said

# The field's own name in this method, and its name in the methods for single resources.
_OPERATIONS = frozenset({"mutate_operations", "operations"})
_QUOTA = "quota_error."

Outcome = Said | ConnectorError | None
"""None: made. Said: what Google refused it with. An error: it is in doubt."""


def outcomes_of(response: Any, count: int, library: Library, request_id: str) -> Sequence[Outcome]:
    """What became of each of `count` operations, in order."""
    answers = response.mutate_operation_responses
    if len(answers) != count:
        return [OutcomeUnknown("Google Ads answered without saying what it changed")] * count
    failures, all_placed = _failures_by_operation(response, count, library)
    outcomes: list[Outcome] = []
    for index, answer in enumerate(answers):
        made = _is_made(answer)
        errors = failures.get(index, ())
        if errors and not made:
            failure = library.failure(errors=errors, request_id=request_id)
            outcomes.append(_said(failure, request_id))
        elif made and not errors and all_placed:
            outcomes.append(None)
        else:
            outcomes.append(
                OutcomeUnknown(f"Google Ads did not say what became of operation {index}")
            )
    return outcomes


def all_made(response: Any, count: int) -> bool:
    """True when it says of each of `count` operations what it changed, and of none a failure."""
    answers = response.mutate_operation_responses
    failed = response.HasField("partial_failure_error")
    return len(answers) == count and all(map(_is_made, answers)) and not failed


def _is_made(answer: Any) -> bool:
    """True when the answer to an operation names what it changed."""
    kind = answer.WhichOneof("response")
    return kind is not None and bool(getattr(answer, kind).resource_name)


def _failures_by_operation(
    response: Any, count: int, library: Library
) -> tuple[dict[int, list[Any]], bool]:
    """The errors by the index of their operation, and whether every one of them had an index."""
    by_operation: dict[int, list[Any]] = {}
    all_placed = True
    if not response.HasField("partial_failure_error"):
        return by_operation, all_placed
    for detail in response.partial_failure_error.details:
        try:
            failure = library.failure.FromString(detail.value)
        except DecodeError:
            all_placed = False
            continue
        for error in failure.errors:
            index = _operation_index(error)
            if index is None or index >= count:
                all_placed = False
            else:
                by_operation.setdefault(index, []).append(error)
    return by_operation, all_placed and bool(by_operation)


def _operation_index(error: Any) -> int | None:
    for element in error.location.field_path_elements:
        if element.field_name in _OPERATIONS and element.HasField("index"):
            return int(element.index)
    return None


def _said(failure: Any, request_id: str) -> Said:
    """The operation's failure as a request of its own would have had it."""
    said = Said(grpc.StatusCode.INVALID_ARGUMENT, "", failure, request_id)
    if any(code.startswith(_QUOTA) for code in said.codes):
        return Said(grpc.StatusCode.RESOURCE_EXHAUSTED, "", failure, request_id)
    return said
