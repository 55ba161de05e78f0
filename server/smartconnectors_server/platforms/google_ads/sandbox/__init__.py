"""A Google Ads to try things on: its own protocol, messages and refusals, on a real socket.

One port speaks both gRPC and, for the OAuth token endpoint, HTTP: `127.0.0.1:PORT` is all that a
client needs. Accounts: see `accounts`.
"""

from __future__ import annotations

from smartconnectors_server.platforms.google_ads.sandbox.accounts import (
    EXTRA_CAMPAIGNS_FROM,
    FORBIDDEN_CUSTOMER,
    JPY_CUSTOMER,
    KWD_CUSTOMER,
    TWD_CUSTOMER,
    UNDECLARED_CUSTOMER,
    USER_LISTS,
)
from smartconnectors_server.platforms.google_ads.sandbox.server import GoogleAdsSandbox
from smartconnectors_server.platforms.google_ads.sandbox_access import USD_CUSTOMER

__all__ = [
    "EXTRA_CAMPAIGNS_FROM",
    "FORBIDDEN_CUSTOMER",
    "JPY_CUSTOMER",
    "KWD_CUSTOMER",
    "TWD_CUSTOMER",
    "UNDECLARED_CUSTOMER",
    "USD_CUSTOMER",
    "USER_LISTS",
    "GoogleAdsSandbox",
]
