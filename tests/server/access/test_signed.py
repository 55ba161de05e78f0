"""Signed tokens: only what the provider's keys signed, for us, and not after its time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.server.access.stage import Provider, jwks

from smartconnectors_server.access import Role, Scope
from smartconnectors_server.access.signed import KEY, SignedTokens, read_keys
from smartconnectors_server.access.watched import Unusable
from smartconnectors_server.access_settings import JwtSettings
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import Unauthenticated

RSA = Provider(rsa.generate_private_key(65537, 2048), "RS256", "rsa")
EC = Provider(ec.generate_private_key(ec.SECP256R1()), "ES256", "ec")
ED = Provider(ed25519.Ed25519PrivateKey.generate(), "EdDSA", "ed")
STRANGER = Provider(ec.generate_private_key(ec.SECP256R1()), "ES256", "ec")
NOW_S = 1_700_000_000


@pytest.fixture
def signed(tmp_path: Path, clock: ManualClock) -> SignedTokens:
    """Knows the three providers; ten seconds of leeway."""
    return SignedTokens(JwtSettings(**jwks(tmp_path / "jwks.json", RSA, EC, ED)), clock)


def refused(signed: SignedTokens, token: str) -> str:
    """Why."""
    with pytest.raises(Unauthenticated) as caught:
        signed.caller(token)
    assert token not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize("provider", [RSA, EC, ED], ids=["RS256", "ES256", "EdDSA"])
def test_a_token_of_the_provider_says_who_it_is(signed: SignedTokens, provider: Provider) -> None:
    caller = signed.caller(provider.sign(NOW_S, platforms=["meta"], campaigns=["1001"]))
    assert caller.name == "jwt:ltv-model"
    assert caller.role is Role.BID
    assert caller.scope == Scope.of(["meta"], ["1001"])
    assert caller.expires_ns == (NOW_S + 600 + 10) * 1_000_000_000


def test_subjects_that_logs_cannot_bear_still_have_a_name_each(signed: SignedTokens) -> None:
    """Request ids and prices belong to a caller's name."""
    subjects = ["a" * 200 + "1", "a" * 200 + "2", "a\n", "a\\n", "a\ud800", "a#1"]
    names = [signed.caller(RSA.sign(NOW_S, sub=subject)).name for subject in subjects]
    assert len(set(names)) == len(subjects)
    assert all(name.isprintable() and len(name.encode()) < 256 for name in names)
    disguised = names[2].removeprefix("jwt:")
    assert signed.caller(RSA.sign(NOW_S, sub=disguised)).name != names[2]


def test_a_token_without_the_name_of_its_key_is_tried_with_each(signed: SignedTokens) -> None:
    unnamed = Provider(EC._key, "ES256")
    assert signed.caller(unnamed.sign(NOW_S)).role is Role.BID


def test_a_token_signed_by_another_key_is_refused(signed: SignedTokens) -> None:
    assert "no key that is known" in refused(signed, STRANGER.sign(NOW_S))


def test_a_token_without_a_signature_is_refused(signed: SignedTokens) -> None:
    assert "no key that is known" in refused(signed, RSA.unsigned(NOW_S))


@pytest.mark.parametrize("provider", [RSA, EC, ED], ids=["RS256", "ES256", "EdDSA"])
def test_a_token_with_the_public_key_as_a_shared_secret_is_refused(
    signed: SignedTokens, provider: Provider
) -> None:
    assert "no key that is known" in refused(signed, provider.sign_with_the_public_key(NOW_S))


def test_a_token_with_another_algorithm_of_the_same_key_is_refused(signed: SignedTokens) -> None:
    longer = Provider(RSA._key, "RS512", "rsa")
    assert "no key that is known" in refused(signed, longer.sign(NOW_S))


def test_a_token_whose_claims_were_changed_is_refused(signed: SignedTokens) -> None:
    head, _, signature = RSA.sign(NOW_S, role="read").split(".")
    claims = RSA.sign(NOW_S, role="operate").split(".")[1]
    assert "no key that is known" in refused(signed, f"{head}.{claims}.{signature}")


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "another"}, "another audience"),
        ({"iss": "https://evil.example.com/"}, "another issuer"),
        ({"exp": NOW_S - 10}, "has expired"),
        ({"nbf": NOW_S + 11}, "not valid yet"),
        ({"exp": None}, "lacks the claim `exp`"),
        ({"aud": None}, "lacks the claim `aud`"),
        ({"iss": None}, "lacks the claim `iss`"),
        ({"sub": None}, "lacks the claim `sub`"),
        ({"sub": ""}, "names nobody"),
        ({"exp": True}, "`exp` is no time"),
        ({"exp": "never"}, "`exp` is no time"),
        ({"nbf": [1]}, "`nbf` is no time"),
        ({"role": 3}, "`role` is no list of names"),
        ({"platforms": {"meta": True}}, "`platforms` is no list of names"),
        ({"campaigns": [1001]}, "`campaigns` is no list of names"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused_by_the_claim(
    signed: SignedTokens, claims: dict[str, Any], why: str
) -> None:
    assert why in refused(signed, RSA.sign(NOW_S, **claims))


@pytest.mark.parametrize("claims", [{"exp": NOW_S - 9}, {"nbf": NOW_S + 9}])
def test_a_clock_that_is_a_little_off_refuses_nobody(
    signed: SignedTokens, claims: dict[str, Any]
) -> None:
    assert signed.caller(RSA.sign(NOW_S, **claims)).role is Role.BID


@pytest.mark.parametrize(
    ("claim", "role"),
    [
        ("read", Role.READ),
        (["unrelated", "read", "operate"], Role.OPERATE),
        (["unrelated"], Role.NONE),
        (None, Role.NONE),
    ],
)
def test_the_greatest_role_that_is_claimed_counts(
    signed: SignedTokens, claim: Any, role: Role
) -> None:
    assert signed.caller(RSA.sign(NOW_S, role=claim)).role is role


def test_an_empty_list_of_platforms_lets_at_nothing(signed: SignedTokens) -> None:
    assert not signed.caller(RSA.sign(NOW_S, platforms=[])).scope.has_platform("meta")


@pytest.mark.parametrize("token", ["..", "a.b.c", "e30.e30.e30", "\udcff.a.b"])
def test_what_is_no_token_is_refused(signed: SignedTokens, token: str) -> None:
    assert refused(signed, token)


def test_keys_that_change_are_taken_up(
    signed: SignedTokens, tmp_path: Path, clock: ManualClock
) -> None:
    jwks(tmp_path / "jwks.json", STRANGER)
    assert signed.look()
    assert signed.caller(STRANGER.sign(NOW_S)).role is Role.BID
    assert "no key that is known" in refused(signed, RSA.sign(NOW_S))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON Web Key Set"),
        ("[]", "no JSON Web Key Set"),
        ('{"keys": [1]}', "no JSON Web Key Set"),
        ('{"keys": []}', "no key for"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "secret key"),
        ('{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}', "no JSON Web Key Set"),
    ],
)
def test_a_key_set_that_cannot_be_used_is_refused(text: str, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        read_keys({KEY: text.encode()})


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"d": "AQAB"}, "secret key"),
        ({"use": "enc"}, "no key for"),
        ({"alg": "RS512"}, "no key for"),
    ],
)
def test_a_key_for_something_else_is_not_taken_for_one_of_ours(
    changed: dict[str, str], why: str
) -> None:
    with pytest.raises(Unusable, match=why):
        read_keys({KEY: json.dumps({"keys": [{**RSA.public, **changed}]}).encode()})
