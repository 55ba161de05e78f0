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
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
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
    answer: Answer,
    *,
    changes: bool,
    retry_after_s: float,
    secrets: Iterable[str] = (),
    may_be_empty: bool = False,
) -> Mapping[str, Any]:
    """The JSON object of an accepted request.

    `retry_after_s` is how long to wait if the answer is 429. `secrets` are taken out of every text.
    `may_be_empty`: an answer without a body is an empty object. Raises as the table above says.
    """
    if 200 <= answer.status < 300:
        if may_be_empty and not answer.body.strip():
            return {}
        try:
            document = amounts.parse(answer.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise unanswered(changes, f"{answer.status}, but the answer is not a JSON object")
        return document
    raise _refusal(answer, changes, retry_after_s, secrets)


def retry_after_of(answer: Answer, now: datetime) -> float | None:
    """How long the answer asks to wait, in seconds, also when it names an instant; None: it does
    not say. `now` is compared with an instant when the answer has no date of its own, which is
    preferred because it is by the same clock.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 9:
        return float(text)
    until = _instant(text)
    if until is None:
        return None
    since = _instant(answer.headers.get("date", "")) or now
    return max(0.0, (until - since).total_seconds())


def _instant(text: str) -> datetime | None:
    """An HTTP date; None: the text is none."""
    try:
        instant = parsedate_to_datetime(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


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
