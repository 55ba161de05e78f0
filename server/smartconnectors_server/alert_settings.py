"""Settings of alerts: `[alerts]`. When they are told, and where they go."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from smartconnectors_server.sections import Section
from smartconnectors_server.texts import TrimmedSecret

_BEGINS_SECRETS = "whsec_"
KindName = Literal[
    "budget_warning",
    "budget_critical",
    "budget_exhausted",
    "budget_eased",
    "rate_limit_near",
    "rate_limit_eased",
    "circuit_opened",
    "circuit_closed",
    "in_doubt_too_long",
    "in_doubt_ended",
    "reported_spend_over",
    "ledger_slow",
    "ledger_recovered",
    "unknown_request_id",
    "unknown_request_id_ended",
    "platform_not_connected",
    "platform_connected",
    "access_file_unusable",
    "access_file_usable",
]


def key_of(secret: str) -> bytes:
    """The bytes of a secret as Standard Webhooks writes it. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(_BEGINS_SECRETS), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(_BEGINS_SECRETS) or not 24 <= len(key) <= 64:
        raise ValueError('not "whsec_" and the base64 of 24 to 64 bytes')
    return key


def _url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # such as a port that is no number
        named = False
    if not named or not text.isprintable() or any(each.isspace() for each in text):
        raise ValueError("not an address that begins with https:// or http://")
    return url


def _secret(secret: SecretStr) -> SecretStr:
    if secret.get_secret_value():
        key_of(secret.get_secret_value())
    return secret


class WebhookSettings(Section):
    """One receiver of alerts."""

    url: Annotated[TrimmedSecret, AfterValidator(_url)]
    """Where alerts are posted to. It may be a secret itself, so it is shown nowhere."""
    secret: Annotated[TrimmedSecret, AfterValidator(_secret)] = SecretStr("")
    """What deliveries are signed with, as the Standard Webhooks specification writes it: `whsec_`
    and the base64 of 24 to 64 random bytes."""
    format: Literal["standard", "slack"] = "standard"
    """`standard`: JSON with `type`, `timestamp` and `data`, always signed. `slack`: a message as
    Slack's incoming webhooks take it, signed when there is a secret."""
    kinds: tuple[KindName, ...] = ()
    """These kinds alone. Empty: all of them."""

    @model_validator(mode="after")
    def _signed(self) -> WebhookSettings:
        if self.format == "standard" and not self.secret.get_secret_value():
            raise ValueError('needs a secret to sign with; "slack" does without')
        return self


def _names(webhooks: Mapping[str, WebhookSettings]) -> Mapping[str, WebhookSettings]:
    if "log" in webhooks:
        raise ValueError('"log" is the name of the log')
    return webhooks


WebhookName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]


class AlertSettings(Section):
    """What is told to operators: budgets near their limits, quotas nearly used up, circuits that
    open, platforms that cannot be connected, bids in doubt for long, a ledger that is slow or lacks
    lines, a tokens file or key set that cannot be used. Each is told once when it begins and once
    when it ends, over restarts too, with a severity: `info`, `warning` or `critical`. Every alert
    is in the audit ledger and in the log.
    """

    in_doubt_after_s: float = Field(900.0, gt=0, le=30 * 86_400)
    """How long it may be unknown what became of a bid before that is told, in seconds."""
    ledger_slow_ms: int = Field(1_000, ge=1, le=600_000)
    """A commit of the ledger that takes longer is told, in milliseconds; that it has ended, after a
    minute without one."""
    unknown_request_ids: bool = True
    """Whether it is told that a platform shows a request id which the ledger does not know: the
    ledger is an old copy or a new one, or another server changes the same campaign. False where
    several servers share campaigns. Google Ads alone carries the ids."""
    begins_after_s: float = Field(30.0, ge=0, le=86_400)
    """Seconds that a condition that may come and go must last before it is told: a rate limit that
    is nearly used up, a platform that cannot be connected, a tokens file or key set that cannot be
    used. A circuit breaker that opens, and a
    budget that comes near its limit, are told at once."""
    ends_after_s: float = Field(60.0, ge=0, le=86_400)
    """Seconds that such a condition, or an open circuit breaker, must be over before its end is
    told. What comes back meanwhile is not told again."""
    webhooks: Annotated[Mapping[WebhookName, WebhookSettings], AfterValidator(_names)] = Field(
        default_factory=dict
    )
    """Name -> a receiver: a table for each, with `url`, `secret`, `format` ("standard" or "slack")
    and `kinds`. Better in the environment than in a file: SMART_CONNECTORS_WEBHOOK_<NAME>_URL and
    SMART_CONNECTORS_WEBHOOK_<NAME>_SECRET, or files that they name with _FILE at their end."""


def webhook_variables(document: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Environment variable -> path of keys, for each webhook that a configuration file names."""
    section = document.get("alerts")
    webhooks = section.get("webhooks") if isinstance(section, Mapping) else None
    for name in webhooks if isinstance(webhooks, Mapping) else ():
        stem = f"SMART_CONNECTORS_WEBHOOK_{str(name).upper().replace('-', '_')}"
        for key in ("url", "secret"):
            yield f"{stem}_{key.upper()}", ("alerts", "webhooks", name, key)
