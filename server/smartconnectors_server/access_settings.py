"""Settings of who may connect and who may do what: `[server.tls]` and `[access]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from smartconnectors_server.outgoing_proxy import is_loopback
from smartconnectors_server.sections import NamedPath, Section
from smartconnectors_server.texts import OneLine

RoleName = Literal["read", "bid", "operate"]
_Names = Annotated[tuple[str, ...], Field(min_length=1)]
_KINDS_OF_NAMES = ("dns", "uri", "email", "cn")


def certificate_name(kind: str, name: str) -> str:
    """A name in a certificate as a grant says it. Names of hosts are compared without case."""
    return f"{kind}:{name.lower() if kind == 'dns' else name}"


def _with_its_kind(value: str) -> str:
    kind, _, name = value.partition(":")
    if kind not in _KINDS_OF_NAMES or not name.strip() or not name.isprintable():
        kinds = ", ".join(f"`{each}:`" for each in _KINDS_OF_NAMES)
        raise ValueError(f"is a name in a certificate after its kind, one of {kinds}")
    if value != certificate_name(kind, name):
        raise ValueError("has to be in lower case")
    return value


CertificateName = Annotated[str, AfterValidator(_with_its_kind)]


class TlsSettings(Section):
    """Encrypts the gRPC port. The files are looked at with each new connection, so certificates are
    renewed without a restart.
    """

    cert_file: NamedPath
    """The server's certificate in PEM, followed by those between it and its authority."""
    key_file: NamedPath
    """The private key of the first certificate in `cert_file`, in PEM, not encrypted."""
    client_ca_file: NamedPath | None = None
    """The authorities that sign clients' certificates, in PEM. When set, a client without a
    certificate of theirs is not connected: gRPC cannot ask for one without requiring it."""


class HttpTlsSettings(Section):
    """Encrypts the HTTP port. The files are looked at once a second while connections come, so
    certificates are renewed without a restart. They may be those of `[server.tls]`.
    """

    cert_file: NamedPath
    """The server's certificate in PEM, followed by those between it and its authority."""
    key_file: NamedPath
    """The private key of the first certificate in `cert_file`, in PEM, not encrypted."""


class GrantSettings(Section):
    """What somebody may do."""

    role: RoleName
    """`read` looks; `bid` also bids and changes campaigns; `operate` also changes budgets."""
    platforms: _Names | None = None
    """On these platforms alone. Absent: on all of them."""
    campaigns: _Names | None = None
    """For these campaigns alone, by the platform's id. Absent: for all of them."""


def _url_of_keys(value: str) -> str:
    try:
        parts = urlsplit(value)
        host = parts.hostname if parts.port != 0 and parts.username is None else None
    except ValueError:  # such as a port that is no number
        parts, host = urlsplit(""), None
    if not host or " " in value:
        raise ValueError("not an address that begins with https://, without user and password")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError("has to begin with https://; http:// is for this machine alone")
    return value


class JwtSettings(Section):
    """Tokens that an identity provider signs."""

    jwks_file: NamedPath | None = None
    """The provider's public keys, a JSON Web Key Set. Looked at once a second, taken up when it has
    changed. RS256 with keys of 2048 bits or more, ES256 and EdDSA are accepted, nothing else.
    Or instead: jwks_url = "https://...", where the provider shows them."""
    jwks_url: Annotated[OneLine, AfterValidator(_url_of_keys)] | None = None
    """Where the provider shows them, instead of a file: https, or http on this machine. What was
    fetched last stays in force while it cannot be reached; before the first answer no such token
    is accepted."""
    jwks_refresh_s: float = Field(300.0, ge=30, le=86_400)
    """How often `jwks_url` is fetched, in seconds. A token that names an unknown key has it fetched
    earlier, every 30 s at most."""
    issuer: Annotated[OneLine, Field(min_length=1)]
    """What the claim `iss` must be."""
    audience: Annotated[OneLine, Field(min_length=1)]
    """What the claim `aud` must be or contain."""
    role_claim: Annotated[OneLine, Field(min_length=1)] = "role"
    """The claim that says the role: `read`, `bid` or `operate`, or a list that contains one. Of
    several the greatest counts."""
    platforms_claim: Annotated[OneLine, Field(min_length=1)] = "platforms"
    """The claim that lists the only platforms. A token without it may use all of them."""
    campaigns_claim: Annotated[OneLine, Field(min_length=1)] = "campaigns"
    """The claim that lists the only campaigns. A token without it may use all of them."""
    leeway_s: float = Field(10.0, ge=0, le=300)
    """How far the provider's clock may be from this one's, in seconds."""

    @model_validator(mode="after")
    def _one_source(self) -> JwtSettings:
        if (self.jwks_file is None) == (self.jwks_url is None):
            raise ValueError("set jwks_file or jwks_url, one of them")
        return self


class AccessSettings(Section):
    """Who may do what. Without this section everybody who can connect may do everything."""

    tokens_file: NamedPath | None = None
    """Bearer tokens, which `smart-connectors token create` makes. The file has their hashes alone.
    Looked at once a second, taken up when it has changed."""
    jwt: JwtSettings | None = None
    certificates: Mapping[CertificateName, GrantSettings] = Field(default_factory=dict)
    """Name in a client's certificate -> what it may do when it sends no token. The name begins with
    its kind: `dns:`, `uri:` or `email:` for a subject alternative name; `cn:` for the common name,
    which counts only in a certificate without any alternative name. Needs
    `server.tls.client_ca_file`."""

    active_caller_s: float = Field(600.0, ge=1, le=604_800)
    """How long a caller stays active after its last call, in seconds; for quota, one window at
    least. Active callers have equal shares of call slots and of each platform's quota: a caller
    may use all that is free, but for what another active one has not used of its share."""
    max_streams_per_caller: int = Field(500, ge=1, le=1_000_000)
    """The most streams over gRPC that one caller may have open at once."""

    @model_validator(mode="after")
    def _somebody(self) -> AccessSettings:
        if self.tokens_file is None and self.jwt is None and not self.certificates:
            raise ValueError("lets nobody in; set tokens_file, jwt or certificates")
        return self
