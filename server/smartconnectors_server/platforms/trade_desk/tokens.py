"""The token that every request carries: long-lived, or fetched by a login once a day."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.connector import Mode
from smartconnectors_server.errors import ConnectorError
from smartconnectors_server.platforms.trade_desk.options import TradeDeskOptions
from smartconnectors_server.platforms.trade_desk.sandbox_access import SANDBOX_TOKEN

TOKEN_LIFE_MIN = 24 * 60
RENEW_AFTER_S = (TOKEN_LIFE_MIN - 10) * 60
"""The login is rate limited too, so a token is used for nearly as long as it lives."""
LEAST_AGE_S = 60
"""A token that is refused this soon is not the trouble, so no other is fetched for it."""

_OWN_DOMAIN = ".thetradedesk.com"
_REMEMBERED = 4
"""How many tokens are kept out of messages: each is good for a day, and a request takes seconds."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A long-lived token, or a login."""

    token: SecretStr
    login: str
    password: SecretStr


SANDBOX_CREDENTIALS = Credentials(SecretStr(SANDBOX_TOKEN), "", SecretStr(""))


def credentials_for(mode: Mode, endpoint: str | None, options: TradeDeskOptions) -> Credentials:
    """The configured ones for The Trade Desk's own hosts, also its partner sandbox; the local
    sandbox's own for everything else: configured credentials are sent nowhere else.
    """
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme != "https" or not (parts.hostname or "").endswith(_OWN_DOMAIN):
            return SANDBOX_CREDENTIALS
    elif mode is Mode.SANDBOX:
        return SANDBOX_CREDENTIALS
    return Credentials(options.api_token, options.login, options.password)


class Tokens:
    """Hands out the token."""

    def __init__(
        self, credentials: Credentials, clock: Clock, log_in: Callable[[], Awaitable[str]]
    ) -> None:
        """`log_in` asks The Trade Desk for a fresh token with the credentials' login."""
        self._fixed = credentials.token.get_secret_value()
        self._password = credentials.password.get_secret_value()
        self._clock = clock
        self._log_in = log_in
        self._fetched = ""
        self._fetched_ns = 0
        self._handed_out: deque[str] = deque(maxlen=_REMEMBERED)
        self._fetching = asyncio.Lock()

    async def get(self) -> str:
        """A token that is good. Raises what the login raises when there is none."""
        if self._fixed:
            return self._fixed
        async with self._fetching:
            if not self._fetched or self._age_s() >= RENEW_AFTER_S:
                try:
                    fetched = await self._log_in()
                except ConnectorError:
                    # A login that is refused, for quota say, stops nothing while a token is good.
                    if not self._fetched or self._age_s() >= TOKEN_LIFE_MIN * 60:
                        raise
                    return self._fetched
                self._fetched = fetched
                self._handed_out.append(self._fetched)
                self._fetched_ns = self._clock.monotonic_ns()
            return self._fetched

    def refused(self, token: str) -> bool:
        """The token was refused. True when another one is worth fetching."""
        if self._fixed or (token == self._fetched and self._age_s() < LEAST_AGE_S):
            return False
        if token == self._fetched:
            self._fetched = ""
        return True

    def secrets(self) -> tuple[str, ...]:
        """What must not be shown: also a token that was given up while a request with it is still
        under way.
        """
        return (self._fixed, self._password, *self._handed_out)

    def _age_s(self) -> float:
        return (self._clock.monotonic_ns() - self._fetched_ns) / NANOS_PER_SECOND
