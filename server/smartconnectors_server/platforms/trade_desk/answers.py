"""What an HTTP answer of The Trade Desk means for us. Pure.

| status | a change | a read |
|---|---|---|
| 2xx with a JSON object | accepted | read |
| 404 | UnknownTarget | UnknownTarget |
| 429 | RateLimited | RateLimited |
| any other 4xx but 408 | PlatformRejected | PlatformRejected |
| anything else | OutcomeUnknown | PlatformUnavailable |

The body of a refusal is `{"Message": ..., "ErrorDetails": [{"Property": ..., "Reasons": [...]}]}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from smartconnectors_server.connector.http import Answer
from smartconnectors_server.connector.secrecy import hidden
from smartconnectors_server.errors import (
    ConnectorError,
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.trade_desk import amounts

TOO_MANY = 429

_UNAUTHORIZED = 401
_REQUEST_TIMEOUT = 408
_NOT_FOUND = 404
_MAX_WORDS = 500


class TokenRefused(PlatformRejected):
    """It was refused because of its token: nothing was changed."""


def document_of(
    answer: Answer, *, changes: bool, retry_after_s: float, secrets: Iterable[str] = ()
) -> Mapping[str, Any]:
    """The JSON object of an accepted request.

    `retry_after_s` is how long to wait if the answer is 429. `secrets` are taken out of every text.
    Raises as the table above says.
    """
    if 200 <= answer.status < 300:
        try:
            document = amounts.parse(answer.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise unanswered(changes, f"{answer.status}, but the answer is not a JSON object")
        return document
    raise _refusal(answer, changes, retry_after_s, secrets)


def retry_after_of(answer: Answer) -> float | None:
    """How long The Trade Desk asks to wait, in seconds; None: it does not say."""
    text = answer.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None


def unanswered(
    changes: bool, words: str, metadata: Mapping[str, str] | None = None
) -> OutcomeUnknown | PlatformUnavailable:
    """The error for an answer that says nothing."""
    if changes:
        return OutcomeUnknown(
            f"The Trade Desk gave no usable answer to the change: {words}.", metadata=metadata
        )
    return PlatformUnavailable(f"The Trade Desk could not be read: {words}", metadata=metadata)


def _refusal(
    answer: Answer, changes: bool, retry_after_s: float, secrets: Iterable[str]
) -> ConnectorError:
    words = _words(answer, secrets)
    metadata = {"platform_status": str(answer.status)}
    if answer.status == TOO_MANY:
        return RateLimited(
            f"The Trade Desk refused it for quota: {words}",
            retry_after_s=retry_after_s,
            metadata=metadata,
            quota_subject="trade_desk",
        )
    if answer.status == _UNAUTHORIZED:
        return TokenRefused(f"The Trade Desk refused the credentials: {words}", metadata=metadata)
    if answer.status == _NOT_FOUND:
        return UnknownTarget(f"The Trade Desk does not know it: {words}", metadata=metadata)
    if 400 <= answer.status < 500 and answer.status != _REQUEST_TIMEOUT:
        return PlatformRejected(f"The Trade Desk refused it: {words}", metadata=metadata)
    return unanswered(changes, words, metadata)


def _words(answer: Answer, secrets: Iterable[str]) -> str:
    """The status and what the body says of it, without the secrets."""
    try:
        body = amounts.parse(answer.body)
    except ValueError:
        body = None
    parts = [str(answer.status)]
    if isinstance(body, dict):
        if isinstance(body.get("Message"), str):
            parts.append(body["Message"])
        details = body.get("ErrorDetails")
        parts += [_detail(detail) for detail in details] if isinstance(details, list) else []
    # Hidden before it is cut: half of a secret tells enough.
    words = hidden(" ".join(part for part in parts if part).rstrip("."), secrets)
    return words if len(words) <= _MAX_WORDS else words[:_MAX_WORDS] + "…"


def _detail(detail: Any) -> str:
    if not isinstance(detail, dict):
        return ""
    reasons = detail.get("Reasons")
    said = " ".join(str(reason) for reason in reasons) if isinstance(reasons, list) else ""
    return f"({detail.get('Property', '')}: {said})"
