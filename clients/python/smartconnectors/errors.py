"""Errors of calls, one class for each reason a caller would act on.

    ServiceError
    ├── Unreachable               no service answered
    ├── RequestRefused            mend the request
    │   ├── InvalidBid            INVALID_BID: `violations` names the fields
    │   ├── UnknownTarget         UNKNOWN_TARGET
    │   ├── CurrencyMismatch      CURRENCY_MISMATCH
    │   ├── StepTooLarge          STEP_TOO_LARGE
    │   ├── NotAReduction         NOT_A_REDUCTION
    │   ├── RequestIdReused       REQUEST_ID_REUSED
    │   └── NotFound              NOT_FOUND
    ├── RefusedForNow             the same bid may be taken later
    │   ├── BudgetExceeded        BUDGET_EXCEEDED, with the numbers
    │   ├── BudgetPaused          BUDGET_PAUSED
    │   ├── RateLimited           RATE_LIMITED
    │   └── Overloaded            OVERLOADED
    ├── NotSent                   provably not sent
    │   ├── CircuitOpenNoFallback CIRCUIT_OPEN_NO_FALLBACK
    │   ├── PlatformUnavailable   PLATFORM_UNAVAILABLE
    │   ├── LedgerUnavailable     LEDGER_UNAVAILABLE
    │   ├── ServerDraining        SERVER_DRAINING
    │   └── DeadlineTooShort      DEADLINE_TOO_SHORT
    ├── PlatformRejected          PLATFORM_REJECTED: the platform read it and refused it
    ├── NoBid                     NO_BID: the auction must not be bid on
    ├── NotKnownYet               ask again with the same request id
    │   ├── OutcomeUnknown        OUTCOME_UNKNOWN
    │   ├── RequestInProgress     REQUEST_IN_PROGRESS
    │   └── TargetInDoubt         TARGET_IN_DOUBT
    └── NotAllowed                show another token
        ├── Unauthenticated       UNAUTHENTICATED
        └── PermissionDenied      PERMISSION_DENIED

A reason that is younger than this client is a plain ServiceError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from smartconnectors.common.v1 import connector_pb2, errors_pb2
from smartconnectors.money import to_decimal

DOMAIN = "smartconnectors"
"""`ErrorInfo.domain` of the service's own errors."""
STATUS_DETAILS = "grpc-status-details-bin"

_RETRIED_REASONS = frozenset({"OUTCOME_UNKNOWN", "REQUEST_IN_PROGRESS"})
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of the request that is wrong."""

    field: str
    description: str


class ServiceError(Exception):
    """A call that failed, or one bid of a batch that was refused.

    Attributes:
        reason: why, as in `smartconnectors.common.v1.ErrorReason` without its prefix. Empty when
            the service itself did not answer: nothing listens there, or the deadline passed.
        message: for a person.
        code: the gRPC status code. Key on `reason` instead; gRPC emits some codes itself.
        metadata: the numbers, as strings.
        retry_after_s: when trying again can help, in seconds; None when the service gave no time.
        violations: the fields that are wrong.
    """

    kinds: ClassVar[dict[str, type[ServiceError]]] = {}
    """The class of each reason that has one."""

    def __init_subclass__(cls, reason: str = "") -> None:
        """`reason`: which errors are of this class."""
        if reason:
            ServiceError.kinds[reason] = cls

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        violations: tuple[Violation, ...] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.code = code
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.violations = violations

    @property
    def unreachable(self) -> bool:
        """True when no service answered at the target."""
        return not self.reason and self.code is grpc.StatusCode.UNAVAILABLE

    @property
    def may_retry(self) -> bool:
        """True when the same request, with the same request id, may be sent again to the same
        server, at once or after `retry_after_s`, without ever being carried out twice: the service
        either never sent it, or knows it and answers with what became of it.
        """
        # Without a reason, CANCELLED is what gRPC says of a call that reaches a server just as it
        # stops; a caller that cancels a call is not told by an error.
        stopping = self.code is grpc.StatusCode.CANCELLED and not self.reason
        unavailable = self.code is grpc.StatusCode.UNAVAILABLE
        return unavailable or stopping or self.reason in _RETRIED_REASONS


class Unreachable(ServiceError):
    """No service answered at the target."""


class RequestRefused(ServiceError):
    """The request has to be mended; nothing is held."""


class InvalidBid(RequestRefused, reason="INVALID_BID"):
    """A field is missing, malformed or out of range; `violations` names it."""


class UnknownTarget(RequestRefused, reason="UNKNOWN_TARGET"):
    """The platform does not know the campaign, ad group or account."""


class CurrencyMismatch(RequestRefused, reason="CURRENCY_MISMATCH"):
    """The currency is not the one of the budget or of the platform account."""


class StepTooLarge(RequestRefused, reason="STEP_TOO_LARGE"):
    """The change is larger than one step may be."""


class NotAReduction(RequestRefused, reason="NOT_A_REDUCTION"):
    """The bid said `reduce_only` and would not lower exposure."""


class RequestIdReused(RequestRefused, reason="REQUEST_ID_REUSED"):
    """The request id was used with another payload; the first request is untouched."""


class NotFound(RequestRefused, reason="NOT_FOUND"):
    """No budget, hold, bid or page with this name exists."""


class RefusedForNow(ServiceError):
    """The same bid may be taken later; nothing is held."""


class BudgetExceeded(RefusedForNow, reason="BUDGET_EXCEEDED"):
    """The amount does not fit the budget now.

    `retry_after_s` is when it fits if nothing else is bid; None when it never will (`blocked_by` is
    `limit`) or when only open holds are in the way (`holds`). Amounts are units of `currency`.
    """

    @property
    def budget_id(self) -> str:
        """The tightest budget that the amount does not fit."""
        return self.metadata.get("budget_id", "")

    @property
    def currency(self) -> str:
        """ISO 4217."""
        return self.metadata.get("currency_code", "")

    @property
    def blocked_by(self) -> str:
        """`limit`, `holds`, or empty when time helps."""
        return self.metadata.get("blocked_by", "")

    @property
    def amount(self) -> Decimal:
        """What was asked for."""
        return self._number("amount")

    @property
    def limit(self) -> Decimal:
        """The most that one window may have."""
        return self._number("limit")

    @property
    def committed(self) -> Decimal:
        """What the platforms accepted inside the window."""
        return self._number("committed")

    @property
    def held(self) -> Decimal:
        """Reserved for calls that are under way."""
        return self._number("held")

    @property
    def deferred(self) -> Decimal:
        """Reserved for bids that wait for the circuit breaker."""
        return self._number("deferred")

    @property
    def in_doubt(self) -> Decimal:
        """Sent, with an outcome that is not known yet."""
        return self._number("in_doubt")

    @property
    def remaining(self) -> Decimal:
        """What still fits."""
        return self._number("remaining")

    def _number(self, name: str) -> Decimal:
        return to_decimal(int(self.metadata.get(f"{name}_micros", "0")))


class BudgetPaused(RefusedForNow, reason="BUDGET_PAUSED"):
    """An operator paused the budget."""


class RateLimited(RefusedForNow, reason="RATE_LIMITED"):
    """The platform's rate limit is used up, or the target was changed a moment ago."""


class Overloaded(RefusedForNow, reason="OVERLOADED"):
    """The server has as many calls in flight as it takes."""


class NotSent(ServiceError):
    """Provably nothing was sent to the platform; nothing is held."""


class CircuitOpenNoFallback(NotSent, reason="CIRCUIT_OPEN_NO_FALLBACK"):
    """The circuit breaker is open and there is nothing to price a fallback bid from."""


class PlatformUnavailable(NotSent, reason="PLATFORM_UNAVAILABLE"):
    """The platform was not reached."""


class LedgerUnavailable(NotSent, reason="LEDGER_UNAVAILABLE"):
    """The ledger cannot be written, so nothing is admitted."""


class ServerDraining(NotSent, reason="SERVER_DRAINING"):
    """The server is stopping. A stream that ends with it is not complete: send every bid that was
    not answered again on a new stream, with the same request id.
    """


class DeadlineTooShort(NotSent, reason="DEADLINE_TOO_SHORT"):
    """Too little time was left to ask the platform."""


class PlatformRejected(ServiceError, reason="PLATFORM_REJECTED"):
    """The platform read the change and refused it; nothing is held."""


class NoBid(ServiceError, reason="NO_BID"):
    """The auction must not be bid on; `metadata` has the no-bid response."""


class NotKnownYet(ServiceError):
    """Something is under way. Ask again, a bid with the same request id."""


class OutcomeUnknown(NotKnownYet, reason="OUTCOME_UNKNOWN"):
    """The bid was sent; its amount counts until the platform has been asked."""


class RequestInProgress(NotKnownYet, reason="REQUEST_IN_PROGRESS"):
    """The same request is still running."""


class TargetInDoubt(NotKnownYet, reason="TARGET_IN_DOUBT"):
    """An earlier change of the same target has an unknown outcome; this one is not held."""


class NotAllowed(ServiceError):
    """The server does not take this from this caller."""


class Unauthenticated(NotAllowed, reason="UNAUTHENTICATED"):
    """There was no token, or none that is known."""


class PermissionDenied(NotAllowed, reason="PERMISSION_DENIED"):
    """The token is known, and may not do this."""


class FailedCall(Protocol):
    """What grpc raises, for its asynchronous and its other calls alike."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> object: ...


def error_of(error: FailedCall) -> ServiceError:
    """What a failed call says, read from the `google.rpc.Status` in its trailing metadata.

    Details that are missing, malformed or of another domain leave `reason` empty.
    """
    reason = ""
    metadata: Mapping[str, str] = {}
    retry_after_s = None
    violations: list[Violation] = []
    for detail in _status_of(error).details:
        info = error_details_pb2.ErrorInfo()
        retry = error_details_pb2.RetryInfo()
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(info) and info.domain == DOMAIN:
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
        elif detail.Unpack(bad):
            violations.extend(Violation(v.field, v.description) for v in bad.field_violations)
    return _kind_of(reason, error.code())(
        reason,
        error.details() or error.code().name,
        code=error.code(),
        metadata=metadata,
        retry_after_s=retry_after_s,
        violations=tuple(violations),
    )


def error_of_bid(refused: connector_pb2.BidError) -> ServiceError:
    """Why one bid of a batch or stream was refused."""
    reason = ""
    if refused.reason in errors_pb2.ErrorReason.values():
        name = errors_pb2.ErrorReason.Name(refused.reason)
        reason = name.removeprefix("ERROR_REASON_")
    code = _CODES.get(refused.code, grpc.StatusCode.UNKNOWN)
    nanos = refused.retry_after.ToNanoseconds() if refused.HasField("retry_after") else None
    return _kind_of(reason, code)(
        reason,
        refused.message,
        code=code,
        metadata=refused.metadata,
        retry_after_s=None if nanos is None else nanos / 1e9,
        violations=tuple(Violation(v.field, v.description) for v in refused.violations),
    )


def _kind_of(reason: str, code: grpc.StatusCode) -> type[ServiceError]:
    if not reason and code is grpc.StatusCode.UNAVAILABLE:
        return Unreachable
    return ServiceError.kinds.get(reason, ServiceError)


def _status_of(error: FailedCall) -> status_pb2.Status:
    trailers: object = error.trailing_metadata()
    for key, value in trailers or ():  # type: ignore[attr-defined] # pairs, in both of grpc's types
        if key == STATUS_DETAILS and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break  # a proxy's or another service's own idea of details
    return status_pb2.Status()
