"""Why a server may not start."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartconnectors_server.settings import ServerSettings, Settings

_EVERY_ADDRESS = {"", "0.0.0.0", "::", "[::]"}  # noqa: S104 - compared, not listened on
_CONTAINER_MARKS = (
    "/.dockerenv",
    "/run/.containerenv",
    "/var/run/secrets/kubernetes.io/serviceaccount",
)

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


def check_http(settings: Settings) -> None:
    """Raises StartupError for HTTP as `check_host` does for gRPC, and for metrics that need a token
    which nobody can have.
    """
    http = settings.http
    if not http.enabled:
        return
    if http.metrics_require_token and settings.access is None:
        raise StartupError(
            "http.metrics_require_token: there are no tokens without [access]; add that section, "
            "or take the key away"
        )
    if is_loopback(http.host) or http.tls is not None or http.insecure or settings.server.insecure:
        return
    raise StartupError(
        f"http.host: {http.host or 'an empty host'} can be reached from other machines, and HTTP "
        "there is plain text that anybody may read and send, tokens included. Listen on 127.0.0.1, "
        "give it a certificate ([http.tls]), or set http.insecure (--insecure for gRPC too) when "
        "the network is closed or a proxy in front speaks TLS."
    )


def check_ports(settings: Settings) -> None:
    """Raises StartupError when gRPC and HTTP would listen on one port."""
    server, http = settings.server, settings.http
    if not http.enabled or server.grpc_port == 0 or server.grpc_port != http.port:
        return
    if server.host == http.host or {server.host, http.host} & _EVERY_ADDRESS:
        raise StartupError(
            f"server.grpc_port and http.port are both {http.port}; give one of them another"
        )


def warn_if_open(settings: Settings) -> None:
    """Says in the log that whoever connects from elsewhere may do everything, when that is so."""
    if settings.access is not None:
        return
    if not is_loopback(settings.server.host):
        log.warning(
            "%s can be reached from other machines, and whoever connects may do everything: the "
            "settings have no [access]",
            settings.server.host,
        )
    if settings.http.enabled and not is_loopback(settings.http.host):
        log.warning(
            "%s can be reached from other machines, and whoever connects may read budgets and "
            "bids over HTTP: the settings have no [access]",
            settings.http.host,
        )


def hint_in_container(settings: Settings, *, in_container: bool | None = None) -> None:
    """Says in the log, in a container, why a published port does not answer, and what to set."""
    inside = any(map(os.path.exists, _CONTAINER_MARKS)) if in_container is None else in_container
    if inside and is_loopback(settings.server.host):
        log.info(
            "gRPC listens on %s inside this container, where published ports do not lead. To be "
            "reached from outside set SMART_CONNECTORS_HOST=0.0.0.0 together with [server.tls] and "
            "[access], or with SMART_CONNECTORS_INSECURE=true on a network that is closed",
            settings.server.host,
        )


def log_what_would_be_raw() -> None:
    """Sends to the log what Python writes to standard error by itself: warnings, and threads that
    fail. For the process of a server, once.
    """
    logging.captureWarnings(True)

    def failed(args: threading.ExceptHookArgs) -> None:
        name = "a thread" if args.thread is None else args.thread.name
        if args.exc_value is not None:
            log.error("%s failed", name, exc_info=args.exc_value)

    threading.excepthook = failed


def silence_grpc() -> None:
    """Keeps gRPC's core from writing lines of its own to standard error, beside the log and in no
    format, unless the environment asks for them. Before grpc is imported.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251 - written, not read
