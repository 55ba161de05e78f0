"""A Meta to try things on: the Graph API's own shapes, rules and refusals, on a real socket.

`127.0.0.1:PORT` is all that a client needs. Accounts: see `accounts`.
"""

from __future__ import annotations

from smartconnectors_server.platforms.meta.sandbox.accounts import (
    AUDIENCES,
    BHD_ACCOUNT,
    FORBIDDEN_ACCOUNT,
    JPY_ACCOUNT,
)
from smartconnectors_server.platforms.meta.sandbox.server import MetaSandbox
from smartconnectors_server.platforms.meta.sandbox_access import USD_ACCOUNT

__all__ = [
    "AUDIENCES",
    "BHD_ACCOUNT",
    "FORBIDDEN_ACCOUNT",
    "JPY_ACCOUNT",
    "USD_ACCOUNT",
    "MetaSandbox",
]
