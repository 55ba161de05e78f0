"""Tokens that an identity provider signs (JWT), checked with its public keys (JWKS).

What is checked with which algorithm is decided by the key, never by the token: a token that says
`none`, or HMAC with the public key as its secret, finds no key here.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartconnectors_server.access.caller import Caller, Role, Scope
from smartconnectors_server.access.fetched import Fetched
from smartconnectors_server.access.watched import Unusable, Watched
from smartconnectors_server.access_settings import JwtSettings
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.errors import Unauthenticated, plain
from smartconnectors_server.outgoing_proxy import Outgoing
from smartconnectors_server.texts import decoded

KEY = "access.jwt.jwks_file"
URL_KEY = "access.jwt.jwks_url"
_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
"""(`kty`, `crv`) -> the one algorithm that a key is for."""
_PRIVATE = ("d", "k")
_MOST_NAME_BYTES = 100
_HASH_DIGITS = 32
_LATEST_S = 1e11
_LEAST_RSA_BITS = 2048
_TYPES = frozenset({"jwt", "at+jwt"})
"""What `typ` may be, where it is there: RFC 7519 and RFC 9068. A token that was made for something
else, such as a security event or a logout, does not identify a caller."""
_LONGEST_LIFE_S = 366 * 86_400
"""A token that expires later than that is refused: it was made never to expire."""


@dataclass(frozen=True, slots=True)
class _Key:
    """One public key. `key_id` None: it has no name."""

    algorithm: str
    key_id: str | None
    key: Any
    """With `==` by its public numbers."""


_Keys = tuple[_Key, ...]


def read_keys(contents: Mapping[str, bytes]) -> tuple[_Key, ...]:
    """The public keys for signatures. Raises Unusable when there are none, or others than public
    ones.
    """
    try:
        listed = json.loads(decoded(contents[KEY]))["keys"]
        keys = [_key(one) for one in listed]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Unusable(KEY, "is no JSON Web Key Set") from None
    usable = tuple(key for key in keys if key is not None)
    if not usable:
        raise Unusable(
            KEY,
            f"has no key for RS256 (of {_LEAST_RSA_BITS} bits or more), ES256 or EdDSA signatures",
        )
    return usable


def _key(one: Mapping[str, Any]) -> _Key | None:
    """One key; None: it is for something else. Raises Unusable, ValueError."""
    import jwt

    if any(part in one for part in _PRIVATE):
        raise Unusable(KEY, "has a secret key in it; only public ones belong there")
    algorithm = _ALGORITHMS.get((one.get("kty", ""), one.get("crv")))
    if algorithm is None or one.get("use", "sig") != "sig":
        return None
    if one.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(dict(one), algorithm).key
    except jwt.PyJWTError:
        raise ValueError("a key that cannot be read") from None
    if algorithm == "RS256" and key.key_size < _LEAST_RSA_BITS:
        return None
    return _Key(algorithm, one.get("kid"), key)


class SignedTokens:
    """Checks tokens with the keys that are in force."""

    def __init__(
        self, settings: JwtSettings, clock: Clock, outgoing: Outgoing | None = None
    ) -> None:
        """`outgoing`: the way to `jwks_url`. Raises StartupError."""
        self._settings = settings
        self._clock = clock
        self._keys: Watched[_Keys] | Fetched[_Keys]
        if settings.jwks_file is not None:
            self.key = KEY
            self._keys = Watched({KEY: Path(settings.jwks_file)}, read_keys)
        else:
            self.key = URL_KEY
            self._keys = Fetched(
                URL_KEY,
                settings.jwks_url or "",
                lambda body: read_keys({KEY: body}),
                (),
                clock,
                outgoing or Outgoing(),
                settings.jwks_refresh_s,
            )

    async def run(self) -> None:
        """Fetches the keys, for ever, where they are fetched."""
        if isinstance(self._keys, Fetched):
            await self._keys.run()

    def look(self) -> bool:
        """True when there are other keys now."""
        return self._keys.look()

    @property
    def problem(self) -> Unusable | None:
        """Why the keys cannot be read or fetched now; None: they can."""
        return self._keys.problem

    def caller(self, token: str) -> Caller:
        """Who shows it. Raises Unauthenticated, saying what is wrong with it."""
        claims = self._claims(token)
        now_s = self._clock.wall_ns() / NANOS_PER_SECOND
        leeway_s = self._settings.leeway_s
        until_s = _seconds(claims, "exp") + leeway_s
        if now_s >= until_s:
            raise Unauthenticated("the token has expired")
        if until_s > now_s + _LONGEST_LIFE_S + leeway_s:
            raise Unauthenticated(
                "the token expires more than 366 days from now; ask for a new one"
            )
        if "nbf" in claims and now_s < _seconds(claims, "nbf") - leeway_s:
            raise Unauthenticated("the token is not valid yet")
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject:
            raise Unauthenticated("the token's claim `sub` names nobody")
        settings = self._settings
        roles = _names(claims, settings.role_claim) or frozenset()
        return Caller(
            "jwt:" + _name_of(subject),
            max((Role.named(name) for name in roles), default=Role.NONE),
            Scope(
                _names(claims, settings.platforms_claim),
                _names(claims, settings.campaigns_claim),
            ),
            int(until_s * NANOS_PER_SECOND),
        )

    def _claims(self, token: str) -> Mapping[str, Any]:
        """What a token claims, its signature, issuer and audience being right."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            _check_type(header)
            for key in self._keys_for(header):
                try:
                    return self._decoded(token, key)
                except jwt.InvalidSignatureError:
                    continue
        except jwt.InvalidAudienceError:
            raise Unauthenticated("the token is for another audience") from None
        except jwt.InvalidIssuerError:
            raise Unauthenticated("the token is from another issuer") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated(f"the token lacks the claim `{error.claim}`") from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("the token cannot be read") from None
        if isinstance(self._keys, Fetched):
            self._keys.want()
            if not self._keys.value:
                raise Unauthenticated("the provider's keys were not fetched yet; try again")
        raise Unauthenticated("the token is signed by no key that is known here")

    def _keys_for(self, header: Mapping[str, Any]) -> list[_Key]:
        named = header.get("kid")
        return [
            key
            for key in self._keys.value
            if key.algorithm == header.get("alg")
            and (named is None or key.key_id is None or key.key_id == named)
        ]

    def _decoded(self, token: str, key: _Key) -> Mapping[str, Any]:
        import jwt

        # Times are judged by the injected clock, so not here.
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            options={
                "require": ["exp", "iss", "aud", "sub"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        return claims


def _name_of(subject: str) -> str:
    """The subject as logs and the audit ledger can bear it, another for every subject: what a
    caller owns is found by its name.
    """
    name = plain(subject, _MOST_NAME_BYTES)
    if name == subject and "#" not in name:
        return name
    exact = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name}#{exact[:_HASH_DIGITS]}"


def _check_type(header: Mapping[str, Any]) -> None:
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise Unauthenticated("the token's `typ` is neither JWT nor at+jwt: it is no access token")


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    """A time, in seconds since the epoch."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unauthenticated(f"the token's claim `{name}` is no time")
    return float(max(-_LATEST_S, min(value, _LATEST_S)))


def _names(claims: Mapping[str, Any], name: str) -> frozenset[str] | None:
    """A claim that is a name or a list of them; None: it is absent."""
    if name not in claims:
        return None
    value = claims[name]
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise Unauthenticated(f"the token's claim `{name}` is no list of names")
    return frozenset(listed)
