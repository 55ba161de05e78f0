"""What opens a sandbox: its own account, user and token endpoint. None of it opens anything else.

Apart from the sandbox itself, so that a live connector does not import that.
"""

from __future__ import annotations

from pydantic import SecretStr

USD_CUSTOMER = "1000000001"
"""The account that a connector in sandbox mode uses unless told of another."""

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = SecretStr("sandbox-client-secret")
REFRESH_TOKEN = SecretStr("sandbox-refresh-token")

TOKEN_PATH = "/token"  # noqa: S105 - a path
"""Where its OAuth token endpoint is, on the same host and port as everything else."""
