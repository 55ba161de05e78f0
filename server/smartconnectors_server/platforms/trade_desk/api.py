"""REST v3 of The Trade Desk: its header, its quota, its answers. Nothing is repeated but a read
whose token had run out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.connector import Gate, QuotaSignal, Traffic
from smartconnectors_server.connector.http import Answer, HttpTransport
from smartconnectors_server.errors import PlatformUnavailable
from smartconnectors_server.platforms.trade_desk import amounts, answers
from smartconnectors_server.platforms.trade_desk.answers import TokenRefused
from smartconnectors_server.platforms.trade_desk.state import results_of
from smartconnectors_server.platforms.trade_desk.tokens import (
    TOKEN_LIFE_MIN,
    Credentials,
    Tokens,
)

PAGE_SIZE = 200
FIRST_BACK_OFF_S = 2.0
LONGEST_BACK_OFF_S = 300.0

_LOGIN_PATH = "/authentication"
STRICT_MODE = {"TTD-Strict-Mode": "true"}
"""Asks for a 400 instead of a 200 where a change names a property that would be ignored."""

Document = Mapping[str, Any]


class BackOff:
    """How long to wait after a 429 that does not say: twice as long each time, until one passes."""

    def __init__(self) -> None:
        self._refusals = 0

    def refused(self, asked_s: float | None) -> float:
        """Counts one refusal; what The Trade Desk asks for goes before our own guess."""
        wait_s = min(FIRST_BACK_OFF_S * 2.0**self._refusals, LONGEST_BACK_OFF_S)
        self._refusals = min(self._refusals + 1, 32)
        return wait_s if asked_s is None else asked_s

    def passed(self) -> None:
        """Starts over."""
        self._refusals = 0


class Api:
    """One account's REST API."""

    def __init__(
        self,
        transport: HttpTransport,
        credentials: Credentials,
        gate: Gate,
        clock: Clock,
        *,
        strict_mode: bool = True,
        page_size: int = PAGE_SIZE,
    ) -> None:
        """`strict_mode`: changes ask for it. `page_size`: how many entities a query is answered at
        a time.
        """
        self._clock = clock
        self._of_changes = STRICT_MODE if strict_mode else {}
        self._page_size = page_size
        self._transport = transport
        self._credentials = credentials
        self._gate = gate
        self._tokens = Tokens(credentials, clock, self._log_in)
        self._back_offs: defaultdict[str, BackOff] = defaultdict(BackOff)
        """By endpoint, because each is limited for itself."""

    async def ready(self) -> None:
        """Fetches a token when there is none that lasts, so that a change need not wait for it.

        Raises PlatformRejected, PlatformUnavailable, RateLimited.
        """
        await self._tokens.get()

    async def read(
        self, what: str, method: str, path: str, body: Document | None = None
    ) -> Document:
        """Reads one document; once more with a new token when the old one had run out.

        Raises UnknownTarget, PlatformRejected, PlatformUnavailable, RateLimited.
        """
        token = await self._tokens.get()
        try:
            return await self._read(what, method, path, body, token)
        except TokenRefused:
            if not self._tokens.refused(token):
                raise
        return await self._read(what, method, path, body, await self._tokens.get())

    async def read_all(
        self, what: str, path: str, body: Document, *, most: int | None = None
    ) -> list[Document]:
        """Every page of a query; with `most` none after so many entities were found, which may be
        more by less than a page. Raises as `read`, and UnreadableEntity.
        """
        found: list[Document] = []
        while True:
            page = {**body, "PageStartIndex": len(found), "PageSize": self._page_size}
            document = await self.read(what, "POST", path, page)
            results = results_of(document)
            found += results
            if len(results) < self._page_size or (most is not None and len(found) >= most):
                return found

    async def report(self, path: str, body: Document, timeout_ms: int) -> Document:
        """Asks about reports, inside the caller's own gate. Raises as `read`, but once only."""
        token = await self._tokens.get()
        answer = await self._send("POST", path, body, token, changes=False, timeout_ms=timeout_ms)
        try:
            return self._document(path, answer, changes=False)
        except TokenRefused:
            self._tokens.refused(token)  # the next one comes with a fresh token
            raise

    async def change(
        self,
        method: str,
        path: str,
        body: Document,
        dispatched: Callable[[], None],
        *,
        may_be_empty: bool = False,
    ) -> Document:
        """Sends one change, once; what it was answered with, which does not say by itself that
        the change was applied. `dispatched` is called when bytes may be about to leave.
        `may_be_empty`: an answer without a body is an empty document.

        Raises UnknownTarget, PlatformRejected, RateLimited, PlatformUnavailable, OutcomeUnknown.
        """
        token = await self._tokens.get()
        dispatched()
        answer = await self._send(method, path, body, token, changes=True)
        try:
            return self._document(path, answer, changes=True, may_be_empty=may_be_empty)
        except TokenRefused:
            self._tokens.refused(token)  # the next one comes with a fresh token
            raise

    async def _read(
        self, what: str, method: str, path: str, body: Document | None, token: str
    ) -> Document:
        async with self._gate.read(what):
            answer = await self._send(method, path, body, token, changes=False)
            return self._document(path, answer, changes=False)

    async def _log_in(self) -> str:
        body = {
            "Login": self._credentials.login,
            "Password": self._credentials.password.get_secret_value(),
            "TokenExpirationInMinutes": TOKEN_LIFE_MIN,
        }
        # A login that is refused for quota must not stop bids that have a token.
        async with self._gate.read("token", Traffic.LOGIN):
            answer = await self._send("POST", _LOGIN_PATH, body, "", changes=False)
            token = self._document(_LOGIN_PATH, answer, changes=False).get("Token")
            if isinstance(token, str) and token and token.isascii() and token.isprintable():
                return token
            raise PlatformUnavailable("The Trade Desk answered the login without a token")

    async def _send(
        self,
        method: str,
        path: str,
        body: Document | None,
        token: str,
        *,
        changes: bool,
        timeout_ms: int | None = None,
    ) -> Answer:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["TTD-Auth"] = token
        if changes:
            headers.update(self._of_changes)
        return await self._transport.send(
            method,
            f"/v3{path}",
            changes=changes,
            headers=headers,
            content=None if body is None else amounts.write(body),
            timeout_ms=timeout_ms,
        )

    def _document(
        self, path: str, answer: Answer, *, changes: bool, may_be_empty: bool = False
    ) -> Document:
        retry_after_s = 0.0
        back_off = self._back_offs[_endpoint_of(path, changes=changes)]
        if answer.status == answers.TOO_MANY:
            now = datetime.fromtimestamp(self._clock.wall_ns() / NANOS_PER_SECOND, UTC)
            retry_after_s = back_off.refused(answers.retry_after_of(answer, now))
            # Each endpoint has a limit of its own, so a read that is refused stops no change.
            binds = () if changes else (Traffic.READS,)
            self._gate.tighten(QuotaSignal(retry_after_s, detail="429", binds=binds))
        elif 200 <= answer.status < 300:
            back_off.passed()
        return answers.document_of(
            answer,
            changes=changes,
            retry_after_s=retry_after_s,
            secrets=self._tokens.secrets(),
            may_be_empty=may_be_empty,
        )


def _endpoint_of(path: str, *, changes: bool) -> str:
    """`/adgroup/query/campaign` -> `adgroup/query`; ids are left out."""
    parts = path.split("/")[1:3]
    named = parts if parts[-1] in ("query", "reportexecution") else parts[:1]
    return "/".join([*named, "change"] if changes else named)
