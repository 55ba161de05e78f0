"""What a person may do on the dashboard: look and, with a token for it, pause and resume.

A token comes in the `Authorization` header, which no other site can have a browser send. Without
access control everybody who reaches the port may look, and nobody may change anything.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from aiohttp import web

from smartconnectors_server.access import Caller, Credentials, Gatekeeper, Refusals, Role
from smartconnectors_server.errors import (
    Code,
    ConnectorError,
    InvalidBid,
    PermissionDenied,
    Unauthenticated,
)

_STATUSES = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.RESOURCE_EXHAUSTED: 503,
    Code.UNAVAILABLE: 503,
}
MOST_REASON_CHARACTERS = 200


class Pauses(Protocol):
    """Who pauses and resumes."""

    async def set_paused(
        self, scope: str, paused_now: bool, reason: str, *, actor: str = ""
    ) -> None:
        """Durably. Raises NotFound, LedgerUnavailable."""
        ...


def refused(error: ConnectorError) -> web.Response:
    """What a refused browser is told."""
    status = _STATUSES.get(error.code, 500)
    return web.json_response({"reason": error.reason, "message": error.message}, status=status)


class Desk:
    """Asks who somebody is before it does what they want."""

    def __init__(self, gatekeeper: Gatekeeper, pauses: Pauses, refusals: Refusals) -> None:
        self._gatekeeper = gatekeeper
        self._pauses = pauses
        self._refusals = refusals

    def reader(self, request: web.Request) -> Caller | None:
        """Who looks; None without access control. Raises Unauthenticated, PermissionDenied, which
        are logged.
        """
        if self._gatekeeper.open:
            return None
        name = ""
        try:
            shown = request.headers.getall("Authorization", [])
            if len(shown) > 1:
                raise Unauthenticated("more than one `Authorization` header; send one")
            caller = self._gatekeeper.identify(Credentials(authorization="".join(shown)))
            name = caller.name
            if caller.role < Role.READ or not caller.scope.unrestricted:
                raise PermissionDenied("the dashboard shows everything; this token may not see it")
        except ConnectorError as error:
            self.log_refusal(request, name, error)
            raise
        return caller

    def log_refusal(self, request: web.Request, actor: str, error: ConnectorError) -> None:
        """As gRPC's refusals are logged."""
        self._refusals.tell("http", request.path, actor, error)

    def _operator(self, request: web.Request) -> Caller:
        """Who pauses. Raises as `reader`."""
        caller = self.reader(request)
        if caller is None:
            raise PermissionDenied("pausing from here needs access control: see [access]")
        if caller.role < Role.OPERATE:
            denied = PermissionDenied(f"this needs the role `operate`, and {caller.name} has less")
            self.log_refusal(request, caller.name, denied)
            raise denied
        return caller

    async def pause(self, request: web.Request) -> web.Response:
        """`{"scope": "google_ads", "paused": true, "reason": "..."}`"""
        try:
            caller = self._operator(request)
            scope, paused, reason = await _asked(request)
            await self._pauses.set_paused(scope, paused, reason, actor=caller.name)
        except ConnectorError as error:
            return refused(error)
        return web.json_response({"scope": scope, "paused": paused})


async def _asked(request: web.Request) -> tuple[str, bool, str]:
    """Raises InvalidBid."""
    try:
        # Whatever charset the request names: JSON is UTF-8, UTF-16 or UTF-32, and shows which.
        document: Any = json.loads(await request.read())
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidBid.of("(body)", "is no JSON object")
    scope, paused, reason = (document.get(key) for key in ("scope", "paused", "reason"))
    if not isinstance(scope, str) or not scope:
        raise InvalidBid.of("scope", "is a budget, a campaign or all")
    if not isinstance(paused, bool):
        raise InvalidBid.of("paused", "is true or false")
    if not isinstance(reason, str) or not 0 < len(reason) <= MOST_REASON_CHARACTERS:
        raise InvalidBid.of("reason", f"has 1 to {MOST_REASON_CHARACTERS} characters")
    for name, text in (("scope", scope), ("reason", reason)):
        if any("\ud800" <= each <= "\udfff" for each in text):
            raise InvalidBid.of(name, "has half a character in it, which no ledger can keep")
    return scope, paused, reason
