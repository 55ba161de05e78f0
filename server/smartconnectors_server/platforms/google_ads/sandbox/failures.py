"""How the sandbox says no: a GoogleAdsFailure, as Google's own servers send it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2

from smartconnectors_server.platforms.google_ads.library import Library

Path = tuple[tuple[str, int | None], ...]
"""Where in the request: (field name, index or None), outermost first."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error of a failure.

    `code` is `<category>.<NAME>` as in Google's ErrorCode, for example `range_error.TOO_HIGH`.
    """

    code: str
    message: str
    path: Path = ()
    trigger: str = ""


class Refused(Exception):
    """The request is refused; nothing of it was applied."""

    def __init__(
        self,
        *problems: Problem,
        status: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT,
        retry_delay_ms: int | None = None,
    ) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
        self.status = status
        self.retry_delay_ms = retry_delay_ms

    @property
    def codes(self) -> list[str]:
        """The codes of every problem, for the journal."""
        return [problem.code for problem in self.problems]


def refuse(code: str, message: str, *, trigger: str = "") -> Refused:
    """A refusal of a whole request or of what is being looked at."""
    return Refused(Problem(code, message, trigger=trigger))


def failure_of(library: Library, refused: Refused, request_id: str) -> Any:
    """The GoogleAdsFailure message for a refusal."""
    failure = library.failure(request_id=request_id)
    for problem in refused.problems:
        error = failure.errors.add(message=problem.message)
        category, name = problem.code.split(".")
        number = error.error_code.DESCRIPTOR.fields_by_name[category].enum_type.values_by_name
        setattr(error.error_code, category, number[name].number)
        if problem.trigger:
            error.trigger.string_value = problem.trigger
        for field_name, index in problem.path:
            element = error.location.field_path_elements.add(field_name=field_name)
            if index is not None:
                element.index = index
        if refused.retry_delay_ms is not None:
            details = error.details.quota_error_details
            details.rate_name = "Requests per service per method"
            details.rate_scope = 3  # DEVELOPER: the whole Google Cloud project
            details.retry_delay.FromMilliseconds(refused.retry_delay_ms)
    return failure


def partial_failure_error(
    library: Library, problems: Sequence[Problem], request_id: str
) -> status_pb2.Status:
    """The failures of the operations of a request that may fail in parts."""
    refused = Refused(*problems)
    status = status_pb2.Status(
        code=refused.status.value[0],
        message="Multiple errors in 'details'. First error: " + problems[0].message,
    )
    status.details.add().Pack(failure_of(library, refused, request_id))
    return status


def trailing_metadata(
    library: Library, refused: Refused, request_id: str
) -> tuple[tuple[str, str | bytes], ...]:
    """What goes with the status: the failure twice, and the request's id."""
    failure = failure_of(library, refused, request_id)
    packed = any_pb2.Any()
    packed.Pack(failure)
    status = status_pb2.Status(code=refused.status.value[0], message=str(refused))
    status.details.append(packed)
    return (
        ("request-id", request_id),
        (library.failure_key, failure.SerializeToString()),
        ("grpc-status-details-bin", status.SerializeToString()),
    )
