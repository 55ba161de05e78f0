"""The Graph API over one HTTP transport: reads, posts and batches, each answer understood.

The token travels in the Authorization header, never in a URL. `appsecret_proof` is a parameter,
because Meta takes it nowhere else: it opens nothing without the token, and nothing here logs it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr

from smartconnectors_server.connector import QuotaSignal, Traffic
from smartconnectors_server.connector.http import Answer, HttpTransport
from smartconnectors_server.connector.secrecy import hidden
from smartconnectors_server.errors import ConnectorError, OutcomeUnknown, PlatformUnavailable
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.platforms.meta import read_back, refusals, sandbox_access, usage
from smartconnectors_server.platforms.meta.options import MetaOptions
from smartconnectors_server.platforms.meta.refusals import Answered
from smartconnectors_server.platforms.meta.wire import Form

GRAPH_URL = "https://graph.facebook.com"
MAX_BATCH = 50

_VALIDATE_ONLY = '["validate_only"]'


def batch_form(posts: Sequence[tuple[str, Form]], *, validate_only: Sequence[bool]) -> Form:
    """The form of a batch of posts, each to one node."""
    parts = [
        {
            "method": "POST",
            "relative_url": node_id,
            "body": urlencode(posted(form, validate_only=only)),
        }
        for (node_id, form), only in zip(posts, validate_only, strict=True)
    ]
    return {"batch": json.dumps(parts)}


def posted(form: Form, *, validate_only: bool) -> Form:
    """A form as it is posted: with what is to be read back, or to be validated alone."""
    if validate_only:
        return {**form, "execution_options": _VALIDATE_ONLY}
    fields = read_back.fields_of(form)
    return {**form, "fields": fields} if fields else form


def status_form(*, paused: bool) -> Form:
    """The form that pauses a campaign, or lets it run."""
    return {"status": "PAUSED" if paused else "ACTIVE"}


class GraphApi:
    """Raises only the errors of `smartconnectors_server.errors`. Never sends anything twice."""

    def __init__(
        self,
        options: MetaOptions,
        *,
        account_id: str,
        endpoint: str | None,
        timeout_ms: int,
        on_quota: Callable[[QuotaSignal], None],
        outgoing: Outgoing | None = None,
    ) -> None:
        """`account_id`: the ad account whose quota counts. `endpoint`: a sandbox as `host:port` or
        as a URL, spoken to with the sandbox's own credentials, so that the real ones cannot be sent
        there; None: Meta.
        """
        in_sandbox = endpoint is not None
        token = sandbox_access.ACCESS_TOKEN if in_sandbox else options.access_token
        secret = sandbox_access.APP_SECRET if in_sandbox else options.app_secret
        self._token = token
        self._proof = _proof(secret, token)
        self._secrets = tuple(
            each
            for each in (token.get_secret_value(), secret.get_secret_value(), self._proof)
            if each
        )
        self._version = options.api_version
        self._account_id = account_id
        self._on_quota = on_quota
        self._http = HttpTransport(
            "Meta", _url_of(endpoint), timeout_ms=timeout_ms, outgoing=outgoing
        )
        self._is_open = False
        self.quota_tier = ""
        """Which quota Meta last said that we have, in its own word; empty: it has not said."""

    async def open(self) -> None:
        """Makes the sessions; sends nothing."""
        await self._http.open()
        self._is_open = True

    async def close(self) -> None:
        """Closes every connection."""
        self._is_open = False
        await self._http.close()

    async def get(self, node_id: str, fields: str) -> Any:
        """Reads fields of one node. Raises PlatformUnavailable, PlatformRejected, UnknownTarget,
        RateLimited.
        """
        self._check_open()
        answer = await self._http.send(
            "GET",
            self._path(node_id),
            changes=False,
            headers=self._headers(),
            params={"fields": fields, **self._proof_field()},
        )
        return self._understood(_answered(answer), changes=False)

    async def insights(self, account_id: str, query: Mapping[str, str], *, timeout_ms: int) -> Any:
        """Reads one page of an account's insights. Raises as `get`."""
        self._check_open()
        answer = await self._http.send(
            "GET",
            f"{self._path(account_id)}/insights",
            changes=False,
            headers=self._headers(),
            params={**query, **self._proof_field()},
            timeout_ms=timeout_ms,
        )
        return self._understood(_answered(answer), changes=False, traffic=Traffic.REPORTS)

    async def post(self, node_id: str, form: Form, *, validate_only: bool) -> str:
        """Changes one node; returns Meta's trace id.

        Raises:
            PlatformUnavailable: provably nothing was sent.
            PlatformRejected, UnknownTarget, RateLimited: Meta refused it.
            OutcomeUnknown: anything else.
        """
        self._check_open()
        answer = await self._http.send(
            "POST",
            self._path(node_id),
            changes=True,
            headers=self._headers(),
            form={**posted(form, validate_only=validate_only), **self._proof_field()},
        )
        answered = _answered(answer)
        self._check_changed(answered, node_id, {} if validate_only else form)
        return answered.trace_id

    async def batch(
        self, posts: Sequence[tuple[str, Form]], *, validate_only: Sequence[bool]
    ) -> list[str | ConnectorError]:
        """Changes many nodes, one part of a batch each; the trace id or the error of each.

        Raises, as `post`, what holds for all of them.
        """
        self._check_open()
        answer = await self._http.send(
            "POST",
            f"/{self._version}/",
            changes=True,
            headers=self._headers(),
            form={**batch_form(posts, validate_only=validate_only), **self._proof_field()},
        )
        document = self._understood(_answered(answer), changes=True)
        if not isinstance(document, list):
            raise OutcomeUnknown("Meta's answer to the batch is not a list of answers")
        answers = [*document, *([None] * len(posts))][: len(posts)]
        return [
            self._understood_part(part, node_id, {} if only else form)
            for part, (node_id, form), only in zip(answers, posts, validate_only, strict=True)
        ]

    def _understood_part(self, part: Any, node_id: str, form: Form) -> str | ConnectorError:
        # null is Meta's word for a part that it did not finish in time.
        if not isinstance(part, dict) or not isinstance(part.get("code"), int):
            return OutcomeUnknown("Meta gave no answer to this part of the batch")
        answered = Answered(part["code"], _headers_of(part.get("headers")), str(part.get("body")))
        try:
            self._check_changed(answered, node_id, form)
        except ConnectorError as error:
            return error
        return answered.trace_id

    def _understood(
        self, answered: Answered, *, changes: bool, traffic: Traffic = Traffic.BIDS
    ) -> Any:
        """What came back. Hands on what was said of our quota, whatever came."""
        self.quota_tier = usage.tier_of(answered.headers) or self.quota_tier
        document, error, signals = refusals.read(
            answered,
            changes=changes,
            account_id=self._account_id,
            traffic=traffic,
            secrets=self._secrets,
        )
        self._heard(signals)
        if error is not None:
            raise error
        return document

    def _check_changed(self, answered: Answered, node_id: str, form: Form) -> None:
        """Raises what the answer to one change means, unless it was made."""
        error, signals = refusals.changed(
            answered, node_id, form, account_id=self._account_id, secrets=self._secrets
        )
        self._heard(signals)
        if error is not None:
            raise error

    def _heard(self, signals: Sequence[QuotaSignal]) -> None:
        for signal in signals:
            detail = hidden(signal.detail, self._secrets)
            self._on_quota(dataclasses.replace(signal, detail=detail))

    def _check_open(self) -> None:
        if not self._is_open:
            raise PlatformUnavailable("Meta is not connected yet")

    def _path(self, node_id: str) -> str:
        return f"/{self._version}/{node_id}"

    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._token.get_secret_value()}"}

    def _proof_field(self) -> Mapping[str, str]:
        return {"appsecret_proof": self._proof} if self._proof else {}


def _url_of(endpoint: str | None) -> str:
    if endpoint is None:
        return GRAPH_URL
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    return url.rstrip("/")


def _proof(app_secret: SecretStr, token: SecretStr) -> str:
    """Hex HMAC-SHA256 of the token under the app's secret; empty without a secret."""
    key = app_secret.get_secret_value()
    if not key:
        return ""
    return hmac.new(key.encode(), token.get_secret_value().encode(), hashlib.sha256).hexdigest()


def _answered(answer: Answer) -> Answered:
    return Answered(answer.status, answer.headers, answer.body)


def _headers_of(listed: Any) -> dict[str, str]:
    """Headers of a part of a batch: `[{"name": ..., "value": ...}]`, names in lower case."""
    if not isinstance(listed, list):
        return {}
    return {
        str(header.get("name", "")).lower(): str(header.get("value", ""))
        for header in listed
        if isinstance(header, dict)
    }
