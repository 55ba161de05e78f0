"""Posting an alert to a receiver of one's own or to Slack, signed by the Standard Webhooks
specification. What is said of a failure names neither the address nor the secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from smartconnectors_server.alert_settings import WebhookSettings, key_of
from smartconnectors_server.alerts.delivery import Gone, NotDelivered
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.ledger import Alert, Severity
from smartconnectors_server.outgoing_proxy import Outgoing

TIMEOUT_S = 10.0
LONGEST_RETRY_AFTER_S = 86_400.0
_GONE = 410
_LATER = frozenset({408, 425, 429})
"""Answers that say nothing of the one alert: the receiver is to be asked later."""


def standard_payload(alert: Alert) -> dict[str, Any]:
    """What a receiver of one's own gets. Micros are strings, as in the contract's JSON."""
    data: dict[str, Any] = {
        "id": alert.id,
        "severity": alert.severity.value,
        "platform": alert.platform,
        "budget_ids": list(alert.budget_ids),
        "request_id": alert.request_id,
        "amount_micros": str(alert.amount_micros),
        "currency_code": alert.currency_code,
        "text": alert.text,
    }
    if alert.is_of_level:
        data["level"] = alert.level.name.lower()
    moment = datetime.fromtimestamp(alert.at_ns // 10**6 / 1000, tz=UTC)
    at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"type": alert.kind.value, "timestamp": at, "data": data}


def slack_payload(alert: Alert) -> dict[str, Any]:
    """What Slack's incoming webhooks take."""
    text = f"{_MARKS[alert.severity]} *{alert.severity.name}* {_escaped(alert.text)}"
    facts = f"{alert.kind.value} · {alert.id}"
    return {
        "text": text,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": facts}]},
        ],
    }


_MARKS = {
    Severity.INFO: ":white_check_mark:",
    Severity.WARNING: ":warning:",
    Severity.CRITICAL: ":rotating_light:",
}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class Webhook:
    """One receiver."""

    def __init__(
        self,
        name: str,
        settings: WebhookSettings,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
        outgoing: Outgoing | None = None,
    ) -> None:
        through = outgoing or Outgoing()
        self._through = through.for_aiohttp(settings.url.get_secret_value())
        self._for_the_proxy = through.headers_for(settings.url.get_secret_value())
        self.name = name
        self._settings = settings
        self._session = session
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    def wants(self, alert: Alert) -> bool:
        """Whether it is one of the kinds that were asked for."""
        return not self._settings.kinds or alert.kind.value in self._settings.kinds

    async def send(self, alert: Alert) -> None:
        """Posts it once. Raises NotDelivered or Gone."""
        slack = self._settings.format == "slack"
        payload = slack_payload(alert) if slack else standard_payload(alert)
        body = json.dumps(payload, separators=(",", ":")).encode()
        headers = {"content-type": "application/json", **self._signing(alert.id, body)}
        headers |= self._for_the_proxy
        try:
            async with self._session.post(
                self._settings.url.get_secret_value(),
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
                **self._through,
            ) as answer:
                self._judge(answer.status, answer.headers.get("retry-after", ""))
        except TimeoutError:
            raise NotDelivered("no answer in time", down=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotDelivered(f"not reached: {type(error).__name__}", down=True) from None

    def _signing(self, message_id: str, body: bytes) -> dict[str, str]:
        headers = {"webhook-id": message_id}
        if secret := self._settings.secret.get_secret_value():
            now_s = self._clock.wall_ns() // NANOS_PER_SECOND
            headers["webhook-timestamp"] = str(now_s)
            headers["webhook-signature"] = signature(key_of(secret), message_id, now_s, body)
        return headers

    def _judge(self, status: int, retry_after: str) -> None:
        if 200 <= status < 300:
            return
        if status == _GONE:
            raise Gone
        down = status in _LATER or status >= 500
        raise NotDelivered(f"answered {status}", down=down, wait_s=self._wait_s(retry_after))

    def _wait_s(self, retry_after: str) -> float:
        """Seconds or a date; 0: it does not say when."""
        if retry_after.isascii() and retry_after.isdecimal():
            wait_s = float(retry_after[:9])
        else:
            try:
                moment = parsedate_to_datetime(retry_after)
            except ValueError:
                return 0.0
            wait_s = moment.timestamp() - self._clock.wall_ns() / NANOS_PER_SECOND
        return min(max(0.0, wait_s), LONGEST_RETRY_AFTER_S)
