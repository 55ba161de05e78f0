"""The boundary to gRPC: bytes in, bytes or a status out. Inside it there are only exceptions.

An unforeseen exception is INTERNAL when nothing was sent; when something may have been, the budget
interceptor has already made it OUTCOME_UNKNOWN.
"""

from __future__ import annotations

import logging
from typing import ClassVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from smartconnectors_server.call import Call, MethodSpec
from smartconnectors_server.clock import NANOS_PER_SECOND
from smartconnectors_server.errors import (
    ConnectorError,
    InternalError,
    InvalidBid,
    OutcomeUnknown,
    PlatformUnavailable,
)
from smartconnectors_server.interceptors._base import Engines, Next

DOMAIN = "smartconnectors"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
UNREACHED_RETRY_S = 1.0
"""When to come back to a platform that was not reached, and so could not say."""

log = logging.getLogger(__name__)


class StatusError(Exception):
    """A call that ends with a gRPC status other than OK."""

    def __init__(
        self, code: StatusCode, message: str, trailers: tuple[tuple[str, str | bytes], ...]
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.trailers = trailers


def _retry_after_s(error: ConnectorError) -> float | None:
    if error.retry_after_s is None and isinstance(error, PlatformUnavailable):
        return UNREACHED_RETRY_S
    return error.retry_after_s


def _details(error: ConnectorError) -> list[Message]:
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    ]
    retry_after_s = _retry_after_s(error)
    if retry_after_s is not None:
        nanos = -(-retry_after_s * NANOS_PER_SECOND // 1)
        seconds, rest = divmod(int(nanos), NANOS_PER_SECOND)
        details.append(
            error_details_pb2.RetryInfo(retry_delay=Duration(seconds=seconds, nanos=rest))
        )
    if error.quota_subject:
        violation = error_details_pb2.QuotaFailure.Violation(
            subject=error.quota_subject, description=error.message
        )
        details.append(error_details_pb2.QuotaFailure(violations=[violation]))
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=v.field, description=v.description
                    )
                    for v in error.violations
                ]
            )
        )
    return details


def to_status(error: ConnectorError) -> StatusError:
    """The gRPC status of an error, with its details."""
    code = StatusCode[error.code.value]
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=error.message)
    for detail in _details(error):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    trailers: list[tuple[str, str | bytes]] = [(STATUS_DETAILS_KEY, status.SerializeToString())]
    retry_after_s = _retry_after_s(error)
    # grpc-java obeys it whatever the code is: the caller of a vetoed bid would wait for minutes.
    if retry_after_s is not None and code is StatusCode.UNAVAILABLE:
        trailers.append((PUSHBACK_KEY, str(int(-(-retry_after_s * 1000 // 1)))))
    return StatusError(code, error.message, tuple(trailers))


def parse(raw: bytes, spec: MethodSpec, most_bytes: int | None = None) -> Message:
    """The request. Raises InvalidBid when the bytes are not one, or more than `most_bytes`."""
    if most_bytes is not None and len(raw) > most_bytes:
        raise InvalidBid.of(
            "(request)",
            f"is {len(raw)} bytes; the limit is {most_bytes} (server.max_message_bytes). Send "
            "fewer bids at once, or shorter explanations",
        )
    try:
        return spec.request_class.FromString(raw)
    except DecodeError:
        raise InvalidBid.of(
            "(request)",
            f"cannot be read as {spec.request_class.DESCRIPTOR.full_name}: malformed bytes, or "
            "text that is not UTF-8",
        ) from None


def foreseen(error: BaseException, call: Call) -> ConnectorError:
    """Any exception as one of ours; what is unforeseen is logged, never shown."""
    if isinstance(error, ConnectorError):
        return error
    log.error("unforeseen error in %s", call.spec.path, exc_info=error)
    if call.dispatched:
        return OutcomeUnknown(
            "The server failed after the change may have been sent. Retry with the SAME request id."
        )
    return InternalError("The server failed before anything was sent; nothing is held.")


class Status:
    """Parses the request, serializes the response, and makes statuses of exceptions."""

    name: ClassVar[str] = "status"

    def __init__(self, engines: Engines) -> None:
        self._most_bytes = engines.settings.server.max_message_bytes

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        del spec
        return True

    async def intercept(self, call_next: Next, request: bytes, call: Call) -> bytes:
        """Bytes to bytes. Raises only StatusError, and CancelledError when the caller is gone."""
        try:
            response = await call_next(parse(request, call.spec, self._most_bytes), call)
        except Exception as error:
            raise to_status(foreseen(error, call)) from error
        serialized: bytes = response.SerializeToString()
        return serialized
