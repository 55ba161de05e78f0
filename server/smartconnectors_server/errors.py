"""Every error a caller can get, and what each means for money and for the circuit breaker.

    ConnectorError
    ├── RequestError              the caller can mend it: nothing held, never the platform's fault
    │   ├── InvalidBid            INVALID_BID
    │   ├── UnknownTarget         UNKNOWN_TARGET
    │   ├── CurrencyMismatch      CURRENCY_MISMATCH
    │   ├── StepTooLarge          STEP_TOO_LARGE
    │   ├── NotAReduction         NOT_A_REDUCTION
    │   ├── RequestIdReused       REQUEST_ID_REUSED
    │   ├── RequestInProgress     REQUEST_IN_PROGRESS
    │   ├── DeadlineTooShort      DEADLINE_TOO_SHORT
    │   ├── NotFound              NOT_FOUND
    │   ├── Unauthenticated       UNAUTHENTICATED
    │   └── PermissionDenied      PERMISSION_DENIED
    ├── Veto                      our own refusal: nothing held, nothing sent
    │   ├── BudgetExceeded        BUDGET_EXCEEDED
    │   ├── BudgetPaused          BUDGET_PAUSED
    │   ├── RateLimited           RATE_LIMITED (also the platform's own "too many")
    │   ├── Overloaded            OVERLOADED
    │   ├── TargetInDoubt         TARGET_IN_DOUBT
    │   ├── CircuitOpenNoFallback CIRCUIT_OPEN_NO_FALLBACK
    │   ├── NoBid                 NO_BID
    │   ├── LedgerUnavailable     LEDGER_UNAVAILABLE
    │   └── ServerDraining        SERVER_DRAINING
    ├── PlatformRejected          PLATFORM_REJECTED: it read the change and refused it
    ├── PlatformUnavailable       PLATFORM_UNAVAILABLE: provably nothing was sent
    ├── OutcomeUnknown            OUTCOME_UNKNOWN: something was sent; the amount is in doubt
    └── InternalError             INTERNAL: our own fault, before anything was sent

A class says two things that nothing else may decide: `outcome`, what it means for money that is
held, and `platform_fault`, whether it counts as a failure of the platform. An exception outside
this tree means `Outcome.UNKNOWN` when anything was dispatched, else `Outcome.NOT_SENT`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from smartconnectors_server.plain_text import printable


class Outcome(enum.Enum):
    """What is known of a dispatched change."""

    NOT_SENT = "not_sent"
    """Provably nothing reached the platform: give the money back, forget the request."""
    REJECTED = "rejected"
    """The platform read it and refused it: give the money back, remember the answer."""
    ACCEPTED = "accepted"
    """The platform has it: the money is committed."""
    UNKNOWN = "unknown"
    """Anything else: the money stays counted until the platform has been asked."""


class Code(enum.Enum):
    """gRPC status codes by name, so that nothing but the status interceptor imports grpc."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    ABORTED = "ABORTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong. `field` is its path in the request, or `(request)`."""

    field: str
    description: str


DRAIN_RETRY_S = 1.0
"""When to come back to a server that stops, in seconds: it may be started again at once."""
MOST_MESSAGE_BYTES = 1500
MOST_METADATA_BYTES = 1000
"""Of one value. All of an error must fit into the 8 KiB that gRPC takes for trailing metadata."""


def plain(text: str, most_bytes: int) -> str:
    """The text as every protocol, database and terminal takes it: of a platform's own words
    anything may come. What is no character is written as an escape; what is too long is cut.
    """
    if not text.isprintable():
        text = printable(text[:most_bytes])
    content = text.encode()
    if len(content) <= most_bytes:
        return text
    return content[: most_bytes - len("…".encode())].decode(errors="ignore") + "…"


class ConnectorError(Exception):
    """An error with a reason from the contract.

    Attributes:
        message: one or two sentences for a person; never a secret. Always `plain`, as is metadata.
        retry_after_s: when retrying can help, in seconds from now; None when it cannot.
        metadata: the numbers, as strings, for `google.rpc.ErrorInfo.metadata`.
        violations: the fields that are wrong.
        quota_subject: whose quota is exhausted, for `google.rpc.QuotaFailure`; empty if none.
    """

    reason: ClassVar[str]
    code: ClassVar[Code]
    outcome: ClassVar[Outcome] = Outcome.NOT_SENT
    platform_fault: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        quota_subject: str = "",
    ) -> None:
        self.message = plain(message, MOST_MESSAGE_BYTES)
        super().__init__(self.message)
        self.retry_after_s = retry_after_s
        self.metadata = {
            key: plain(value, MOST_METADATA_BYTES) for key, value in (metadata or {}).items()
        }
        self.violations = violations
        self.quota_subject = quota_subject


class RequestError(ConnectorError):
    """The caller can mend it."""


class InvalidBid(RequestError):
    """A field is missing, malformed or out of range."""

    reason = "INVALID_BID"
    code = Code.INVALID_ARGUMENT

    @classmethod
    def of(cls, field: str, description: str) -> InvalidBid:
        """The error for one field."""
        return cls(f"{field}: {description}", violations=(Violation(field, description),))


class UnknownTarget(RequestError):
    """The platform does not know the campaign, ad group or account."""

    reason = "UNKNOWN_TARGET"
    code = Code.INVALID_ARGUMENT


class CurrencyMismatch(RequestError):
    """The currency is not the budget's."""

    reason = "CURRENCY_MISMATCH"
    code = Code.INVALID_ARGUMENT


class StepTooLarge(RequestError):
    """The change is larger than one step may be."""

    reason = "STEP_TOO_LARGE"
    code = Code.INVALID_ARGUMENT


class NotAReduction(RequestError):
    """`reduce_only` was asked, and the change would not lower exposure."""

    reason = "NOT_A_REDUCTION"
    code = Code.FAILED_PRECONDITION


class RequestIdReused(RequestError):
    """The request id was used with another payload."""

    reason = "REQUEST_ID_REUSED"
    code = Code.ALREADY_EXISTS


class RequestInProgress(RequestError):
    """The same request is still running."""

    reason = "REQUEST_IN_PROGRESS"
    code = Code.ABORTED


class DeadlineTooShort(RequestError):
    """Too little time was left to ask the platform."""

    reason = "DEADLINE_TOO_SHORT"
    code = Code.DEADLINE_EXCEEDED


class NotFound(RequestError):
    """No budget, hold or page has this name."""

    reason = "NOT_FOUND"
    code = Code.NOT_FOUND


class Unauthenticated(RequestError):
    """Nobody is known by what the caller showed, or it showed nothing."""

    reason = "UNAUTHENTICATED"
    code = Code.UNAUTHENTICATED


class PermissionDenied(RequestError):
    """The caller is known and may not do this."""

    reason = "PERMISSION_DENIED"
    code = Code.PERMISSION_DENIED


class Veto(ConnectorError):
    """Our own refusal: nothing is held, nothing was sent."""


class BudgetExceeded(Veto):
    """The amount does not fit the budget now."""

    reason = "BUDGET_EXCEEDED"
    code = Code.RESOURCE_EXHAUSTED


class BudgetPaused(Veto):
    """An operator paused the budget."""

    reason = "BUDGET_PAUSED"
    code = Code.FAILED_PRECONDITION


class RateLimited(Veto):
    """One more call would exceed a rate limit: ours, or the platform's own (it said so)."""

    reason = "RATE_LIMITED"
    code = Code.RESOURCE_EXHAUSTED


class Overloaded(Veto):
    """The server has as many calls in flight as it takes."""

    reason = "OVERLOADED"
    code = Code.RESOURCE_EXHAUSTED


class TargetInDoubt(Veto):
    """An earlier change of the same target has an unknown outcome."""

    reason = "TARGET_IN_DOUBT"
    code = Code.ABORTED


class CircuitOpenNoFallback(Veto):
    """The breaker is open and there is nothing to price a fallback bid from."""

    reason = "CIRCUIT_OPEN_NO_FALLBACK"
    code = Code.UNAVAILABLE


class NoBid(Veto):
    """An auction that must not be bid on; the metadata holds the answer for its exchange."""

    reason = "NO_BID"
    code = Code.FAILED_PRECONDITION


class LedgerUnavailable(Veto):
    """The ledger cannot be written, so nothing is admitted."""

    reason = "LEDGER_UNAVAILABLE"
    code = Code.UNAVAILABLE


class ServerDraining(Veto):
    """The server is stopping: what was not sent yet is refused, and open streams are ended."""

    reason = "SERVER_DRAINING"
    code = Code.UNAVAILABLE

    @classmethod
    def refused(cls) -> ServerDraining:
        """The error for one call or bid."""
        return cls(
            "The server is stopping. Nothing was sent, nothing is held. Retry with the same "
            "request id.",
            retry_after_s=DRAIN_RETRY_S,
        )

    @classmethod
    def ended(cls, what: str) -> ServerDraining:
        """The error that a stream ends with. `what`: what to do about it."""
        return cls(
            f"The server is stopping and has ended this stream. {what}",
            retry_after_s=DRAIN_RETRY_S,
        )


class PlatformRejected(ConnectorError):
    """The platform read the change and refused it."""

    reason = "PLATFORM_REJECTED"
    code = Code.FAILED_PRECONDITION
    outcome = Outcome.REJECTED


class PlatformUnavailable(ConnectorError):
    """The platform was not reached; provably nothing was sent."""

    reason = "PLATFORM_UNAVAILABLE"
    code = Code.UNAVAILABLE
    platform_fault = True


class OutcomeUnknown(ConnectorError):
    """Something was sent and its outcome is not known."""

    reason = "OUTCOME_UNKNOWN"
    code = Code.UNKNOWN
    outcome = Outcome.UNKNOWN
    platform_fault = True


class InternalError(ConnectorError):
    """A fault of this server, before anything was sent."""

    reason = "INTERNAL"
    code = Code.INTERNAL
