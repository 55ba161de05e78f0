"""What a person may do on the dashboard: look and, with a token for it, pause and resume.

A token comes in the `Authorization` header, which no other site can have a browser send. Without
access control everybody who reaches the port may look, and nobody may change anything.
"""

from __future__ import annotations

from typing import Any, Protocol

from aiohttp import web

from smartconnectors_server.access import Caller, Credentials, Gatekeeper, Role
from smartconnectors_server.errors import Code, ConnectorError, InvalidBid, PermissionDenied

_STATUSES = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.RESOURCE_EXHAUSTED: 429,
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

    def __init__(self, gatekeeper: Gatekeeper, pauses: Pauses) -> None:
        self._gatekeeper = gatekeeper
        self._pauses = pauses

    def reader(self, request: web.Request) -> Caller | None:
        """Who looks; None without access control. Raises Unauthenticated, PermissionDenied."""
        if self._gatekeeper.open:
            return None
        caller = self._gatekeeper.identify(
            Credentials(authorization=request.headers.get("Authorization", ""))
        )
        if caller.role < Role.READ or not caller.scope.unrestricted:
            raise PermissionDenied("the dashboard shows everything; this token may not see it")
        return caller

    async def pause(self, request: web.Request) -> web.Response:
        """`{"scope": "google_ads", "paused": true, "reason": "..."}`"""
        try:
            caller = self.reader(request)
            if caller is None:
                raise PermissionDenied("pausing from here needs access control: see [access]")
            if caller.role < Role.OPERATE:
                raise PermissionDenied(f"this needs the role `operate`, and {caller.name} has less")
            scope, paused, reason = await _asked(request)
            await self._pauses.set_paused(scope, paused, reason, actor=caller.name)
        except ConnectorError as error:
            return refused(error)
        return web.json_response({"scope": scope, "paused": paused})


async def _asked(request: web.Request) -> tuple[str, bool, str]:
    """Raises InvalidBid."""
    try:
        document: Any = await request.json()
    except ValueError:
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
    return scope, paused, reason
