"""Refusals in the Graph API's own form."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """The request is refused; nothing was changed."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        subcode: int = 0,
        kind: str = "OAuthException",
        status: int = 400,
        is_transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.subcode = subcode
        self.kind = kind
        self.status = status
        self.is_transient = is_transient

    @property
    def name(self) -> str:
        """`code` or `code/subcode`, for the journal."""
        return f"{self.code}/{self.subcode}" if self.subcode else str(self.code)

    def body(self, trace_id: str) -> dict[str, Any]:
        """The error object."""
        error: dict[str, Any] = {
            "message": str(self),
            "type": self.kind,
            "code": self.code,
            "fbtrace_id": trace_id,
        }
        if self.subcode:
            error["error_subcode"] = self.subcode
        if self.is_transient:
            error["is_transient"] = True
        return {"error": error}


def invalid(message: str, subcode: int = 0) -> Refused:
    """A parameter that is not taken."""
    return Refused(100, f"(#100) {message}", subcode=subcode)


def unknown_object(method: str, node_id: str) -> Refused:
    """An object that is not there, or not for this user: Meta does not say which."""
    return Refused(
        100,
        f"Unsupported {method.lower()} request. Object with ID '{node_id}' does not exist, cannot "
        "be loaded due to missing permissions, or does not support this operation",
        subcode=33,
        kind="GraphMethodException",
    )


def too_many_calls() -> Refused:
    """Quota, of an ad account."""
    return Refused(
        80004,
        "(#80004) There have been too many calls to this ad-account. Wait a bit and try again.",
        subcode=2446079,
    )


def too_many_insights() -> Refused:
    """Quota, of an ad account's insights."""
    return Refused(
        80000,
        "(#80000) There have been too many calls from this ad-account. Please wait a bit and try "
        "again.",
        subcode=2446079,
    )


def too_many_budget_changes() -> Refused:
    """More than four changes of an ad set's budget in an hour."""
    return Refused(
        613,
        "(#613) Calls to this api have exceeded the rate limit. This ad set's budget was changed "
        "too often.",
        subcode=1487632,
    )


def unexpected() -> Refused:
    """Meta's own kind of a 500."""
    return Refused(
        2,
        "An unexpected error has occurred. Please retry your request later.",
        status=500,
        is_transient=True,
    )
