"""What opens a sandbox: its own account, token and app secret. None of it opens anything else.

Apart from the sandbox itself, so that a live connector does not import that.
"""

from __future__ import annotations

from pydantic import SecretStr

USD_ACCOUNT = "act_1000000001"
"""The account that a connector in sandbox mode uses unless told of another."""

ACCESS_TOKEN = SecretStr("sandbox-access-token")
APP_SECRET = SecretStr("sandbox-app-secret")
