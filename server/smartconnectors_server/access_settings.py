"""Settings of who may connect and who may do what: `[server.tls]` and `[access]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from smartconnectors_server.sections import NamedPath, Section
from smartconnectors_server.texts import OneLine

RoleName = Literal["read", "bid", "operate"]
_Names = Annotated[tuple[str, ...], Field(min_length=1)]


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


class GrantSettings(Section):
    """What somebody may do."""

    role: RoleName
    """`read` looks; `bid` also bids and changes campaigns; `operate` also changes budgets."""
    platforms: _Names | None = None
    """On these platforms alone. Absent: on all of them."""
    campaigns: _Names | None = None
    """For these campaigns alone, by the platform's id. Absent: for all of them."""


class JwtSettings(Section):
    """Tokens that an identity provider signs."""

    jwks_file: NamedPath
    """The provider's public keys, a JSON Web Key Set. Looked at once a second, taken up when it has
    changed. RS256, ES256 and EdDSA are accepted, nothing else."""
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


class AccessSettings(Section):
    """Who may do what. Without this section everybody who can connect may do everything."""

    tokens_file: NamedPath | None = None
    """Bearer tokens, which `smart-connectors token` makes. The file has their hashes alone. Looked
    at once a second, taken up when it has changed."""
    jwt: JwtSettings | None = None
    certificates: Mapping[str, GrantSettings] = Field(default_factory=dict)
    """Name in a client's certificate (a subject alternative name, or the common name) -> what it
    may do when it sends no token. Needs `server.tls.client_ca_file`."""

    active_caller_s: float = Field(600.0, ge=1, le=604_800)
    """How long a caller stays active after its last call, in seconds; for quota, one window at
    least. Active callers have equal shares of call slots and of each platform's quota: a caller
    may use all that is free, but for what another active one has not used of its share."""
    max_streams_per_caller: int = Field(500, ge=1, le=1_000_000)
    """The most streams over gRPC that one caller may have open at once."""
    max_dashboards_per_caller: int = Field(50, ge=1, le=1_000_000)
    """The most event streams of the dashboard that one caller may have open at once."""

    @model_validator(mode="after")
    def _somebody(self) -> AccessSettings:
        if self.tokens_file is None and self.jwt is None and not self.certificates:
            raise ValueError("lets nobody in; set tokens_file, jwt or certificates")
        return self
