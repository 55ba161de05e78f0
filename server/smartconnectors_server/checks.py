"""Everything that can keep a server from starting and that can be found out without starting it:
what `serve` asks first, and `check-config` asks alone.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from smartconnectors_server import tls
from smartconnectors_server.access import Gatekeeper
from smartconnectors_server.clock import Clock, SystemClock
from smartconnectors_server.connector import Platform
from smartconnectors_server.core import Core
from smartconnectors_server.customers import Customers, SiteKeyError
from smartconnectors_server.http import Certificates
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.settings import Settings
from smartconnectors_server.startup import StartupError, check_host, check_http, check_ports
from smartconnectors_server.telemetry import Telemetry


def check_start(
    settings: Settings,
    *,
    platforms: Mapping[str, Platform] = PLATFORMS,
    clock: Clock | None = None,
) -> None:
    """Opens nothing and leaves nothing behind. Raises StartupError with a line for each thing that
    would keep a server with these settings from starting.
    """
    problems = list(_problems(settings, platforms, clock or SystemClock()))
    if problems:
        raise StartupError("\n".join(problems))


def _problems(settings: Settings, platforms: Mapping[str, Platform], clock: Clock) -> Iterator[str]:
    seen: set[str] = set()
    for check in (
        lambda: check_host(settings.server),
        lambda: check_http(settings),
        lambda: check_ports(settings),
        lambda: tls.check(settings.server.tls, clock),
        lambda: _check_http_certificate(settings, clock),
        lambda: _check_site_key(settings),
        lambda: _check_authorities(settings),
        lambda: Gatekeeper(settings, clock),
        # All parts, put together; Telemetry() has no collector, so nothing is begun.
        lambda: Core(settings, platforms, clock, Telemetry()),
    ):
        try:
            check()
        except StartupError as error:
            if str(error) not in seen:
                seen.add(str(error))
                yield str(error)


def _check_http_certificate(settings: Settings, clock: Clock) -> None:
    if settings.http.enabled and settings.http.tls is not None:
        Certificates(settings.http.tls, clock)


def _check_site_key(settings: Settings) -> None:
    file = settings.privacy.site_key_file
    if file is None:
        return
    try:
        Customers(file, settings.server.state_dir).open()
    except SiteKeyError as error:
        raise StartupError(str(error)) from None


def _check_authorities(settings: Settings) -> None:
    """The authorities that certificates are checked with can be read."""
    for key, file in (
        ("outgoing.ca_file (the variable SSL_CERT_FILE)", settings.outgoing.ca_file),
        ("telemetry.otlp_ca_file", settings.telemetry.otlp_ca_file),
    ):
        if file is None:
            continue
        try:
            ssl.create_default_context(cafile=file)
        except ssl.SSLError:
            raise StartupError(f"{key}: {file} is no list of certificates in PEM") from None
        except OSError as error:
            raise StartupError(f"{key}: {file} cannot be read: {error.strerror}") from None


def check_state_dir(directory: Path) -> None:
    """Raises StartupError when this user could not keep a ledger there. `serve` finds it out by
    opening the ledger, and then knows more.
    """
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not there.is_dir():
        raise StartupError(f"server.state_dir: {there} is not a directory")
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        raise StartupError(
            f"server.state_dir: user {os.getuid()} may not write to {there}; give it to that user "
            "or to its group, or name another directory"
        )
