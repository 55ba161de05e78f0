"""Those who issue: an authority for certificates, an identity provider, a tokens file; and servers
that ask for what they issued.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import grpc
import grpc.aio
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smartconnectors.google_ads.v1 import google_ads_service_pb2
from smartconnectors.meta.v1 import meta_service_pb2
from smartconnectors.trade_desk.v1 import trade_desk_service_pb2
from smartconnectors_server.access.tokens import hash_of
from smartconnectors_server.app import Application, load_settings
from smartconnectors_server.call import Plan
from smartconnectors_server.clock import Clock
from smartconnectors_server.connector import Finding, OneByOne
from smartconnectors_server.errors import OutcomeUnknown
from smartconnectors_server.listening import ConnectionRules
from smartconnectors_server.platforms import PLATFORMS

APART = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
"""Channels with this do not share a connection."""
_FROM = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_UNTIL = dt.datetime(2060, 1, 1, tzinfo=dt.UTC)
REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class Issued(NamedTuple):
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path) -> None:
        """As the files that `tls` names."""
        (directory / "server.pem").write_bytes(self.certificate)
        (directory / "server.key").write_bytes(self.key)


def tls(directory: Path, **more: str) -> dict[str, str]:
    """`[server.tls]` for what was written there."""
    return {
        "cert_file": str(directory / "server.pem"),
        "key_file": str(directory / "server.key"),
        **more,
    }


class Authority:
    """Signs certificates.

    Attributes:
        pem: its own certificate.
    """

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._signed(self._name, self._key, (), _UNTIL, authority=True)
        self.pem = own.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        name: str,
        *also: str,
        until: dt.datetime = _UNTIL,
        password: bytes = b"",
        alternatives: Sequence[x509.GeneralName] | None = None,
    ) -> Issued:
        """A certificate for `name` and `localhost`; `also` are further names in it. With
        `alternatives` it has those and no others beside its common name.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        if alternatives is None:
            alternatives = [x509.DNSName(each) for each in (*also, "localhost")]
        certificate = self._signed(subject, key, alternatives, until)
        encryption: serialization.KeySerializationEncryption = (
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption()
        )
        return Issued(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
            ),
        )

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: Sequence[x509.GeneralName],
        until: dt.datetime,
        *,
        authority: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_FROM)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


class Provider:
    """An identity provider with one key.

    Attributes:
        public: the key as JWKS has it.
    """

    ISSUER = "https://login.example.com/"
    AUDIENCE = "smart-connectors"

    def __init__(self, key: Any, algorithm: str, key_id: str | None = None) -> None:
        self._key = key
        self._algorithm = algorithm
        self._key_id = key_id
        described = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
        self.public: dict[str, Any] = dict(described)
        if key_id is not None:
            self.public["kid"] = key_id

    def claims(self, now_s: float, **more: Any) -> dict[str, Any]:
        """What a good token claims; None takes a claim away."""
        claims = {
            "sub": "ltv-model",
            "iss": self.ISSUER,
            "aud": self.AUDIENCE,
            "exp": now_s + 600,
            "role": "bid",
            **more,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, now_s: float, **more: Any) -> str:
        """A good token but for these claims."""
        headers = {} if self._key_id is None else {"kid": self._key_id}
        claims = self.claims(now_s, **more)
        return jwt.encode(claims, self._key, algorithm=self._algorithm, headers=headers)

    def sign_with_the_public_key(self, now_s: float) -> str:
        """HMAC with the public key as the secret, as PEM: what a careless check would take."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        head = {"alg": "HS256", "typ": "JWT"}
        if self._key_id is not None:
            head["kid"] = self._key_id
        signed = f"{_encoded(head)}.{_encoded(self.claims(now_s))}"
        digest = hmac.new(public, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_base64(digest)}"

    def unsigned(self, now_s: float) -> str:
        """`alg: none`."""
        return f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{_encoded(self.claims(now_s))}."


def _encoded(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def jwks(path: Path, *providers: Provider) -> dict[str, Any]:
    """Writes the key set; `[access.jwt]` for it."""
    path.write_text(json.dumps({"keys": [provider.public for provider in providers]}))
    return {"jwks_file": str(path), "issuer": Provider.ISSUER, "audience": Provider.AUDIENCE}


def entry(token: str, role: str = "bid", name: str = "somebody", **more: Any) -> str:
    """An entry of the tokens file."""
    fields = {"name": name, "hash": hash_of(token), "role": role, **more}
    lines = [
        f"{key} = {value if key == 'expires_at' else json.dumps(value)}"
        for key, value in fields.items()
    ]
    return "\n".join(["[[tokens]]", *lines, ""])


class Caller:
    """A channel that shows a token, or nothing."""

    def __init__(
        self, address: str, token: str = "", credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        self.channel: Any = (
            grpc.aio.insecure_channel(address, APART)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, APART)
        )
        self.metadata: tuple[tuple[str, str], ...] = (
            (("authorization", f"Bearer {token}"),) if token else ()
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    def unary(self, path: str, request: Any, answer: Any = None) -> Any:
        call = self.channel.unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=None if answer is None else answer.FromString,
        )
        return call(request, metadata=self.metadata, timeout=60)


async def code_of(call: Any) -> grpc.StatusCode:
    """How a call ended."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def refusal_of(call: Any) -> tuple[str, str]:
    """(code, message) of a call that is refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    raise AssertionError("it was not refused")


_ANSWERS = {
    module.PlaceBidRequest.DESCRIPTOR.full_name: module.PlaceBidResponse
    for module in (google_ads_service_pb2, meta_service_pb2, trade_desk_service_pb2)
}


class Accepts(OneByOne):
    """A platform's connector that takes every bid. Knows what it was asked.

    Attributes:
        read: the campaigns that it was asked to read.
        sent: the request ids of what was sent.
        loses: whether the answers to what it sends get lost.
    """

    max_batch = 10

    def __init__(self) -> None:
        self.read: list[str] = []
        self.sent: list[str] = []
        self.loses = False

    async def connect(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing is open."""

    async def prefetch(self, requests: Any) -> None:
        self.read += [request.bid.campaign_id for request in requests]

    def offline_target(self, request: Any) -> str:
        return f"campaigns/{request.bid.campaign_id}"

    async def plan(self, request: Any, priced: Any) -> Plan:
        return Plan(self.offline_target(request), priced.bid_micros, after_value=1)

    async def PlaceBid(self, request: Any, call: Any) -> Any:  # noqa: N802
        self.sent.append(request.bid.request_id)
        call.dispatched = True
        if self.loses:
            raise OutcomeUnknown("no answer")
        return call.spec.response_class()

    async def place_many(self, planned: Any) -> Any:
        self.sent += [request.bid.request_id for request, _ in planned]
        return [_ANSWERS[request.DESCRIPTOR.full_name]() for request, _ in planned]

    async def lookup(self, sent: Any) -> Finding:
        del sent
        return Finding.INCONCLUSIVE


def _this(connector: Any, _context: Any) -> Any:
    return connector


def application(
    directory: Path,
    clock: Clock | None = None,
    *,
    server: Mapping[str, Any] | None = None,
    access: Mapping[str, Any] | None = None,
    connectors: Mapping[str, Accepts] | None = None,
    rules: ConnectionRules | None = None,
    **more: Any,
) -> Application:
    """A server of every platform, none of which is reached, but for these `connectors`."""
    document = {
        "server": {
            "state_dir": str(directory / "state"),
            "grpc_port": 0,
            "drain_pause_s": 0,
            "drain_grace_s": 0,
            **(server or {}),
        },
        "platforms": {name: {"endpoint": "127.0.0.1:1"} for name in PLATFORMS},
        **more,
    }
    if access is not None:
        document["access"] = dict(access)
    platforms = {
        name: dataclasses.replace(PLATFORMS[name], connector=partial(_this, one))
        for name, one in (connectors or {}).items()
    }
    return Application(
        load_settings(None, {}, document),
        platforms={**PLATFORMS, **platforms},
        clock=clock,
        rules=rules,
    )
