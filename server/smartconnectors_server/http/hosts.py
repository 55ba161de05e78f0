"""Which names a request may give the server.

A page of another site can have its own name point to this server, and a browser then lets it read
what the server answers (DNS rebinding). The `Host` header of such a request has that site's name.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Collection

from smartconnectors_server.errors import PermissionDenied, plain

_MOST_NAME_BYTES = 100


def check_host_header(header: str, host: str, allowed: Collection[str]) -> None:
    """Raises PermissionDenied for a name that another site could have.

    Addresses, `localhost`, and names without a dot, as in a container network, cannot be another
    site's. `host`: the configured one; `allowed`: further names.
    """
    name = _name(header)
    if "." not in name or name.endswith(".localhost"):
        return
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return
    if name in {_name(one) for one in (host, *allowed)}:
        return
    raise PermissionDenied(
        f"this server does not answer to the name {plain(name, _MOST_NAME_BYTES)!r}; use its "
        "address, or add the name to http.allowed_hosts"
    )


def _name(header: str) -> str:
    """Without port, brackets and a dot at the end; in lower case."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return (text if text.count(":") > 1 else text.partition(":")[0]).rstrip(".")
