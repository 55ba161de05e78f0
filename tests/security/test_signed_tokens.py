"""What an identity provider signs by mistake is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.server.access.stage import Provider, jwks

from smartconnectors_server.access.signed import SignedTokens
from smartconnectors_server.access_settings import JwtSettings
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import Unauthenticated
from smartconnectors_server.startup import StartupError

KEY = ec.generate_private_key(ec.SECP256R1())
GOOD = Provider(KEY, "ES256", "good")
WEAK = Provider(rsa.generate_private_key(65537, 1024), "RS256", "weak")
NOW_S = 1_700_000_000
A_YEAR_S = 366 * 86_400


@pytest.fixture
def signed(tmp_path: Path, clock: ManualClock) -> SignedTokens:
    return SignedTokens(JwtSettings(**jwks(tmp_path / "jwks.json", GOOD, WEAK)), clock)


def typed(kind: Any) -> str:
    """A good token but for its `typ`."""
    headers = {"kid": "good", "typ": kind}
    return jwt.encode(GOOD.claims(NOW_S), KEY, algorithm="ES256", headers=headers)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_token_of_an_rsa_key_under_2048_bits_is_refused(signed: SignedTokens) -> None:
    with pytest.raises(Unauthenticated, match="no key that is known"):
        signed.caller(WEAK.sign(NOW_S))


def test_a_key_set_with_nothing_but_a_weak_key_refuses_the_start(
    tmp_path: Path, clock: ManualClock
) -> None:
    settings = JwtSettings(**jwks(tmp_path / "jwks.json", WEAK))
    with pytest.raises(StartupError, match="2048 bits or more"):
        SignedTokens(settings, clock)


@pytest.mark.parametrize("kind", ["secevent+jwt", "logout+jwt", "dpop+jwt", "JOSE", 7])
def test_a_token_that_was_made_for_something_else_is_refused(
    signed: SignedTokens, kind: Any
) -> None:
    with pytest.raises(Unauthenticated):
        signed.caller(typed(kind))


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_an_access_token_is_taken_by_its_type_or_without_one(
    signed: SignedTokens, kind: Any
) -> None:
    assert signed.caller(typed(kind)).name == "jwt:ltv-model"


@pytest.mark.parametrize("expires_s", [1e300, 1e11, NOW_S + A_YEAR_S + 11])
def test_a_token_that_was_made_never_to_expire_is_refused(
    signed: SignedTokens, expires_s: float
) -> None:
    with pytest.raises(Unauthenticated, match="366 days"):
        signed.caller(GOOD.sign(NOW_S, exp=expires_s))


def test_a_token_for_a_year_is_taken(signed: SignedTokens) -> None:
    assert signed.caller(GOOD.sign(NOW_S, exp=NOW_S + A_YEAR_S)).name == "jwt:ltv-model"
