"""Why a server may not start."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartconnectors_server.settings import ServerSettings, Settings

log = logging.getLogger(__name__)


class StartupError(Exception):
    """The server cannot start; the message says why and what to do."""


def is_loopback(host: str) -> bool:
    """True when nothing but this machine can reach an address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def check_host(server: ServerSettings) -> None:
    """Raises StartupError for an address that others reach, without TLS and without consent."""
    if is_loopback(server.host) or server.insecure or server.tls is not None:
        return
    raise StartupError(
        f"{server.host or 'an empty host'} can be reached from other machines, and what is spoken "
        "there is plain text that anybody may read and send. Listen on 127.0.0.1, give it a "
        "certificate (--tls-cert and --tls-key), or say --insecure when the network is closed or a "
        "proxy in front speaks TLS."
    )


def warn_if_open(settings: Settings) -> None:
    """Says in the log that whoever connects from elsewhere may do everything, when that is so."""
    if settings.access is None and not is_loopback(settings.server.host):
        log.warning(
            "%s can be reached from other machines, and whoever connects may do everything: the "
            "settings have no [access]",
            settings.server.host,
        )
