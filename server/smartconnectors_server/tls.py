"""The gRPC port, in plain text or with TLS. Certificates that change on disk are taken up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import grpc

from smartconnectors_server.access.watched import Unusable, Watched
from smartconnectors_server.access_settings import TlsSettings
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.texts import without_mark

CERT = "server.tls.cert_file"
KEY = "server.tls.key_file"
CLIENT_CA = "server.tls.client_ca_file"

log = logging.getLogger(__name__)


def open_port(server: Any, address: str, settings: TlsSettings | None, clock: Clock) -> int:
    """Opens the port and returns its number.

    Raises StartupError, naming the settings key, when a file cannot be used; RuntimeError when the
    port is taken.
    """
    port: int
    if settings is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, _credentials(settings, clock))
    return port


def check(settings: TlsSettings | None, clock: Clock) -> None:
    """Raises StartupError when `open_port` would."""
    if settings is not None:
        _credentials(settings, clock, say=False)


def _credentials(
    settings: TlsSettings, clock: Clock, *, say: bool = True
) -> grpc.ServerCredentials:
    """`say`: an expired certificate is said in the log."""
    files = {CERT: Path(settings.cert_file), KEY: Path(settings.key_file)}
    if settings.client_ca_file is not None:
        files[CLIENT_CA] = Path(settings.client_ca_file)
    certificates = Watched(files, lambda contents: _checked(_plain(contents), clock, say=say))

    def changed() -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC, in a thread of its own, before each handshake. None: as before."""
        return certificates.value if certificates.look() else None

    return grpc.dynamic_ssl_server_credentials(
        certificates.value,
        cast("Callable[[], grpc.ServerCertificateConfiguration]", changed),  # None is allowed, too
        require_client_authentication=CLIENT_CA in files,
    )


def _plain(contents: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Without byte order marks: gRPC overlooks a certificate behind one, and says nothing."""
    return {key: without_mark(content) for key, content in contents.items()}


def _checked(
    contents: Mapping[str, bytes], clock: Clock, *, say: bool
) -> grpc.ServerCertificateConfiguration:
    """The files as gRPC takes them. It would take any bytes, and then fail with each client; so
    they are looked into here. Raises Unusable.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    certificate = _certificate(contents, CERT)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if _private_key(contents).public_key().public_bytes(*form) != (
        certificate.public_key().public_bytes(*form)
    ):
        raise Unusable(KEY, f"is not the key of the certificate in {CERT}")
    expires = certificate.not_valid_after_utc
    if say and expires.timestamp() * NANOS_PER_SECOND <= clock.wall_ns():
        log.error("%s: the certificate expired at %s; clients refuse it", CERT, expires)
    if CLIENT_CA in contents:
        _certificate(contents, CLIENT_CA)
    return grpc.ssl_server_certificate_configuration(
        [(contents[KEY], contents[CERT])], contents.get(CLIENT_CA)
    )


def _certificate(contents: Mapping[str, bytes], key: str) -> Any:
    """The first certificate in a file; all of them can be read."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(contents[key])[0]
    except ValueError:
        raise Unusable(key, "is no certificate in PEM") from None


def _private_key(contents: Mapping[str, bytes]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(contents[KEY], None)
    except TypeError:
        raise Unusable(KEY, "is encrypted; gRPC takes a key without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Unusable(KEY, "is no private key in PEM") from None
