"""The certificate of the HTTP port. Files that change on disk are used from the next connection."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from smartconnectors_server.access.watched import Unusable, Watched
from smartconnectors_server.access_settings import HttpTlsSettings
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock
from smartconnectors_server.texts import without_mark

CERT = "http.tls.cert_file"
KEY = "http.tls.key_file"
_LOOK_EVERY_NS = NANOS_PER_SECOND


class Certificates:
    """The context that new connections are encrypted with."""

    def __init__(self, settings: HttpTlsSettings, clock: Clock) -> None:
        """Raises StartupError, naming the settings key, when a file cannot be used."""
        self._settings = settings
        self._clock = clock
        files = {CERT: Path(settings.cert_file), KEY: Path(settings.key_file)}
        self._watched: Watched[ssl.SSLContext] = Watched(files, self._context)
        self._look_again_ns = clock.monotonic_ns() + _LOOK_EVERY_NS

    def context(self) -> ssl.SSLContext:
        """For a connection that begins now. Looks at the files once a second."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._look_again_ns:
            self._look_again_ns = now_ns + _LOOK_EVERY_NS
            self._watched.look()
        return self._watched.value

    def _context(self, contents: Mapping[str, bytes]) -> ssl.SSLContext:
        for key, content in contents.items():
            if without_mark(content) != content:
                raise Unusable(key, "begins with a byte order mark; save it without one")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            # An encrypted key would be asked for on the terminal; this says that it cannot be used.
            context.load_cert_chain(
                self._settings.cert_file, self._settings.key_file, password=lambda: b""
            )
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise Unusable(KEY, f"is not the key of the certificate in {CERT}") from None
            raise Unusable(
                CERT, f"and {KEY} are no certificate and unencrypted key in PEM"
            ) from None
        except OSError as error:
            raise Unusable(CERT, f"or {KEY} cannot be read: {error.strerror}") from None
        return context
