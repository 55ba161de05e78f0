"""Who is known, for how long, and what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.server.access.stage import Provider, entry, jwks

from smartconnectors_server.access import ANYBODY, Caller, Credentials, Gatekeeper, Role, Scope
from smartconnectors_server.access import gatekeeper as gatekeeper_module
from smartconnectors_server.app import load_settings
from smartconnectors_server.clock import ManualClock
from smartconnectors_server.errors import Unauthenticated
from smartconnectors_server.settings import SettingsError
from smartconnectors_server.startup import StartupError

PROVIDER = Provider(ec.generate_private_key(ec.SECP256R1()), "ES256", "k")
NOW_S = 1_700_000_000
CERTIFICATES = {"dns:model.example.com": {"role": "bid", "platforms": ["meta"]}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.write_text(entry("one", "bid", "first") + entry("two", "read", "second"))
    return path


def settings(access: dict[str, Any], **server: Any) -> Any:
    return load_settings(None, {}, {"access": access, "server": server})


@pytest.fixture
def gate(file: Path, tmp_path: Path, clock: ManualClock) -> Gatekeeper:
    """Knows two tokens, a provider and a certificate."""
    access = {
        "tokens_file": str(file),
        "jwt": jwks(tmp_path / "jwks.json", PROVIDER),
        "certificates": CERTIFICATES,
    }
    files = dict.fromkeys(("cert_file", "key_file", "client_ca_file"), "unread")
    return Gatekeeper(settings(access, tls=files), clock)


def shows(gate: Gatekeeper, token: str) -> Caller:
    return gate.identify(Credentials(f"Bearer {token}"))


def refused(gate: Gatekeeper, shown: Credentials) -> str:
    with pytest.raises(Unauthenticated) as caught:
        gate.identify(shown)
    return caught.value.message


def test_a_token_is_known_by_the_file(gate: Gatekeeper) -> None:
    assert shows(gate, "one") == Caller("first", Role.BID)


def test_a_token_that_a_provider_signed_is_known(gate: Gatekeeper) -> None:
    assert shows(gate, PROVIDER.sign(NOW_S)).name == "jwt:ltv-model"


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        ("", "no token"),
        ("Bearer three", "not known here"),
        ("Bearer ", "not known here"),
        ("Basic b25lOm9uZQ==", "not `Bearer TOKEN`"),
        ("one", "not `Bearer TOKEN`"),
    ],
)
def test_what_is_missing_is_said_and_never_what_was_shown(
    gate: Gatekeeper, authorization: str, why: str
) -> None:
    said = refused(gate, Credentials(authorization))
    assert why in said
    assert not authorization.split()[1:] or authorization.split()[1] not in said


def test_the_scheme_is_written_as_one_likes(gate: Gatekeeper) -> None:
    assert gate.identify(Credentials("bearer one")).name == "first"


def test_a_certificate_is_known_by_any_of_its_names(gate: Gatekeeper) -> None:
    caller = gate.identify(Credentials(names=("dns:other.example.com", "dns:model.example.com")))
    assert caller == Caller("certificate:dns:model.example.com", Role.BID, Scope.of(["meta"], None))


def test_a_certificate_that_names_nobody_is_refused(gate: Gatekeeper) -> None:
    assert "names nobody" in refused(gate, Credentials(names=("other.example.com",)))


def test_a_token_counts_before_a_certificate(gate: Gatekeeper) -> None:
    both = Credentials("Bearer two", ("dns:model.example.com",))
    assert gate.identify(both).name == "second"
    assert "not known" in refused(gate, Credentials("Bearer no", ("dns:model.example.com",)))


def test_a_revoked_token_is_refused_a_second_after_the_file_says_so(
    gate: Gatekeeper, file: Path, clock: ManualClock
) -> None:
    assert shows(gate, "one").name == "first"
    file.write_text(entry("two", "read", "second"))
    clock.advance(1)
    assert "revoked" in refused(gate, Credentials("Bearer one"))
    assert shows(gate, "two").name == "second"


def test_the_file_is_looked_at_once_a_second_and_not_with_each_call(
    gate: Gatekeeper, file: Path, clock: ManualClock
) -> None:
    file.write_text(entry("three", name="third"))
    clock.advance(0.999)
    assert "not known" in refused(gate, Credentials("Bearer three"))
    clock.advance(0.001)
    assert shows(gate, "three").name == "third"


def test_a_role_that_the_file_lowers_is_lowered(
    gate: Gatekeeper, file: Path, clock: ManualClock
) -> None:
    assert shows(gate, "one").role is Role.BID
    file.write_text(entry("one", "read", "first"))
    clock.advance(1)
    assert shows(gate, "one").role is Role.READ


def test_a_token_ends_at_its_time(clock: ManualClock, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(entry("one", expires_at="2023-11-14T22:13:21Z"))  # one second from now
    gate = Gatekeeper(settings({"tokens_file": str(file)}), clock)
    clock.advance(0.999)
    assert shows(gate, "one").name == "somebody"
    clock.advance(0.001)
    assert "the token of somebody has expired" in refused(gate, Credentials("Bearer one"))


def test_a_signed_token_ends_at_its_time_though_it_was_known(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    token = PROVIDER.sign(NOW_S, exp=NOW_S + 5)
    assert shows(gate, token).role is Role.BID
    clock.advance(15)  # with the leeway
    assert "expired" in refused(gate, Credentials(f"Bearer {token}"))


def test_a_signed_token_is_gone_with_its_key(
    gate: Gatekeeper, clock: ManualClock, tmp_path: Path
) -> None:
    token = PROVIDER.sign(NOW_S)
    assert shows(gate, token).role is Role.BID
    jwks(tmp_path / "jwks.json", Provider(ec.generate_private_key(ec.SECP256R1()), "ES256", "n"))
    clock.advance(1)
    assert "no key" in refused(gate, Credentials(f"Bearer {token}"))


def test_no_more_than_so_many_verdicts_are_remembered(gate: Gatekeeper) -> None:
    for number in range(gatekeeper_module.MOST_KNOWN + 10):
        shows(gate, "one" + " " * number)  # blanks after a token do not count
    assert len(gate._known) == gatekeeper_module.MOST_KNOWN


def test_without_access_control_everybody_may_do_everything(clock: ManualClock) -> None:
    assert Gatekeeper(load_settings(None, {}, {}), clock).open
    assert (ANYBODY.name, ANYBODY.role, ANYBODY.scope.unrestricted) == (
        "anonymous",
        Role.OPERATE,
        True,
    )


def test_certificates_need_an_authority_for_them(clock: ManualClock) -> None:
    with pytest.raises(StartupError, match=r"access\.certificates"):
        Gatekeeper(settings({"certificates": CERTIFICATES}), clock)


def test_access_control_that_lets_nobody_in_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"access: .*lets nobody in"):
        settings({})
