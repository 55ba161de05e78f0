"""Google's OAuth token endpoint, for the sandbox's one user."""

from __future__ import annotations

import itertools

from aiohttp import web

from smartconnectors_server.connector.forms import form_of
from smartconnectors_server.connector.sandbox import Journal
from smartconnectors_server.platforms.google_ads.sandbox_access import (
    CLIENT_ID,
    CLIENT_SECRET,
    REFRESH_TOKEN,
    TOKEN_PATH,
)

_LIFETIME_S = 3600


class TokenEndpoint:
    """Hands out bearer tokens for the refresh token, and knows the ones it handed out."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._numbers = itertools.count(1)
        self._valid: set[str] = set()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str) -> tuple[str, int]:
        """Listens on any free port, and returns where."""
        app = web.Application()
        app.router.add_post(TOKEN_PATH, self._token)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, 0).start()
        bound = self._runner.addresses[0]
        return bound[0], bound[1]

    async def close(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def knows(self, authorization: str) -> bool:
        """True when the header carries a token that was handed out."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and token in self._valid

    def revoke_all(self) -> None:
        """Forgets every token, as Google does when a user takes back their consent."""
        self._valid.clear()

    async def _token(self, request: web.Request) -> web.Response:
        form = await form_of(request)
        grant_type = form.get("grant_type", "")
        error = ""
        client = (CLIENT_ID, CLIENT_SECRET.get_secret_value())
        if (form.get("client_id"), form.get("client_secret")) != client:
            error = "invalid_client"
        elif grant_type != "refresh_token":
            error = "unsupported_grant_type"
        elif form.get("refresh_token") != REFRESH_TOKEN.get_secret_value():
            error = "invalid_grant"
        facts = {"grant_type": grant_type, "error": error}
        self._journal.append("oauth_token", changes=False, applied=not error, facts=facts)
        if error:
            return web.json_response({"error": error}, status=400)
        token = f"sandbox-token-{next(self._numbers)}"
        self._valid.add(token)
        answer = {"access_token": token, "expires_in": _LIFETIME_S, "token_type": "Bearer"}
        return web.json_response(answer)
