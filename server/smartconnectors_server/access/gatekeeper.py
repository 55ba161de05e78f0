"""Says who a caller is, by what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from smartconnectors_server.access import tokens
from smartconnectors_server.access.caller import Caller, Credentials, Role, Scope
from smartconnectors_server.access.signed import SignedTokens
from smartconnectors_server.access.watched import Watched
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import Unauthenticated
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.settings import Settings
from smartconnectors_server.startup import StartupError

LOOK_EVERY_NS = NANOS_PER_SECOND
MOST_KNOWN = 4096
"""Tokens whose verdict is remembered."""

_BEARER = "bearer "
_SIGNED_DOTS = 2


class Gatekeeper:
    """Knows callers. A verdict is remembered until it expires or a file has changed, so that a call
    costs two lookups and not a signature.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Raises StartupError when a file cannot be used."""
        access = settings.access
        self._clock = clock
        self._tokens: Watched[Mapping[str, Caller]] | None = None
        self._signed: SignedTokens | None = None
        self._certificates: Mapping[str, Caller] = {}
        self._known: dict[str, Caller] = {}
        self._look_again_ns = clock.monotonic_ns() + LOOK_EVERY_NS
        self.open = access is None
        """True without access control: everybody may do everything."""
        if access is None:
            return
        if access.tokens_file is not None:
            self._tokens = Watched({tokens.KEY: Path(access.tokens_file)}, tokens.read_tokens)
        if access.jwt is not None:
            self._signed = SignedTokens(access.jwt, clock, Outgoing(settings.outgoing))
        tls = settings.server.tls
        if access.certificates and (tls is None or tls.client_ca_file is None):
            raise StartupError(
                "access.certificates: nobody has a certificate without server.tls.client_ca_file"
            )
        self._certificates = {
            name: Caller(
                f"certificate:{name}",
                Role.named(grant.role),
                Scope.of(grant.platforms, grant.campaigns),
            )
            for name, grant in access.certificates.items()
        }

    def identify(self, shown: Credentials) -> Caller:
        """Who it is. A token counts before a certificate. Raises Unauthenticated, saying what is
        missing and never what was shown.
        """
        self._look_in_time()
        if not shown.authorization:
            return self._by_certificate(shown)
        caller = self._known.get(shown.authorization)
        if caller is None:
            caller = self._by_token(shown.authorization)
            self._remember(shown.authorization, caller)
        if caller.expires_ns is not None and self._clock.wall_ns() >= caller.expires_ns:
            raise Unauthenticated(f"the token of {caller.name} has expired")
        return caller

    async def run(self) -> None:
        """Fetches what is fetched, for ever."""
        if self._signed is not None:
            await self._signed.run()

    def files(self) -> Mapping[str, str]:
        """Settings key -> why the file or address that it names cannot be used now; empty: it can
        be.
        """
        self._look_in_time()
        return {
            key: "" if watched.problem is None else watched.problem.why
            for key, watched in self._watched()
        }

    def _watched(self) -> Iterator[tuple[str, Watched[Mapping[str, Caller]] | SignedTokens]]:
        if self._tokens is not None:
            yield tokens.KEY, self._tokens
        if self._signed is not None:
            yield self._signed.key, self._signed

    def _look_in_time(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._look_again_ns:
            return
        self._look_again_ns = now_ns + LOOK_EVERY_NS
        for _, watched in self._watched():
            if watched.look():
                self._known.clear()

    def _remember(self, authorization: str, caller: Caller) -> None:
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[authorization] = caller

    def _by_token(self, authorization: str) -> Caller:
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("the `authorization` metadata is not `Bearer TOKEN`")
        token = authorization[len(_BEARER) :].strip()
        if not token.isascii():
            raise Unauthenticated("the token has characters in it that no token has")
        if self._tokens is not None:
            caller = self._tokens.value.get(tokens.hash_of(token))
            if caller is not None:
                return caller
        if self._signed is not None and token.count(".") == _SIGNED_DOTS:
            return self._signed.caller(token)
        raise Unauthenticated("the token is not known here; it may have been revoked")

    def _by_certificate(self, shown: Credentials) -> Caller:
        for name in shown.names:
            caller = self._certificates.get(name)
            if caller is not None:
                return caller
        if shown.names and self._certificates:
            raise Unauthenticated("the certificate names nobody who is known here; show a token")
        raise Unauthenticated("no token; send it as `authorization: Bearer TOKEN` metadata")
